//! The decoders of what comes over a connection, for a fuzzer.

use crate::Limits;
use crate::frame::{Failure, Frame, HEADER_BYTES, Hello, crc};

/// Reads `bytes` as frames, the first with the checksum of its header put right, and their small parts.
pub async fn decode(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        let crc = crc(&header[..HEADER_BYTES - 4]);
        header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    }
    let mut from = &bytes[..];
    while let Ok(Some(frame)) = Frame::read(&mut from, &Limits::default()).await {
        let _ = postcard::from_bytes::<Hello>(&frame.meta);
        let _ = postcard::from_bytes::<Failure>(&frame.meta);
    }
}
