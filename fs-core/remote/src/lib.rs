//! The contract of the heads carried over the fabric, with reconnection.

#![forbid(unsafe_code)]
