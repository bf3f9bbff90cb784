//! Logs and counters.

#![forbid(unsafe_code)]
