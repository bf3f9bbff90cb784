//! NFSv4.1 and 4.2 on the wire: types, encode and decode only.

#![forbid(unsafe_code)]
