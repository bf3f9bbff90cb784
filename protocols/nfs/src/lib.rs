//! The NFS head: sessions and operations of NFSv4.1 and 4.2 over the contract.

#![forbid(unsafe_code)]
