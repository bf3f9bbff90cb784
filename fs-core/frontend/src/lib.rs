//! Implements the contract of the heads out of namespace, metadata, data and locks.
//!
//! Names and attributes are commands to the inode's shard, durable when they are acknowledged. Written
//! data wait in memory, bounded, until somebody asks for durability, the bound is reached or
//! they are old enough; then they go to stripes, and a command makes them part of the file (law 2). What
//! waits is overlaid on everything that is read meanwhile.

#![forbid(unsafe_code)]

mod background;
mod clients;
mod data_plane;
mod dirty;
mod explain;
mod flush;
mod forgetting;
mod grace;
mod laying;
mod ledger;
mod locks;
mod look;
mod making;
mod nodes;
mod opens;
mod ops;
mod parts;
mod present;
mod promise;
mod propose;
mod read_cache;
mod removals;
pub mod sim;
mod stripe_ids;

pub use background::{Background, Check, Checks, OnDrives, ScrubReport, Taken};
pub use data_plane::{AskRoom, DataPlane, stripe_place};
pub use ops::FilesystemUsage;
pub use parts::{
    ListFrom, ListedStripe, PlacedStripe, Purpose, Room, Shards, ShardsView, StripeError, StripePage,
    Stripes, Usage, Verified,
};
pub use read_cache::ReadCacheUse;
pub use removals::{FilesystemRemoval, RemoveError};

use background::{Progress, Work};
use clients::Clients;
use env::{Clock, Random};
use forgetting::Forgetting;
use laying::Laying;
use ledger::Ledger;
use locks::LockTable;
use making::Making;
use metadata::Locking;
use nodes::Nodes;
use opens::Opens;
use read_cache::ReadCache;
use removals::Removals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use stripe_ids::StripeIds;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use types::FsError;
use vfs::{Verifier, Vfs};

/// What a frontend may use, and when it writes back.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes written but not yet durable, over all files; writers wait beyond.
    pub dirty_bytes_max: u64,
    /// Memory for data that were read, for who reads them again; 0: nothing is kept.
    pub read_cache_bytes: u64,
    /// Bytes of one file that start write-back.
    pub dirty_file_bytes: u64,
    /// Age that starts write-back.
    pub dirty_age: Duration,
    /// How long clients of a former life may take to claim again what they had.
    pub grace: Duration,
    /// How long a file must not have changed before its small writes are folded into stripes.
    pub fold_age: Duration,
    /// Bytes of small writes in one slot of which none is too young to be folded.
    pub fold_bytes: u64,
    /// Time between two looks for slots in which much is dead.
    pub clean_period: Duration,
    /// Within which everything is read again from the drives; zero: never.
    pub scrub_period: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            dirty_bytes_max: 256 << 20,
            read_cache_bytes: 0,
            dirty_file_bytes: 16 << 20,
            dirty_age: Duration::from_secs(1),
            grace: Duration::from_secs(90),
            fold_age: Duration::from_secs(10),
            fold_bytes: 4 << 20,
            clean_period: Duration::from_secs(10),
            scrub_period: Duration::from_secs(7 * 86_400),
        }
    }
}

/// The file system as heads see it. Cheap to clone.
pub struct Frontend<S: Shards, D: Stripes>(Arc<Inner<S, D>>);

impl<S: Shards, D: Stripes> Clone for Frontend<S, D> {
    fn clone(&self) -> Self {
        Frontend(self.0.clone())
    }
}

struct Inner<S, D> {
    shards: S,
    stripes: D,
    options: Options,
    clock: Arc<dyn Clock>,
    verifier: Verifier,
    nodes: Nodes,
    opens: Opens,
    making: Making,
    locks: LockTable,
    removals: Arc<Removals>,
    stripe_ids: StripeIds,
    read_cache: ReadCache,
    /// Memory of what waits in all files, about.
    dirty_bytes: AtomicU64,
    /// Bytes on drives that what waits has been promised.
    promised: AtomicU64,
    /// Held by who makes room for all.
    making_room: AsyncMutex<()>,
    /// Write-backs that have ended.
    written_back: AtomicU64,
    /// Work did not fit the queue: look for it.
    missed: AtomicBool,
    clients: Arc<Clients>,
    forgetting: Arc<Forgetting>,
    counted: AsyncMutex<Option<ops::Counted>>,
    /// What files take.
    ledger: Ledger,
    progress: Progress,
    laying: Laying,
    /// The key of digests in commands of this life.
    fold_key: [u8; 16],
    work: mpsc::Sender<Work>,
    /// Whether what was not committed yet is freed. That it is is a bug which tests plant.
    hasty: bool,
}

