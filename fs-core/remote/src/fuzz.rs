//! The decoders of what mounts and daemons say to each other, for a fuzzer.

use crate::wire::{Ask, Tell};

/// Reads `bytes` as a question and as an answer.
pub fn decode(bytes: &[u8]) {
    let _ = postcard::from_bytes::<Ask>(bytes);
    let _ = postcard::from_bytes::<Tell>(bytes);
}
