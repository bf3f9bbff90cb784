//! The seeded simulation of the whole core.

#![forbid(unsafe_code)]
