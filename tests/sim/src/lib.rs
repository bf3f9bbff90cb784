//! The seeded simulation of the whole core.
//!
//! [`parts`] has shards and stripes in memory, on which the real frontend and the real namespace run, in the
//! [`weather`] of a seed. [`audit`] checks what they leave behind, and [`checked`] has fsck do it.

#![forbid(unsafe_code)]

pub mod audit;
pub mod checked;
pub mod parts;
pub mod weather;
