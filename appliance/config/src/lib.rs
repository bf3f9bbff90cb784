//! Every option of the daemon, in one documented place.

#![forbid(unsafe_code)]
