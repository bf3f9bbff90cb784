//! Arguments of operations (RFC 8881 section 18, RFC 7862 section 15, RFC 8276 section 8.4).
#![expect(missing_docs, reason = "fields are named and explained in the RFCs, without their prefixes")]

use crate::{
    Bitmap, ChannelAttrs, ChannelFromClient, ClientOwner, Component, DataContent, Fattr, FileHandle,
    IO_BYTES_MAX, ImplId, LockType, OWNER_BYTES_MAX, SecinfoStyle, SessionId, SetXattrOption, SpecData,
    StableHow, StateOwner, Stateid, Verifier, XATTR_BYTES_MAX,
};
use xdr::{Decode, Decoder, Encode, Encoder, List, Opaque, XdrError, xdr_struct, xdr_union};

xdr_struct! {
    pub struct AccessArgs { pub access: u32 }
    pub struct CloseArgs { pub seqid: u32, pub stateid: Stateid }
    pub struct CommitArgs { pub offset: u64, pub count: u32 }
    pub struct CreateArgs { pub kind: CreateType, pub name: Component, pub attrs: Fattr }
    pub struct GetattrArgs { pub request: Bitmap }
    pub struct LinkArgs { pub name: Component }
    pub struct LockArgs {
        pub kind: LockType,
        pub reclaim: bool,
        pub offset: u64,
        pub length: u64,
        pub locker: Locker,
    }
    pub struct OpenToLockOwner {
        pub open_seqid: u32,
        pub open_stateid: Stateid,
        pub lock_seqid: u32,
        pub owner: StateOwner,
    }
    pub struct ExistingLockOwner { pub stateid: Stateid, pub seqid: u32 }
    pub struct LocktArgs { pub kind: LockType, pub offset: u64, pub length: u64, pub owner: StateOwner }
    pub struct LockuArgs {
        pub kind: LockType,
        pub seqid: u32,
        pub stateid: Stateid,
        pub offset: u64,
        pub length: u64,
    }
    pub struct LookupArgs { pub name: Component }
    pub struct VerifyArgs { pub attrs: Fattr }
    pub struct OpenArgs {
        pub seqid: u32,
        pub share_access: u32,
        pub share_deny: u32,
        pub owner: StateOwner,
        pub how: OpenHow,
        pub claim: OpenClaim,
    }
    pub struct CreateVerfAttrs { pub verifier: Verifier, pub attrs: Fattr }
    pub struct ClaimDelegateCur { pub stateid: Stateid, pub file: Component }
    pub struct DelegreturnArgs { pub stateid: Stateid }
    pub struct OpenDowngradeArgs {
        pub stateid: Stateid,
        pub seqid: u32,
        pub share_access: u32,
        pub share_deny: u32,
    }
    pub struct PutfhArgs { pub object: FileHandle }
    pub struct ReadArgs { pub stateid: Stateid, pub offset: u64, pub count: u32 }
    pub struct ReaddirArgs {
        pub cookie: u64,
        pub cookieverf: Verifier,
        pub dircount: u32,
        pub maxcount: u32,
        pub request: Bitmap,
    }
    pub struct RemoveArgs { pub target: Component }
    pub struct RenameArgs { pub old: Component, pub new: Component }
    pub struct SecinfoArgs { pub name: Component }
    pub struct SecinfoNoNameArgs { pub style: SecinfoStyle }
    pub struct SetattrArgs { pub stateid: Stateid, pub attrs: Fattr }
    pub struct WriteArgs {
        pub stateid: Stateid,
        pub offset: u64,
        pub stable: StableHow,
        pub data: Opaque<IO_BYTES_MAX>,
    }
    pub struct BackchannelCtlArgs { pub cb_program: u32, pub sec_parms: List<CallbackSec, 8> }
    pub struct BindConnArgs { pub session: SessionId, pub dir: ChannelFromClient, pub rdma: bool }
    pub struct ExchangeIdArgs {
        pub owner: ClientOwner,
        pub flags: u32,
        pub protect: StateProtect,
        pub impl_id: List<ImplId, 1>,
    }
    pub struct StateProtectOps { pub enforce: Bitmap, pub allow: Bitmap }
    pub struct SsvParms {
        pub ops: StateProtectOps,
        pub hash_algs: List<Opaque<256>, 16>,
        pub encr_algs: List<Opaque<256>, 16>,
        pub window: u32,
        pub handles: u32,
    }
    pub struct CreateSessionArgs {
        pub clientid: u64,
        pub sequence: u32,
        pub flags: u32,
        pub fore: ChannelAttrs,
        pub back: ChannelAttrs,
        pub cb_program: u32,
        pub sec_parms: List<CallbackSec, 8>,
    }
    pub struct CallbackSys {
        pub stamp: u32,
        pub machine: Opaque<255>,
        pub uid: u32,
        pub gid: u32,
        pub gids: List<u32, 16>,
    }
    pub struct CallbackGss { pub service: u32, pub from_server: Opaque<1024>, pub from_client: Opaque<1024> }
    pub struct DestroySessionArgs { pub session: SessionId }
    pub struct FreeStateidArgs { pub stateid: Stateid }
    pub struct SequenceArgs {
        pub session: SessionId,
        pub sequence: u32,
        pub slot: u32,
        pub highest_slot: u32,
        pub cache_this: bool,
    }
    pub struct TestStateidArgs { pub stateids: List<Stateid, 4096> }
    pub struct DestroyClientidArgs { pub clientid: u64 }
    pub struct ReclaimCompleteArgs { pub one_fs: bool }
    pub struct AllocateArgs { pub stateid: Stateid, pub offset: u64, pub length: u64 }
    pub struct CopyArgs {
        pub src_stateid: Stateid,
        pub dst_stateid: Stateid,
        pub src_offset: u64,
        pub dst_offset: u64,
        pub count: u64,
        pub consecutive: bool,
        pub synchronous: bool,
        pub source_server: List<Netloc, 16>,
    }
    pub struct IoAdviseArgs { pub stateid: Stateid, pub offset: u64, pub count: u64, pub hints: Bitmap }
    pub struct ReadPlusArgs { pub stateid: Stateid, pub offset: u64, pub count: u32 }
    pub struct SeekArgs { pub stateid: Stateid, pub offset: u64, pub what: DataContent }
    pub struct CloneArgs {
        pub src_stateid: Stateid,
        pub dst_stateid: Stateid,
        pub src_offset: u64,
        pub dst_offset: u64,
        pub count: u64,
    }
    pub struct GetxattrArgs { pub name: Component }
    pub struct SetxattrArgs {
        pub option: SetXattrOption,
        pub name: Component,
        pub value: Opaque<XATTR_BYTES_MAX>,
    }
    pub struct ListxattrsArgs { pub cookie: u64, pub maxcount: u32 }
    pub struct RemovexattrArgs { pub name: Component }
    pub struct Netaddr { pub netid: Opaque<64>, pub addr: Opaque<128> }
}

