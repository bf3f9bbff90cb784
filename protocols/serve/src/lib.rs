//! Listeners, connection budget and shutdown for every head.

#![forbid(unsafe_code)]
