//! Who may do what: the one access decision.

#![forbid(unsafe_code)]
