//! Implements the contract of the heads out of namespace, metadata, data and locks.

#![forbid(unsafe_code)]
