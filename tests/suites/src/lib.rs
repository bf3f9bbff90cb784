//! Behaviour that every implementation of the contract owes, as one suite.

#![forbid(unsafe_code)]
