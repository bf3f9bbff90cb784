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
        pub delegation: OpenDelegation,
    }
    /// nfsace4.
    pub struct Ace { pub kind: u32, pub flag: u32, pub mask: u32, pub who: Opaque<1024> }
    /// open_read_delegation4.
    pub struct ReadDelegation { pub stateid: Stateid, pub recall: bool, pub permissions: Ace }
    /// open_write_delegation4.
    pub struct WriteDelegation {
        pub stateid: Stateid,
        pub recall: bool,
        pub space_limit: SpaceLimit,
        pub permissions: Ace,
    }
    /// nfs_modified_limit4.
    pub struct ModifiedLimit { pub blocks: u32, pub bytes_per_block: u32 }
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
    /// open_delegation4.
    pub enum OpenDelegation {
        0 => None(()), 1 => Read(ReadDelegation), 2 => Write(WriteDelegation), 3 => NoneExt(WhyNoDelegation),
    }
    /// nfs_space_limit4.
    pub enum SpaceLimit { 1 => Size(u64), 2 => Blocks(ModifiedLimit) }
    /// open_none_delegation4; whether the server will tell when that changes.
    pub enum WhyNoDelegation {
        0 => NotWanted(()), 1 => Contention(bool), 2 => Resource(bool), 3 => NotSuppFtype(()),
        4 => WriteNotSuppFtype(()), 5 => NotSuppUpgrade(()), 6 => NotSuppDowngrade(()), 7 => Cancelled(()),
        8 => IsDir(()),
    }
}

/// What LOCK and LOCKT end with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LockOutcome<T> {
    /// Granted, or would be.
    Granted(T),
    /// Another lock stands in the way.
    Denied(LockDenied),
}
