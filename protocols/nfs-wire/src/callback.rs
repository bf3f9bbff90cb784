//! What servers call clients for, over their own connection (RFC 8881 section 20).
#![expect(missing_docs, reason = "fields are named and explained in the RFC, without their prefixes")]

use crate::{Bitmap, Fattr, FileHandle, SessionId, Stateid, Status};
use xdr::{Decode, Decoder, Encode, Encoder, List, Opaque, XdrError, xdr_struct, xdr_union};

xdr_struct! {
    /// CB_COMPOUND4args.
    pub struct CbCompoundArgs {
        pub tag: Opaque<1024>,
        pub minor: u32,
        pub ident: u32,
        pub ops: List<CbArgs, 8>,
    }
    pub struct CbGetattrArgs { pub object: FileHandle, pub request: Bitmap }
    pub struct CbRecallArgs { pub stateid: Stateid, pub truncate: bool, pub object: FileHandle }
    pub struct CbSequenceArgs {
        pub session: SessionId,
        pub sequence: u32,
        pub slot: u32,
        pub highest_slot: u32,
        pub cache_this: bool,
        pub referring: List<ReferringCalls, 8>,
    }
    /// referring_call_list4.
    pub struct ReferringCalls { pub session: SessionId, pub calls: List<ReferringCall, 64> }
    /// referring_call4.
    pub struct ReferringCall { pub sequence: u32, pub slot: u32 }
}

xdr_union! {
    /// nfs_cb_argop4, as far as servers of this kind call.
    pub enum CbArgs { 3 => Getattr(CbGetattrArgs), 4 => Recall(CbRecallArgs), 11 => Sequence(CbSequenceArgs) }
}

/// What one operation of a callback answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CbReply {
    /// CB_GETATTR.
    Getattr(Fattr),
    /// CB_RECALL.
    Recall,
    /// CB_SEQUENCE.
    Sequence(CbSequenceOk),
}

xdr_struct! {
    /// CB_SEQUENCE4resok.
    pub struct CbSequenceOk {
        pub session: SessionId,
        pub sequence: u32,
        pub slot: u32,
        pub highest_slot: u32,
        pub target_highest_slot: u32,
    }
}

/// CB_COMPOUND4res: how it ended, and what each operation that was begun came to. A status that is not known here is
/// [`Status::ServerFault`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CbCompoundReply {
    pub status: Status,
    pub results: Vec<Result<CbReply, Status>>,
}

const GETATTR: u32 = 3;
const RECALL: u32 = 4;
const SEQUENCE: u32 = 11;
/// Results of one call, at most.
const RESULTS_MAX: usize = 8;

fn status(d: &mut Decoder) -> Result<Status, XdrError> {
    let number = d.u32()?;
    let mut e = Encoder::new();
    e.u32(number);
    Ok(Status::decode(&mut Decoder::new(e.into_bytes())).unwrap_or(Status::ServerFault))
}

impl Decode for CbCompoundReply {
    fn decode(d: &mut Decoder) -> Result<CbCompoundReply, XdrError> {
        let ended = status(d)?;
        Opaque::<1024>::decode(d)?;
        let mut results = Vec::new();
        for _ in 0..d.count(RESULTS_MAX)? {
            let op = d.u32()?;
            let result = match (status(d)?, op) {
                (Status::Ok, GETATTR) => Ok(CbReply::Getattr(Fattr::decode(d)?)),
                (Status::Ok, RECALL) => Ok(CbReply::Recall),
                (Status::Ok, SEQUENCE) => Ok(CbReply::Sequence(CbSequenceOk::decode(d)?)),
                (Status::Ok, _) => return Err(XdrError::Invalid),
                (status, _) => Err(status),
            };
            results.push(result);
        }
        Ok(CbCompoundReply { status: ended, results })
    }
}

/// For clients; what failed is of CB_RECALL.
impl Encode for CbCompoundReply {
    fn encode(&self, e: &mut Encoder) {
        self.status.encode(e);
        e.opaque(b"");
        e.count(self.results.len());
        for result in &self.results {
            let op = match result {
                Ok(CbReply::Getattr(_)) => GETATTR,
                Ok(CbReply::Recall) | Err(_) => RECALL,
                Ok(CbReply::Sequence(_)) => SEQUENCE,
            };
            e.u32(op);
            result.as_ref().err().copied().unwrap_or(Status::Ok).encode(e);
            match result {
                Ok(CbReply::Getattr(attrs)) => attrs.encode(e),
                Ok(CbReply::Sequence(reply)) => reply.encode(e),
                Ok(CbReply::Recall) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_survive_the_wire_and_unknown_codes_are_failures() {
        let sequence =
            CbSequenceOk { session: [7; 16], sequence: 1, slot: 2, highest_slot: 3, target_highest_slot: 4 };
        let results = vec![
            Ok(CbReply::Sequence(sequence)),
            Ok(CbReply::Getattr(Fattr::default())),
            Ok(CbReply::Recall),
            Err(Status::BadHandle),
        ];
        let reply = CbCompoundReply { status: Status::BadHandle, results };
        let mut e = Encoder::new();
        reply.encode(&mut e);
        let mut d = Decoder::new(e.into_bytes());
        assert_eq!(CbCompoundReply::decode(&mut d), Ok(reply));
        assert_eq!(d.remaining(), 0);

        let mut e = Encoder::new();
        e.words(&[99_999, 0, 1, RECALL, 99_999]);
        let fault = Status::ServerFault;
        let unknown = CbCompoundReply { status: fault, results: vec![Err(fault)] };
        assert_eq!(CbCompoundReply::decode(&mut Decoder::new(e.into_bytes())), Ok(unknown));
    }

    #[test]
    fn calls_survive_the_wire() {
        let recall =
            CbRecallArgs { stateid: Stateid::CURRENT, truncate: false, object: FileHandle::default() };
        let sequence = CbSequenceArgs {
            session: [7; 16],
            sequence: 1,
            slot: 0,
            highest_slot: 0,
            cache_this: false,
            referring: List::default(),
        };
        let ops = List(vec![CbArgs::Sequence(sequence), CbArgs::Recall(recall)]);
        let call = CbCompoundArgs { tag: Opaque::default(), minor: 2, ident: 0, ops };
        let mut e = Encoder::new();
        call.encode(&mut e);
        assert_eq!(CbCompoundArgs::decode(&mut Decoder::new(e.into_bytes())), Ok(call));
    }
}
