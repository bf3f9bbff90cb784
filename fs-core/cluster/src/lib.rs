//! The cluster map: drives, domains, slots and stripe groups; placement is pure.

#![forbid(unsafe_code)]
