//! One drive: its identity, chunks, log and map in one directory.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod log;
pub mod map;
