//! The rules that the compiler cannot see.

#![forbid(unsafe_code)]
