//! Time, randomness and block files: the only door to what is not deterministic.

#![deny(unsafe_op_in_unsafe_fn)]
