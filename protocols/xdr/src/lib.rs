//! XDR and ONC RPC records: encode and decode, bounded.

#![forbid(unsafe_code)]
