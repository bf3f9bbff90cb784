//! The reference: an in-memory file system that is obviously right.

#![forbid(unsafe_code)]
