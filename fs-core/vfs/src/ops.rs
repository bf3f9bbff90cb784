//! One operation, one file.

mod access;
mod allocate;
mod clone_range;
mod close;
mod commit;
mod end_client;
mod filesystem;
mod getattr;
mod kept_client;
mod link;
mod lock;
mod lookup;
mod mkdir;
mod mknod;
mod open;
mod read;
mod readdir;
mod readlink;
mod rename;
mod rmdir;
mod seek;
mod setattr;
mod statfs;
mod symlink;
mod unlink;
mod write;
mod xattr;

pub use access::{Access, AccessReply};
pub use allocate::{Allocate, AllocateHow};
pub use clone_range::CloneRange;
pub use close::Close;
pub use commit::{Commit, CommitReply};
pub use end_client::EndClient;
pub use filesystem::{Filesystem, FilesystemReply};
pub use getattr::{GetAttr, GetAttrReply};
pub use kept_client::{ForgetRequests, Head, KeepClient, KeptClients, KeptClientsReply, Reclaimed};
pub use link::{Link, LinkReply};
pub use lock::{Lock, LockKind, LockOwner, LockSpace, ReleaseOwner, TestLock, TestLockReply};
pub use lookup::{Lookup, LookupParent, LookupReply};
pub use mkdir::{CreateReply, DirChange, Mkdir};
pub use mknod::{Mknod, NodeKind};
pub use open::{Create, CreateHow, Open, OpenAccess, OpenId, OpenReply, OpenTarget, Reopen};
pub use read::{Read, ReadReply};
pub use readdir::{DirEntry, ReadDir, ReadDirReply};
pub use readlink::{ReadLink, ReadLinkReply};
pub use rename::{Rename, RenameHow, RenameReply};
pub use rmdir::Rmdir;
pub use seek::{Seek, SeekReply, SeekWhat};
pub use setattr::SetAttrOf;
pub use statfs::{StatFs, StatFsReply};
pub use symlink::Symlink;
pub use unlink::{RemoveReply, Unlink};
pub use write::{Durability, Verifier, Write, WriteOffset, WriteReply};
pub use xattr::{
    GetXattr, GetXattrReply, ListXattr, ListXattrReply, RemoveXattr, SetXattr, SetXattrHow, SetXattrReply,
};
