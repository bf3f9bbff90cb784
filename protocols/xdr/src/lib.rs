//! XDR and ONC RPC records: encode and decode, bounded.
//!
//! Decoding takes slices of one reference-counted buffer and encoding strings shared buffers together, so
//! that payloads are not copied. Nothing here does I/O.

#![forbid(unsafe_code)]

mod decode;
mod encode;
mod macros;
pub mod record;
pub mod rpc;
mod value;

pub use decode::{Decode, Decoder};
pub use encode::{Encode, Encoder};
pub use value::{List, Opaque};

/// Why bytes are no value of the wanted type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum XdrError {
    /// The bytes end within the value.
    #[error("the data end within a value")]
    Short,
    /// A length or count is over the limit of its type.
    #[error("a length is over its limit")]
    TooLong,
    /// No value has this encoding (an unknown enum constant, a boolean other than 0 and 1).
    #[error("not a value of the type")]
    Invalid,
}
