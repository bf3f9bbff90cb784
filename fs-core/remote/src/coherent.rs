//! What mounts may trust of the attributes and names that they have heard: everything that changes a file goes through
//! here, and first has all others told that trust it.

use crate::former::Former;
use crate::shared::Shared;
use crate::touches::{Place, Touches};
use locking::{Change, LeaseId, Leases, Mark};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use types::{Cred, FileId, FsId, Leased};
use vfs::*;

/// How long a mount may trust, from when it has asked.
pub(crate) const TRUST: Duration = Duration::from_secs(1);
/// How long a mount that does not answer is waited for, from when it was answered: it trusts no more then.
const TERM: Duration = Duration::from_secs(3);
/// Whose number no client has.
const NOBODY: ClientId = ClientId(u128::MAX);
/// Changes that are told at once, at most.
const TOLD_MAX: usize = 4096;

/// What is about to change, and the lease that ends with saying so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) what: Leased,
    lease: u64,
}

/// The contract over `V`, with leases for clients that listen.
pub struct Coherent<V> {
    inner: Arc<V>,
    begun: Instant,
    former: Option<Former>,
    /// Nobody is let trust any more.
    closed: AtomicBool,
    leases: Mutex<Leases<ClientId>>,
    listeners: Mutex<HashMap<ClientId, Arc<Listener>>>,
    /// What is mounted at the other end of each connection.
    mounted: Mutex<HashMap<u64, FsId>>,
    /// Folders whose names are not to be trusted for now.
    shared: Shared,
    /// Inodes whose attributes are not.
    contested: Shared,
    /// A lease has been given back.
    back: Notify,
}

#[derive(Default)]
struct Listener {
    told: Mutex<Vec<Told>>,
    news: Notify,
}

impl Listener {
    fn next(&self) -> Vec<Told> {
        let mut told = self.told.lock();
        let some = told.len().min(TOLD_MAX);
        told.drain(..some).collect()
    }
}

/// A change on its way.
struct Changing<'a, V> {
    coherent: &'a Coherent<V>,
    change: Option<Change>,
}

