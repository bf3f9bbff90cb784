//! The one procedure that carries all operations (RFC 8881 section 16.2).

use crate::Status;
use xdr::{Decode, Decoder, Encode, Encoder, Opaque, XdrError};

/// Bytes of a compound's tag.
const TAG_BYTES_MAX: usize = 1024;

/// The head of the arguments; `count` operations follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompoundArgs {
    /// Chosen by the client, given back as it is.
    pub tag: Opaque<TAG_BYTES_MAX>,
    /// 1 for NFSv4.1, 2 for NFSv4.2.
    pub minor: u32,
    /// Number of operations.
    pub count: u32,
}

/// The head of the results; `count` results follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompoundReply {
    /// Of the last operation that was done.
    pub status: Status,
    /// As in the request.
    pub tag: Opaque<TAG_BYTES_MAX>,
    /// Number of operations that were done.
    pub count: u32,
}

impl Decode for CompoundArgs {
    fn decode(d: &mut Decoder) -> Result<CompoundArgs, XdrError> {
        Ok(CompoundArgs { tag: Opaque::decode(d)?, minor: d.u32()?, count: d.u32()? })
    }
}

impl Encode for CompoundArgs {
    fn encode(&self, e: &mut Encoder) {
        self.tag.encode(e);
        e.words(&[self.minor, self.count]);
    }
}

impl Decode for CompoundReply {
    fn decode(d: &mut Decoder) -> Result<CompoundReply, XdrError> {
        Ok(CompoundReply { status: Status::decode(d)?, tag: Opaque::decode(d)?, count: d.u32()? })
    }
}

impl Encode for CompoundReply {
    fn encode(&self, e: &mut Encoder) {
        self.status.encode(e);
        self.tag.encode(e);
        e.u32(self.count);
    }
}
