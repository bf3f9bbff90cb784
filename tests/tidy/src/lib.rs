//! The rules that the compiler cannot see.
//!
//! Each rule is a function from text to complaints, so that a test can show that it finds what it
//! is for; `tests/tidy.rs` runs them over the repository.

#![forbid(unsafe_code)]

pub mod docs;
pub mod packages;
pub mod repository;
pub mod rings;
pub mod sources;
