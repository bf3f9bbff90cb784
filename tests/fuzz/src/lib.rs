//! What a stranger may hand to Plexus, byte by byte: the targets of the fuzzer, and what it found worth keeping.
//!
//! `tests/fuzz/run` lets libFuzzer loose on a [`Target`] for some time and keeps the inputs that reach new code in
//! `corpus/`, one file for each target. `make test` gives all of them to the targets again, and damaged copies of
//! them. A target that panics, hangs or takes more than [`MEMORY_BYTES_MAX`] fails.

#![forbid(unsafe_code)]

pub mod corpus;
mod damage;
mod parts;
mod targets;

pub use damage::damaged;
pub use targets::{TARGETS, Target};

use cap::Cap;
use std::alloc::System;

/// What the process may hold at a time, the fuzzer's own memory included.
pub const MEMORY_BYTES_MAX: usize = 512 << 20;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MEMORY_BYTES_MAX);
