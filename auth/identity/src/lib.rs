//! Users and groups, from wherever they are kept.

#![forbid(unsafe_code)]
