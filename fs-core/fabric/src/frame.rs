//! What travels: a fixed checked header, a small part, a payload.

use crate::{FabricError, Limits};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, checksum};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAGIC: [u8; 4] = *b"PLXF";
/// Of the header and of everything behind it. Another version is refused.
pub(crate) const VERSION: u16 = 2;
/// Magic 4, version 2, kind 1, zero 1, id 8, meta length 4, payload length 4, CRC32C of these 4; little endian.
pub(crate) const HEADER_BYTES: usize = 28;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A client's first words.
    Hello = 1,
    /// A server's, when the client may go on.
    Welcome = 2,
    /// A server's, when it may not; the small part says why.
    Refuse = 3,
    Request = 4,
    Reply = 5,
    /// In place of a reply.
    Failure = 6,
    /// The client no longer waits for the reply.
    Cancel = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        use Kind::{Cancel, Failure, Hello, Refuse, Reply, Request, Welcome};
        [Hello, Welcome, Refuse, Request, Reply, Failure, Cancel].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A client's first words.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) service: String,
    pub(crate) token: Option<[u8; 32]>,
}

/// Why a request has no reply.
#[derive(Serialize, Deserialize)]
pub(crate) enum Failure {
    Busy,
    Form,
    TooLarge,
    /// The handler has gone down.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) meta: Bytes,
    pub(crate) payload: Bytes,
}

impl Frame {
    pub(crate) fn new<T: Serialize>(
        kind: Kind,
        id: u64,
        meta: &T,
        payload: Bytes,
        limits: &Limits,
    ) -> Result<Frame, FabricError> {
        let meta = Bytes::from(postcard::to_stdvec(meta)?);
        check(meta.len(), limits.meta_bytes)?;
        check(payload.len(), limits.payload_bytes)?;
        Ok(Frame { kind, id, meta, payload })
    }

    pub(crate) fn bare(kind: Kind, id: u64) -> Frame {
        Frame { kind, id, meta: Bytes::new(), payload: Bytes::new() }
    }

    pub(crate) fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let mut rest = &mut header[..];
        rest.put_slice(&MAGIC);
        rest.put_u16_le(VERSION);
        rest.put_u8(self.kind as u8);
        rest.put_u8(0);
        rest.put_u64_le(self.id);
        rest.put_u32_le(self.meta.len() as u32);
        rest.put_u32_le(self.payload.len() as u32);
        let crc = crc(&header[..HEADER_BYTES - 4]);
        header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    pub(crate) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), FabricError> {
        let header = self.header();
        let mut all = Buf::chain(&header[..], self.meta.clone()).chain(self.payload.clone());
        to.write_all_buf(&mut all).await?;
        Ok(())
    }

    /// Reads one frame; `Ok(None)` when the peer has closed between frames.
    pub(crate) async fn read(
        from: &mut (impl AsyncRead + Unpin),
        limits: &Limits,
    ) -> Result<Option<Frame>, FabricError> {
        let mut header = [0; HEADER_BYTES];
        if from.read(&mut header[..1]).await? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut header[1..]).await?;
        let mut rest = &header[..];
        let mut magic = [0; 4];
        rest.copy_to_slice(&mut magic);
        let version = rest.get_u16_le();
        let (kind, zero) = (rest.get_u8(), rest.get_u8());
        let id = rest.get_u64_le();
        let (meta, payload) = (rest.get_u32_le(), rest.get_u32_le());
        if magic != MAGIC || rest.get_u32_le() != crc(&header[..HEADER_BYTES - 4]) {
            return Err(FabricError::Protocol("a damaged header"));
        }
        if version != VERSION {
            return Err(FabricError::Protocol("another version"));
        }
        let kind = Kind::from_byte(kind).ok_or(FabricError::Protocol("an unknown kind of message"))?;
        if zero != 0 {
            return Err(FabricError::Protocol("an unknown flag"));
        }
        check(meta as usize, limits.meta_bytes)?;
        check(payload as usize, limits.payload_bytes)?;
        let meta = body(from, meta as usize).await?;
        let payload = body(from, payload as usize).await?;
        Ok(Some(Frame { kind, id, meta, payload }))
    }
}

async fn body(from: &mut (impl AsyncRead + Unpin), bytes: usize) -> Result<Bytes, FabricError> {
    let mut body = BytesMut::with_capacity(bytes);
    while body.len() < bytes {
        let rest = bytes - body.len();
        if from.read_buf(&mut (&mut body).limit(rest)).await? == 0 {
            return Err(FabricError::Closed);
        }
    }
    Ok(body.freeze())
}

fn check(bytes: usize, limit: u32) -> Result<(), FabricError> {
    if bytes > limit as usize { Err(FabricError::TooLarge { bytes, limit }) } else { Ok(()) }
}

pub(crate) fn crc(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Option<Frame>, FabricError> {
        Frame::read(&mut &bytes[..], &Limits { meta_bytes: 100, payload_bytes: 100, ..Limits::default() })
            .await
    }

    async fn written() -> Vec<u8> {
        let frame =
            Frame { kind: Kind::Request, id: 7, meta: b"meta"[..].into(), payload: b"data"[..].into() };
        let mut bytes = vec![];
        frame.write(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_frame_arrives_as_it_was_sent() {
        let frame = read(&written().await).await.unwrap().unwrap();
        assert_eq!(
            (frame.kind, frame.id, &frame.meta[..], &frame.payload[..]),
            (Kind::Request, 7, &b"meta"[..], &b"data"[..])
        );
        assert!(read(b"").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn every_flipped_bit_of_a_header_is_noticed() {
        let whole = written().await;
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes).await.is_err(), "bit {bit}");
        }
        for length in 1..whole.len() {
            assert!(read(&whole[..length]).await.is_err(), "cut to {length} bytes");
        }
    }

    #[tokio::test]
    async fn another_version_and_larger_lengths_are_refused() {
        let mut bytes = written().await;
        bytes[4..6].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let crc = crc(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(read(&bytes).await, Err(FabricError::Protocol("another version"))));
        let large = Frame { payload: vec![0; 101].into(), ..Frame::bare(Kind::Reply, 1) };
        let mut bytes = vec![];
        large.write(&mut bytes).await.unwrap();
        assert!(matches!(read(&bytes).await, Err(FabricError::TooLarge { bytes: 101, limit: 100 })));
    }
}
