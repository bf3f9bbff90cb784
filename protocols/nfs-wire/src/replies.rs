//! Results of operations that went well.
#![expect(missing_docs, reason = "fields are named and explained in the RFCs, without their prefixes")]

use crate::{
    Bitmap, ChangeInfo, ChannelAttrs, ChannelFromServer, CopyRequirements, DirList, Fattr, FileHandle,
    IO_BYTES_MAX, ImplId, LockDenied, ReadPlusContent, ServerOwner, SessionId, StableHow, Stateid, Status,
    Verifier, WriteResponse, XATTR_BYTES_MAX,
};
use xdr::{List, Opaque, xdr_struct, xdr_union};

xdr_struct! {
    pub struct AccessOk { pub supported: u32, pub access: u32 }
    pub struct StateidOk { pub stateid: Stateid }
    pub struct VerifierOk { pub verifier: Verifier }
    pub struct CreateOk { pub change: ChangeInfo, pub attrset: Bitmap }
    pub struct GetattrOk { pub attrs: Fattr }
    pub struct GetfhOk { pub object: FileHandle }
    pub struct ChangeOk { pub change: ChangeInfo }
    pub struct OpenOk {
        pub stateid: Stateid,
        pub change: ChangeInfo,
        pub rflags: u32,
        pub attrset: Bitmap,
        pub delegation: Delegation,
    }
    pub struct WhyNoDelegation { pub why: u32 }
    pub struct ReadOk { pub eof: bool, pub data: Opaque<IO_BYTES_MAX> }
    pub struct ReaddirOk { pub cookieverf: Verifier, pub list: DirList }
    pub struct ReadlinkOk { pub link: Opaque<4096> }
    pub struct RenameOk { pub source: ChangeInfo, pub target: ChangeInfo }
    pub struct SecinfoOk { pub flavors: List<u32, 8> }
    pub struct SetattrOk { pub attrsset: Bitmap }
    pub struct WriteOk { pub count: u32, pub committed: StableHow, pub verifier: Verifier }
    pub struct BindConnOk { pub session: SessionId, pub dir: ChannelFromServer, pub rdma: bool }
    pub struct ExchangeIdOk {
        pub clientid: u64,
        pub sequence: u32,
        pub flags: u32,
        pub protect: u32,
        pub server_owner: ServerOwner,
        pub scope: Opaque<1024>,
        pub impl_id: List<ImplId, 1>,
    }
    pub struct CreateSessionOk {
        pub session: SessionId,
        pub sequence: u32,
        pub flags: u32,
        pub fore: ChannelAttrs,
        pub back: ChannelAttrs,
    }
    pub struct SequenceOk {
        pub session: SessionId,
        pub sequence: u32,
        pub slot: u32,
        pub highest_slot: u32,
        pub target_highest_slot: u32,
        pub status_flags: u32,
    }
    pub struct TestStateidOk { pub statuses: List<Status, 4096> }
    pub struct CopyOk { pub response: WriteResponse, pub requirements: CopyRequirements }
    pub struct IoAdviseOk { pub hints: Bitmap }
    pub struct ReadPlusOk { pub eof: bool, pub contents: List<ReadPlusContent, 16> }
    pub struct SeekOk { pub eof: bool, pub offset: u64 }
    pub struct GetxattrOk { pub value: Opaque<XATTR_BYTES_MAX> }
    pub struct ListxattrsOk { pub cookie: u64, pub names: List<Opaque<1024>, 65_536>, pub eof: bool }
}

xdr_union! {
    /// open_delegation4, as far as it is given here.
    pub enum Delegation { 0 => None(()), 3 => NoneExt(WhyNoDelegation) }
}

/// What LOCK and LOCKT end with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LockOutcome<T> {
    /// Granted, or would be.
    Granted(T),
    /// Another lock stands in the way.
    Denied(LockDenied),
}
