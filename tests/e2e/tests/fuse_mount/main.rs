//! The FUSE head on this machine's kernel, over the reference: real mounts, real programs.
//!
//! Needs the superuser and /dev/fuse, and git, tar, sqlite3, fio and python3.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

mod mounted;
mod programs;
mod semantics;