/// What a frontend is started with.
struct Parts<S, D> {
    shards: S,
    stripes: D,
    options: Options,
    clock: Arc<dyn Clock>,
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Starts on what is there: goes on with what a former life left to do, and frees stripes that it
    /// wrote but never committed.
    ///
    /// # Errors
    /// [`FsError::Io`] when shards or drives cannot be read.
    pub async fn start(
        shards: S,
        stripes: D,
        options: Options,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
    ) -> Result<Self, FsError> {
        Self::start_with(Parts { shards, stripes, options, clock }, random, false).await
    }

    async fn start_with(parts: Parts<S, D>, random: &dyn Random, hasty: bool) -> Result<Self, FsError> {
        let Parts { shards, stripes, options, clock } = parts;
        let (clients, forgetting, removals) = {
            let view = shards.view(Locking::Nobody);
            let ended = look::read(&view, namespace::queries::client::ended).await?;
            let removals = Arc::new(Removals::recall(&view).await?);
            (Arc::new(Clients::recall(&view).await?), Arc::new(Forgetting::recall(ended)), removals)
        };
        let (sender, receiver) = mpsc::channel(background::QUEUE);
        let mut fold_key = [0; 16];
        random.fill(&mut fold_key);
        let read_cache = ReadCache::new(options.read_cache_bytes);
        let inner = Inner {
            shards,
            stripes,
            options,
            clock,
            verifier: Verifier(random.next().to_be_bytes()),
            nodes: Nodes::default(),
            opens: Opens::default(),
            making: Making::default(),
            locks: LockTable::default(),
            removals,
            stripe_ids: StripeIds::default(),
            read_cache,
            dirty_bytes: AtomicU64::new(0),
            promised: AtomicU64::new(0),
            making_room: AsyncMutex::default(),
            written_back: AtomicU64::new(0),
            missed: AtomicBool::new(false),
            clients,
            forgetting,
            counted: AsyncMutex::default(),
            ledger: Ledger::default(),
            progress: Progress::default(),
            laying: Laying::default(),
            fold_key,
            work: sender,
            hasty,
        };
        let frontend = Frontend(Arc::new(inner));
        // So that what is kept with the metadata and what is reserved counts from the first write on.
        frontend.with_ledger(|_| ()).await?;
        background::start(&frontend, receiver).await?;
        Ok(frontend)
    }

    /// Finds the filesystem `name`, or makes it with a root that belongs to the superuser.
    ///
    /// # Errors
    /// Those of the shard.
    pub async fn make_filesystem(&self, name: &str, random: &dyn Random) -> Result<types::FsId, FsError> {
        let mut hash_key = [0; 16];
        random.fill(&mut hash_key);
        if let Some((_, fs)) = self.filesystems().await?.into_iter().find(|(known, _)| known == name) {
            return Ok(fs);
        }
        let action = namespace::Action::MakeFilesystem { name: name.to_owned(), hash_key };
        let cred = types::Cred::root();
        match self.propose_as(cred, types::FsId(0), action).await? {
            namespace::Reply::Filesystem(fs) => Ok(fs),
            reply => Err(propose::unexpected(&reply)),
        }
    }

    /// Names of all filesystems.
    ///
    /// # Errors
    /// [`FsError::Io`].
    pub async fn filesystems(&self) -> Result<Vec<(String, types::FsId)>, FsError> {
        let found = self.past(namespace::queries::inode::filesystems).await?;
        Ok(found.into_iter().map(|fs| (fs.name, fs.id)).collect())
    }

    /// What the cache of data has done since the start.
    #[must_use]
    pub fn read_cache(&self) -> ReadCacheUse {
        self.0.read_cache.usage()
    }

    /// Writes back everything that waits.
    ///
    /// # Errors
    /// The first that a file met; the others are tried all the same.
    pub async fn flush_all(&self) -> Result<(), FsError> {
        let mut result = Ok(());
        for node in self.0.nodes.chosen(|state| !state.is_clean()) {
            result = self.flush(&node).await.and(result);
        }
        result
    }
}