xdr_union! {
    /// createtype4.
    pub enum CreateType {
        1 => Reg(()), 2 => Dir(()), 3 => Blk(SpecData), 4 => Chr(SpecData), 5 => Lnk(Component),
        6 => Sock(()), 7 => Fifo(()), 8 => AttrDir(()), 9 => NamedAttr(()),
    }
    /// openflag4.
    pub enum OpenHow { 0 => NoCreate(()), 1 => Create(CreateHow) }
    /// createhow4.
    pub enum CreateHow {
        0 => Unchecked(Fattr), 1 => Guarded(Fattr), 2 => Exclusive(Verifier), 3 => Exclusive41(CreateVerfAttrs),
    }
    /// open_claim4.
    pub enum OpenClaim {
        0 => Null(Component),
        1 => Previous(u32),
        2 => DelegateCur(ClaimDelegateCur),
        3 => DelegatePrev(Component),
        4 => Fh(()),
        5 => DelegateCurFh(Stateid),
        6 => DelegatePrevFh(()),
    }
    /// state_protect4_a.
    pub enum StateProtect { 0 => None(()), 1 => MachCred(StateProtectOps), 2 => Ssv(SsvParms) }
    /// callback_sec_parms4.
    pub enum CallbackSec { 0 => None(()), 1 => Sys(CallbackSys), 6 => Gss(CallbackGss) }
    /// netloc4.
    pub enum Netloc { 1 => Name(Opaque<OWNER_BYTES_MAX>), 2 => Url(Opaque<OWNER_BYTES_MAX>), 3 => Addr(Netaddr) }
}

/// locker4.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Locker {
    New(OpenToLockOwner),
    Existing(ExistingLockOwner),
}

impl Encode for Locker {
    fn encode(&self, e: &mut Encoder) {
        match self {
            Locker::New(owner) => {
                e.bool(true);
                owner.encode(e);
            }
            Locker::Existing(owner) => {
                e.bool(false);
                owner.encode(e);
            }
        }
    }
}

impl Decode for Locker {
    fn decode(d: &mut Decoder) -> Result<Locker, XdrError> {
        if d.bool()? {
            OpenToLockOwner::decode(d).map(Locker::New)
        } else {
            ExistingLockOwner::decode(d).map(Locker::Existing)
        }
    }
}
