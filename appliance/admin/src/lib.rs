//! The administration interface of the daemon.

#![forbid(unsafe_code)]