macro_rules! implement {
    ($($kind:ident $method:ident($request:ident) -> $reply:ty;)*) => {
        impl<S: Shards, D: Stripes> Vfs for Frontend<S, D> {
            $(async fn $method(&self, ctx: &vfs::Ctx, request: vfs::$request) -> vfs::FsResult<$reply> {
                implement!(@$kind self, ctx, request, $method)
            })*

            fn open_elsewhere(&self, file: types::FileId, client: vfs::ClientId) -> vfs::OpenElsewhere {
                self.0.locks.elsewhere(file, client)
            }

            fn may_claim(&self, client: Option<vfs::ClientId>) -> bool {
                self.0.clients.in_grace() && client.is_none_or(|client| self.0.clients.owes(client))
            }

            async fn all_claimed(&self) {
                self.0.clients.grace_is_over().await;
            }
        }
    };
    (@may_end_early $this:ident, $ctx:ident, $request:ident, $method:ident) => {
        ops::$method($this, $ctx, $request).await
    };
    (@whole $this:ident, $ctx:ident, $request:ident, $method:ident) => {{
        let (this, ctx) = ($this.clone(), $ctx.clone());
        propose::whole(async move { ops::$method(&this, &ctx, $request).await }).await
    }};
    (@unremembered $this:ident, $ctx:ident, $request:ident, $method:ident) => {
        if $ctx.again { Err(FsError::NotDone) } else { ops::$method($this, $ctx, $request).await }
    };
    (@unremembered_whole $this:ident, $ctx:ident, $request:ident, $method:ident) => {
        if $ctx.again { Err(FsError::NotDone) } else { implement!(@whole $this, $ctx, $request, $method) }
    };
}

// Whole are those that have something to do here after their command has taken effect; unremembered are changes
// whose replies are not kept.
implement! {
    may_end_early filesystem(Filesystem) -> vfs::FilesystemReply;
    may_end_early statfs(StatFs) -> vfs::StatFsReply;
    may_end_early lookup(Lookup) -> vfs::LookupReply;
    may_end_early lookup_parent(LookupParent) -> vfs::LookupReply;
    may_end_early getattr(GetAttr) -> vfs::GetAttrReply;
    whole setattr(SetAttrOf) -> vfs::GetAttrReply;
    may_end_early access(Access) -> vfs::AccessReply;
    may_end_early mkdir(Mkdir) -> vfs::CreateReply;
    may_end_early symlink(Symlink) -> vfs::CreateReply;
    may_end_early mknod(Mknod) -> vfs::CreateReply;
    may_end_early readlink(ReadLink) -> vfs::ReadLinkReply;
    whole link(Link) -> vfs::LinkReply;
    whole unlink(Unlink) -> vfs::RemoveReply;
    whole rmdir(Rmdir) -> vfs::RemoveReply;
    whole rename(Rename) -> vfs::RenameReply;
    may_end_early readdir(ReadDir) -> vfs::ReadDirReply;
    whole open(Open) -> vfs::OpenReply;
    unremembered reopen(Reopen) -> ();
    unremembered_whole close(Close) -> ();
    may_end_early read(Read) -> vfs::ReadReply;
    unremembered write(Write) -> vfs::WriteReply;
    may_end_early commit(Commit) -> vfs::CommitReply;
    unremembered_whole allocate(Allocate) -> ();
    may_end_early seek(Seek) -> vfs::SeekReply;
    unremembered_whole clone_range(CloneRange) -> ();
    may_end_early getxattr(GetXattr) -> vfs::GetXattrReply;
    whole setxattr(SetXattr) -> vfs::SetXattrReply;
    may_end_early listxattr(ListXattr) -> vfs::ListXattrReply;
    whole removexattr(RemoveXattr) -> vfs::SetXattrReply;
    unremembered_whole stage(Stage) -> vfs::OpenReply;
    whole put(Put) -> vfs::PutReply;
    may_end_early list(List) -> vfs::ListReply;
    may_end_early system(System) -> vfs::SystemReply;
    may_end_early getsystem(GetSystem) -> vfs::GetSystemReply;
    unremembered_whole setsystem(SetSystem) -> vfs::GetAttrReply;
    unremembered_whole retain(Retain) -> vfs::GetAttrReply;
    unremembered_whole set_guard(SetGuard) -> vfs::GetAttrReply;
    unremembered lock(Lock) -> ();
    may_end_early test_lock(TestLock) -> vfs::TestLockReply;
    unremembered release_owner(ReleaseOwner) -> ();
    unremembered_whole end_client(EndClient) -> ();
    unremembered_whole keep_client(KeepClient) -> ();
    may_end_early kept_clients(KeptClients) -> vfs::KeptClientsReply;
    unremembered reclaimed(Reclaimed) -> ();
    unremembered_whole forget_requests(ForgetRequests) -> ();
}
