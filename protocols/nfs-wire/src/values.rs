//! Values that several operations share.
#![expect(missing_docs, reason = "fields are named and explained in RFC 8881 section 3.3")]

use crate::{Bitmap, HANDLE_BYTES_MAX, OWNER_BYTES_MAX, Status};

use xdr::{Decode, Decoder, Encode, Encoder, List, Opaque, XdrError, xdr_enum, xdr_struct, xdr_union};

/// nfs_fh4.
pub type FileHandle = Opaque<HANDLE_BYTES_MAX>;
/// component4; whether it is a name is for the file system to say.
pub type Component = Opaque<{ crate::COMPONENT_BYTES_MAX }>;
/// verifier4.
pub type Verifier = [u8; 8];
/// sessionid4.
pub type SessionId = [u8; 16];

xdr_enum! {
    /// nfs_ftype4.
    pub enum FileType {
        Reg = 1, Dir = 2, Blk = 3, Chr = 4, Lnk = 5, Sock = 6, Fifo = 7, AttrDir = 8, NamedAttr = 9,
    }
    /// stable_how4.
    pub enum StableHow { Unstable = 0, DataSync = 1, FileSync = 2 }
    /// nfs_lock_type4.
    pub enum LockType { Read = 1, Write = 2, ReadWait = 3, WriteWait = 4 }
    /// data_content4 (RFC 7862 section 4.5).
    pub enum DataContent { Data = 0, Hole = 1 }
    /// setxattr_option4 (RFC 8276 section 8.4.3).
    pub enum SetXattrOption { Either = 0, Create = 1, Replace = 2 }
    /// secinfo_style4.
    pub enum SecinfoStyle { CurrentFh = 0, Parent = 1 }
    /// channel_dir_from_client4.
    pub enum ChannelFromClient { Fore = 1, Back = 2, ForeOrBoth = 3, BackOrBoth = 7 }
    /// channel_dir_from_server4.
    pub enum ChannelFromServer { Fore = 1, Back = 2, Both = 3 }
}

xdr_struct! {
    /// stateid4.
    pub struct Stateid { pub seqid: u32, pub other: [u8; 12] }
    /// nfstime4.
    pub struct Time { pub seconds: i64, pub nseconds: u32 }
    /// fsid4.
    pub struct Fsid { pub major: u64, pub minor: u64 }
    /// specdata4.
    pub struct SpecData { pub major: u32, pub minor: u32 }
    /// change_info4.
    pub struct ChangeInfo { pub atomic: bool, pub before: u64, pub after: u64 }
    /// state_owner4, open_owner4, lock_owner4.
    pub struct StateOwner { pub clientid: u64, pub owner: Opaque<OWNER_BYTES_MAX> }
    /// client_owner4.
    pub struct ClientOwner { pub verifier: Verifier, pub ownerid: Opaque<OWNER_BYTES_MAX> }
    /// nfs_impl_id4.
    pub struct ImplId { pub domain: Opaque<1024>, pub name: Opaque<1024>, pub date: Time }
    /// server_owner4.
    pub struct ServerOwner { pub minor_id: u64, pub major_id: Opaque<OWNER_BYTES_MAX> }
    /// channel_attrs4.
    pub struct ChannelAttrs {
        pub header_pad_size: u32,
        pub max_request_size: u32,
        pub max_response_size: u32,
        pub max_response_size_cached: u32,
        pub max_operations: u32,
        pub max_requests: u32,
        pub rdma_ird: List<u32, 1>,
    }
    /// open_arguments4 (RFC 9754 section 5): what OPEN understands.
    pub struct OpenArguments {
        pub share_access: Bitmap,
        pub share_deny: Bitmap,
        pub share_access_want: Bitmap,
        pub open_claim: Bitmap,
        pub create_mode: Bitmap,
    }
    /// mode_umask4 (RFC 8275) and mode_masked4.
    pub struct ModeMask { pub mode: u32, pub mask: u32 }
    /// app_data_hole4's place in read_plus_content: data_info4 without its bytes.
    pub struct Hole { pub offset: u64, pub length: u64 }
    /// data4.
    pub struct DataRun { pub offset: u64, pub data: Opaque<{ crate::IO_BYTES_MAX }> }
    /// write_response4 (RFC 7862 section 15.2.2).
    pub struct WriteResponse {
        pub callback_id: List<Stateid, 1>,
        pub count: u64,
        pub committed: StableHow,
        pub verifier: Verifier,
    }
    /// copy_requirements4.
    pub struct CopyRequirements { pub consecutive: bool, pub synchronous: bool }
    /// LOCK4denied.
    pub struct LockDenied { pub offset: u64, pub length: u64, pub kind: LockType, pub owner: StateOwner }
}

xdr_union! {
    /// settime4.
    pub enum SetTime { 0 => Server(()), 1 => Client(Time) }
    /// read_plus_content.
    pub enum ReadPlusContent { 0 => Data(DataRun), 1 => Hole(Hole) }
}

impl Copy for Stateid {}
impl Copy for Time {}
impl Copy for ModeMask {}

impl Stateid {
    /// Stands for "no state" (RFC 8881 section 8.2.3).
    pub const ANONYMOUS: Stateid = Stateid { seqid: 0, other: [0; 12] };
    /// Reads past locks.
    pub const BYPASS: Stateid = Stateid { seqid: u32::MAX, other: [0xff; 12] };
    /// Stands for the stateid of the operation before.
    pub const CURRENT: Stateid = Stateid { seqid: 1, other: [0; 12] };
}

impl std::hash::Hash for Stateid {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.seqid, self.other).hash(state);
    }
}

impl Status {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }
}

/// entry4 of READDIR with the "another follows" marks of the linked list (RFC 8881 section 18.23.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    pub cookie: u64,
    pub name: Component,
    pub attrs: crate::Fattr,
}

/// dirlist4.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DirList {
    pub entries: Vec<DirEntry>,
    pub eof: bool,
}

impl DirEntry {
    /// Bytes that the entry takes on the wire, its mark included.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        let mut attrs = Encoder::new();
        self.attrs.encode(&mut attrs);
        4 + 8 + 4 + self.name.len().next_multiple_of(4) + attrs.len()
    }
}

impl Encode for DirList {
    fn encode(&self, e: &mut Encoder) {
        for entry in &self.entries {
            e.bool(true);
            e.u64(entry.cookie);
            entry.name.encode(e);
            entry.attrs.encode(e);
        }
        e.bool(false);
        e.bool(self.eof);
    }
}

impl Decode for DirList {
    fn decode(d: &mut Decoder) -> Result<DirList, XdrError> {
        let mut entries = Vec::new();
        while d.bool()? {
            let cookie = d.u64()?;
            let name = Component::decode(d)?;
            let attrs = crate::Fattr::decode(d)?;
            entries.push(DirEntry { cookie, name, attrs });
        }
        Ok(DirList { entries, eof: d.bool()? })
    }
}
