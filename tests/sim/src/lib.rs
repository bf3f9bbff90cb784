//! The seeded simulation of the whole core.
//!
//! [`parts`] has shards and stripes in memory, on which the real frontend and the real namespace run.

#![forbid(unsafe_code)]

pub mod parts;
