//! The contract between the heads and the file system: one request and reply per operation.
//!
//! Everything here is plain data; nothing of a protocol, of placement or of storage shows. A head
//! turns its wire into these requests and these replies (or [`FsError`]) into its wire. Every
//! change is atomic, and names and attributes are durable when the reply is given; data written
//! with [`Durability::Unstable`] are durable after [`Vfs::commit`].
//!
//! After a restart nothing is open or locked. Who may have had something is remembered, and in a time of grace
//! claims it again ([`Open::reclaim`], [`Lock::reclaim`]); until the last of them has, or the time is over,
//! [`FsError::Grace`] meets whatever could be in a claim's way, and what lost its last name stays.
//!
//! Semantics are POSIX.1-2017 unless a request says otherwise; the caller's rights are decided on
//! the other side of this contract, in one place.

#![forbid(unsafe_code)]

mod ctx;
mod delegation;
mod ops;

pub use ctx::{ClientId, Ctx};
pub use delegation::{AskHolder, Delegate, HolderQuestion, NotDelegated, OpenElsewhere};
pub use ops::*;

use std::future::Future;
use std::time::Duration;
use types::{DelegationId, FileId, FsError, Leased};

/// A result as every operation gives it.
pub type FsResult<T> = Result<T, FsError>;

macro_rules! contract {
    ($($(#[$doc:meta])* $method:ident($request:ident) -> $reply:ty;)*) => {
        /// The file system as heads see it.
        pub trait Vfs: Send + Sync + 'static {
            $($(#[$doc])* fn $method(&self, ctx: &Ctx, request: $request)
                -> impl Future<Output = FsResult<$reply>> + Send;)*

            /// From now on `told` is called with what may be trusted ([`GetAttrReply::trust`],
            /// [`LookupReply::name_trust`]) before others change it; they wait until what it returns has come to its end, or that trust has. Who
            /// never lets anybody trust never calls.
            fn listen<F, R>(&self, told: F)
            where
                F: Fn(Leased) -> R + Send + Sync + 'static,
                R: Future<Output = ()> + Send + 'static,
            {
                drop(told);
            }

            /// From now on files may be delegated to clients of the head that calls this: it answers for them, and gives those that are asked for
            /// something `term` before they lose it to who waits. At most one head calls this.
            fn answer_for_holders<F, R>(&self, term: Duration, asked: F)
            where
                F: Fn(AskHolder) -> R + Send + Sync + 'static,
                R: Future<Output = bool> + Send + 'static,
            {
                drop((term, asked));
            }

            /// Delegates a file to the client of `ctx`. While it is, everybody else who could be in the way waits until the
            /// client has given it back ([`Vfs::give_back`]).
            ///
            /// # Errors
            /// [`NotDelegated`].
            fn delegate(&self, ctx: &Ctx, request: Delegate)
                -> impl Future<Output = Result<DelegationId, NotDelegated>> + Send {
                let _ = (ctx, request);
                async { Err(NotDelegated::NotSupported) }
            }

            /// The client has no delegation of this number any more, and keeps nothing that it has written through it.
            fn give_back(&self, id: DelegationId) {
                let _ = id;
            }

            /// What the opens of others than `client` do with a file; where that is not known, everything.
            fn open_elsewhere(&self, file: FileId, client: ClientId) -> OpenElsewhere {
                let _ = (file, client);
                OpenElsewhere::UNKNOWN
            }

            /// Whether this client may still claim what it had before a restart; `None`: whether anybody may.
            fn may_claim(&self, client: Option<ClientId>) -> bool {
                let _ = client;
                false
            }

            /// Waits until nobody may claim anything any more.
            fn all_claimed(&self) -> impl Future<Output = ()> + Send {
                async {}
            }
        }

        /// Any request, for what carries the contract elsewhere or records it.
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[expect(missing_docs, reason = "each variant is documented by the struct that it holds")]
        pub enum Request { $($request($request),)* }

        /// The reply to the [`Request`] of the same name.
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[expect(missing_docs, reason = "each variant is documented by the struct that it holds")]
        pub enum Reply { $($request($reply),)* }

        impl Request {
            /// Runs the request on `vfs`.
            ///
            /// # Errors
            /// Those of the operation.
            pub async fn run<V: Vfs>(self, vfs: &V, ctx: &Ctx) -> FsResult<Reply> {
                match self {
                    $(Request::$request(request) => vfs.$method(ctx, request).await.map(Reply::$request),)*
                }
            }

            /// Whether only a head in the daemon itself may ask for it: clients of mounts see nothing of what heads keep.
            #[must_use]
            pub fn is_of_heads(&self) -> bool {
                matches!(
                    self,
                    Request::Stage(_)
                        | Request::Put(_)
                        | Request::System(_)
                        | Request::GetSystem(_)
                        | Request::SetSystem(_)
                        | Request::Retain(_)
                        | Request::SetGuard(_)
                        | Request::Rename(Rename { how: RenameHow::Restore, .. })
                )
            }

            /// The operation's name, for logs and counters.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Request::$request(_) => stringify!($method),)* }
            }
        }

        $(impl From<$request> for Request {
            fn from(request: $request) -> Request { Request::$request(request) }
        })*
    };
}

contract! {
    /// Finds a filesystem by name.
    filesystem(Filesystem) -> FilesystemReply;
    /// Capacity and counts of a filesystem.
    statfs(StatFs) -> StatFsReply;
    /// Finds an entry of a directory.
    lookup(Lookup) -> LookupReply;
    /// Finds the parent of a directory; the root's is itself.
    lookup_parent(LookupParent) -> LookupReply;
    /// Reads attributes.
    getattr(GetAttr) -> GetAttrReply;
    /// Changes attributes; changing the size cuts or extends.
    setattr(SetAttrOf) -> GetAttrReply;
    /// Asks which rights the caller has.
    access(Access) -> AccessReply;
    /// Makes a directory.
    mkdir(Mkdir) -> CreateReply;
    /// Makes a symbolic link.
    symlink(Symlink) -> CreateReply;
    /// Makes a device node, FIFO, socket or regular file without opening it.
    mknod(Mknod) -> CreateReply;
    /// Reads the target of a symbolic link.
    readlink(ReadLink) -> ReadLinkReply;
    /// Gives an inode another name.
    link(Link) -> LinkReply;
    /// Removes the name of anything but a directory.
    unlink(Unlink) -> RemoveReply;
    /// Removes an empty directory.
    rmdir(Rmdir) -> RemoveReply;
    /// Moves or exchanges names.
    rename(Rename) -> RenameReply;
    /// Lists a directory from a cookie on.
    readdir(ReadDir) -> ReadDirReply;
    /// Opens a regular file, and creates it first when asked to.
    open(Open) -> OpenReply;
    /// Changes what an open may do (OPEN_DOWNGRADE and upgrades of the same owner).
    reopen(Reopen) -> ();
    /// Ends an open; its byte-range locks end with it only where the head releases them.
    close(Close) -> ();
    /// Reads data.
    read(Read) -> ReadReply;
    /// Writes data.
    write(Write) -> WriteReply;
    /// Makes what was written durable.
    commit(Commit) -> CommitReply;
    /// Reserves, frees or zeroes a run of bytes.
    allocate(Allocate) -> ();
    /// Finds data or a hole.
    seek(Seek) -> SeekReply;
    /// Lets two files share a run of bytes; later writes to either do not show in the other.
    clone_range(CloneRange) -> ();
    /// Reads an extended attribute.
    getxattr(GetXattr) -> GetXattrReply;
    /// Sets an extended attribute.
    setxattr(SetXattr) -> SetXattrReply;
    /// Lists the names of extended attributes.
    listxattr(ListXattr) -> ListXattrReply;
    /// Removes an extended attribute.
    removexattr(RemoveXattr) -> SetXattrReply;
    /// Makes a file that has no name yet.
    stage(Stage) -> OpenReply;
    /// Puts a whole file at a name, in one step.
    put(Put) -> PutReply;
    /// Lists a directory in the order of names.
    list(List) -> ListReply;
    /// Finds the directory for what heads keep.
    system(System) -> SystemReply;
    /// Reads all system attributes.
    getsystem(GetSystem) -> GetSystemReply;
    /// Sets or removes a system attribute.
    setsystem(SetSystem) -> GetAttrReply;
    /// Retains a file.
    retain(Retain) -> GetAttrReply;
    /// Guards a directory on the way to what is retained.
    set_guard(SetGuard) -> GetAttrReply;
    /// Takes, changes or gives up a byte-range lock, waiting when asked to.
    lock(Lock) -> ();
    /// Asks which lock would stand in the way.
    test_lock(TestLock) -> TestLockReply;
    /// Gives up every lock of an owner on a file.
    release_owner(ReleaseOwner) -> ();
    /// Ends a client: its opens, locks and waits are gone, and what was kept and remembered of it.
    end_client(EndClient) -> ();
    /// Keeps what a head has to know of a client after a restart.
    keep_client(KeepClient) -> ();
    /// Lists what a head has kept.
    kept_clients(KeptClients) -> KeptClientsReply;
    /// Ends a client's claims of what it had before a restart.
    reclaimed(Reclaimed) -> ();
    /// Forgets the replies to changes that will not be sent again.
    forget_requests(ForgetRequests) -> ();
}