impl<V> Drop for Changing<'_, V> {
    fn drop(&mut self) {
        if let Some(change) = self.change.take() {
            self.coherent.leases.lock().end(change);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<V: Vfs> Coherent<V> {
    /// Over `inner`, of which nobody has heard before `begun`: mounts may trust for a while what a former life of this
    /// daemon has told them.
    #[must_use]
    pub fn new(inner: Arc<V>, begun: std::time::Instant) -> Coherent<V> {
        let leases = Mutex::new(Leases::new(millis(TERM)));
        let (listeners, mounted) = (Mutex::default(), Mutex::default());
        let (shared, contested, back) = (Shared::default(), Shared::default(), Notify::new());
        let (begun, former, closed) = (begun.into(), None, AtomicBool::new(false));
        Coherent { inner, begun, former, closed, leases, listeners, mounted, shared, contested, back }
    }

    /// With what is known of the former life, and will be known of this one.
    #[must_use]
    pub fn after(self, former: Former) -> Coherent<V> {
        Coherent { former: Some(former), ..self }
    }

    /// To be called once: what is known of the former life is forgotten when nobody can trust it any more.
    pub async fn outlive(&self) {
        tokio::time::sleep_until(self.begun + TRUST).await;
        self.clear(|| self.listeners.lock().is_empty()).await;
    }

    /// Lets nobody trust any more, and returns when nobody does.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.distrust(|_| true).await;
        self.clear(|| true).await;
    }

    async fn clear(&self, nobody: impl FnOnce() -> bool) {
        if let Some(former) = &self.former
            && let Err(error) = former.clear(nobody).await
        {
            tracing::warn!(%error, "the next start will wait for mounts that trust nothing");
        }
    }

    fn now(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    /// To be taken before what is read that a lease is asked for.
    pub(crate) fn mark(&self) -> Mark {
        self.leases.lock().mark()
    }

    /// Whether names in `dir` may be trusted.
    pub(crate) fn lets_trust_names(&self, dir: FileId) -> bool {
        !self.shared.has(dir)
    }

    /// Whether `client` may trust what it hears, which was read since `mark`.
    pub(crate) fn grant(&self, client: ClientId, what: Leased, mark: Mark) -> bool {
        !self.closed.load(Ordering::Acquire)
            && self.listeners.lock().contains_key(&client)
            && !self.is_contested(what)
            && self.leases.lock().grant(self.now(), client, what, mark)
    }

    /// Whether these are attributes that somebody has changed a short while ago while somebody else trusted them. A kernel
    /// that is told of a change just when it asks leaves the answer aside, and goes on with what it knew.
    fn is_contested(&self, what: Leased) -> bool {
        matches!(what, Leased::Attributes(file) if self.contested.has(file))
    }

    /// Waits for changes that `client` has to hear of.
    pub(crate) async fn changes(&self, client: ClientId) -> Vec<Told> {
        if let Some(former) = &self.former
            && !self.closed.load(Ordering::Acquire)
            && let Err(error) = former.note().await
        {
            tracing::warn!(%error, "mounts are let trust nothing, as the next life would not know of it");
            return std::future::pending().await;
        }
        let listener = self.listeners.lock().entry(client).or_default().clone();
        loop {
            let news = listener.news.notified();
            let told = listener.next();
            if !told.is_empty() {
                return told;
            }
            news.await;
        }
    }

    /// The client trusts these no more.
    pub(crate) fn forgotten(&self, told: &[Told]) {
        let mut leases = self.leases.lock();
        told.iter().for_each(|told| leases.give_back(told.what, LeaseId(told.lease)));
        drop(leases);
        self.back.notify_waiters();
    }

    /// The client listens no more: what it trusts ends by itself.
    pub(crate) fn deaf(&self, client: ClientId) {
        self.listeners.lock().remove(&client);
    }

    /// What is mounted at the other end of a connection.
    pub(crate) fn mounts(&self, connection: u64, fs: Option<FsId>) {
        let mut mounted = self.mounted.lock();
        match fs {
            Some(fs) => mounted.insert(connection, fs),
            None => mounted.remove(&connection),
        };
    }

    /// How many connected processes have a filesystem mounted.
    #[must_use]
    pub fn mounts_of(&self, fs: FsId) -> usize {
        self.mounted.lock().values().filter(|mounted| **mounted == fs).count()
    }

    /// The filesystem is gone: waits until nobody trusts what was heard of it before.
    pub async fn gone(&self, fs: FsId) {
        self.distrust(|file| file.fs == fs).await;
    }

    async fn distrust(&self, which: impl Fn(FileId) -> bool) {
        let all = {
            let mut leases = self.leases.lock();
            // What was read before and is not answered yet is trusted by nobody.
            leases.distrust();
            leases.leased(which)
        };
        drop(self.change(NOBODY, all, &[]).await);
    }

    /// Waits until nobody but `client` trusts what is known of what `request` touches.
    async fn alone(&self, client: ClientId, request: &impl Touches) -> Changing<'_, V> {
        let (mut changes, mut dirs) = (Vec::with_capacity(3), Vec::new());
        for place in request.touches() {
            match place {
                Place::File(file) => changes.push(Leased::Attributes(file)),
                Place::Entry(dir, name) => {
                    let asked = Lookup { dir, name };
                    // Otherwise there is nothing of that name to be changed.
                    if let Ok(found) = self.inner.lookup(&Ctx::new(Cred::root()), asked).await {
                        let file = found.attr.file;
                        changes.extend([Leased::Attributes(file), Leased::Names(file)]);
                        dirs.push(dir);
                    }
                }
            }
        }
        self.change(client, changes, &dirs).await
    }

    /// Waits until nobody but `client` trusts any of these; names in `dirs`, if any.
    async fn change(&self, client: ClientId, of: Vec<Leased>, dirs: &[FileId]) -> Changing<'_, V> {
        let former = self.begun + TRUST;
        let trusted = self.former.as_ref().is_none_or(Former::is_trusted);
        let may_be_trusted = trusted && !of.is_empty() && Instant::now() < former;
        let (change, holders) = self.leases.lock().begin(self.now(), client, of);
        if holders.iter().any(|holder| matches!(holder.what, Leased::Names(_))) {
            dirs.iter().for_each(|dir| self.shared.note(*dir));
        }
        for holder in &holders {
            if let Leased::Attributes(file) = holder.what {
                self.contested.note(file);
            }
        }
        let changing = Changing { coherent: self, change: Some(change) };
        if may_be_trusted {
            tokio::time::sleep_until(former).await;
        }
        {
            let listeners = self.listeners.lock();
            for holder in &holders {
                if let Some(listener) = listeners.get(&holder.client) {
                    listener.told.lock().push(Told { what: holder.what, lease: holder.lease.0 });
                    listener.news.notify_one();
                }
            }
        }
        for holder in holders {
            let until = self.begun + Duration::from_millis(holder.until);
            loop {
                let back = self.back.notified();
                if !self.leases.lock().holds(self.now(), holder.what, holder.lease) {
                    break;
                }
                let _ = timeout_at(until, back).await;
            }
        }
        changing
    }
}

