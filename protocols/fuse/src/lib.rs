//! The FUSE head: the kernel's requests over the contract.

#![deny(unsafe_op_in_unsafe_fn)]