/// Operations that change nothing that clients trust, and those that do.
macro_rules! operations {
    (same { $($same:ident($same_request:ident) -> $same_reply:ty;)* }
     change { $($change:ident($request:ident) -> $reply:ty;)* }) => {
        impl<V: Vfs> Vfs for Coherent<V> {
            $(async fn $same(&self, ctx: &Ctx, request: $same_request) -> FsResult<$same_reply> {
                self.inner.$same(ctx, request).await
            })*
            $(async fn $change(&self, ctx: &Ctx, request: $request) -> FsResult<$reply> {
                let _alone = self.alone(ctx.client, &request).await;
                self.inner.$change(ctx, request).await
            })*
        }
    };
}

operations! {
    same {
        filesystem(Filesystem) -> FilesystemReply;
        statfs(StatFs) -> StatFsReply;
        lookup(Lookup) -> LookupReply;
        lookup_parent(LookupParent) -> LookupReply;
        getattr(GetAttr) -> GetAttrReply;
        access(Access) -> AccessReply;
        readlink(ReadLink) -> ReadLinkReply;
        readdir(ReadDir) -> ReadDirReply;
        reopen(Reopen) -> ();
        close(Close) -> ();
        read(Read) -> ReadReply;
        commit(Commit) -> CommitReply;
        seek(Seek) -> SeekReply;
        getxattr(GetXattr) -> GetXattrReply;
        listxattr(ListXattr) -> ListXattrReply;
        stage(Stage) -> OpenReply;
        list(List) -> ListReply;
        system(System) -> SystemReply;
        getsystem(GetSystem) -> GetSystemReply;
        lock(Lock) -> ();
        test_lock(TestLock) -> TestLockReply;
        release_owner(ReleaseOwner) -> ();
        end_client(EndClient) -> ();
        keep_client(KeepClient) -> ();
        kept_clients(KeptClients) -> KeptClientsReply;
        reclaimed(Reclaimed) -> ();
        forget_requests(ForgetRequests) -> ();
    }
    change {
        setattr(SetAttrOf) -> GetAttrReply;
        mkdir(Mkdir) -> CreateReply;
        symlink(Symlink) -> CreateReply;
        mknod(Mknod) -> CreateReply;
        link(Link) -> LinkReply;
        unlink(Unlink) -> RemoveReply;
        rmdir(Rmdir) -> RemoveReply;
        rename(Rename) -> RenameReply;
        open(Open) -> OpenReply;
        write(Write) -> WriteReply;
        allocate(Allocate) -> ();
        clone_range(CloneRange) -> ();
        setxattr(SetXattr) -> SetXattrReply;
        removexattr(RemoveXattr) -> SetXattrReply;
        put(Put) -> PutReply;
        setsystem(SetSystem) -> GetAttrReply;
        retain(Retain) -> GetAttrReply;
        set_guard(SetGuard) -> GetAttrReply;
    }
}
