//! What mounts may trust of the attributes and names that they have heard: everything that changes a file goes through
//! here, and first has all others told that trust it.

use crate::delegated_file::DelegatedFile;
use crate::delegating::{Delegating, Using};
use crate::former::Former;
use crate::shared::Shared;
use crate::touches::{Place, Touches};
use locking::{Change, LeaseId, Leases, Mark, Need};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use types::{Attr, Cred, Delegation, DelegationId, FileId, FileKind, FsError, FsId, Leased};
use vfs::*;

/// How long a mount may trust, from when it has asked.
pub(crate) const TRUST: Duration = Duration::from_secs(1);
/// How long a mount that does not answer is waited for, from when it was answered: it trusts no more then.
const TERM: Duration = Duration::from_secs(3);
/// Whose number no client has.
const NOBODY: ClientId = ClientId(u128::MAX);
/// Changes that are told at once, at most.
const TOLD_MAX: usize = 4096;
/// How often it is looked again what a name leads to, after a wait.
const TRIES: usize = 8;

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
    delegating: Delegating,
}

/// What a request is about to change.
struct Touched {
    leased: Vec<Leased>,
    files: Vec<(FileId, Need)>,
    /// Folders of whose names one is about to change.
    dirs: Vec<FileId>,
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
    using: Option<Using<'a>>,
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
        let of_inner = inner.clone();
        let delegating = Delegating::new(begun, Box::new(move |client| of_inner.may_claim(Some(client))));
        Coherent {
            inner,
            begun,
            former,
            closed,
            leases,
            listeners,
            mounted,
            shared,
            contested,
            back,
            delegating,
        }
    }

    /// With what is known of the former life, and will be known of this one.
    #[must_use]
    pub fn after(self, former: Former) -> Coherent<V> {
        Coherent { former: Some(former), ..self }
    }

    /// With what the former life has delegated, and will be delegated in this one.
    ///
    /// # Errors
    /// That it cannot be written down.
    pub fn with_delegations(self, file: DelegatedFile) -> io::Result<Coherent<V>> {
        Ok(Coherent { delegating: self.delegating.after(file)?, ..self })
    }

    /// To be called once: what is known of the former life is forgotten when nobody can trust it any more, or claim what it
    /// had.
    pub async fn outlive(&self) {
        tokio::time::sleep_until(self.begun + TRUST).await;
        self.clear(|| self.listeners.lock().is_empty()).await;
        self.inner.all_claimed().await;
        while let Err(error) = self.delegating.all_claimed().await {
            tracing::warn!(%error, "nothing is delegated, and others wait, as it cannot be written down what is");
            tokio::time::sleep(TERM).await;
        }
    }

    /// Lets nobody trust any more, and returns when nobody does.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.distrust(|_| true).await;
        self.clear(|| true).await;
    }

    /// To be called when all heads have ended.
    pub async fn end(&self) {
        if let Err(error) = self.delegating.close().await {
            tracing::warn!(%error, "the next start will look for delegations");
        }
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
        if self.closed.load(Ordering::Acquire)
            || !self.listeners.lock().contains_key(&client)
            || self.is_contested(what)
        {
            return false;
        }
        // Who delegates a file looks at its leases afterwards.
        let mut leases = self.leases.lock();
        !self.delegating.may_be_written(client, what.file()) && leases.grant(self.now(), client, what, mark)
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

    /// Asks for all that is delegated of a filesystem, so that only what somebody has open counts as open. Who does not answer soon
    /// keeps it.
    pub async fn take_back(&self, fs: FsId) {
        self.delegating.take_back(NOBODY, fs).await;
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

    /// Waits until nobody but the client of `ctx` trusts what is known of what `request` touches, or keeps anything of it.
    ///
    /// # Errors
    /// [`FsError::Delay`] for those who ask again.
    async fn alone(&self, ctx: &Ctx, request: &impl Touches) -> FsResult<Changing<'_, V>> {
        for _ in 0..TRIES {
            let touched = self.touched(request).await;
            let (using, waited) = self.delegating.begin(ctx, touched.files).await?;
            // Meanwhile another file may have come to a name.
            if !waited {
                let mut changing = self.change(ctx.client, touched.leased, &touched.dirs).await;
                changing.using = Some(using);
                return Ok(changing);
            }
        }
        Err(FsError::Delay)
    }

    async fn touched(&self, request: &impl Touches) -> Touched {
        let mut touched =
            Touched { leased: Vec::with_capacity(3), files: Vec::with_capacity(3), dirs: Vec::new() };
        for place in request.touches() {
            match place {
                Place::Folder(dir) => touched.leased.push(Leased::Attributes(dir)),
                Place::File(file) => {
                    touched.leased.push(Leased::Attributes(file));
                    touched.files.push((file, request.need()));
                }
                Place::Entry(dir, name) => {
                    let asked = Lookup { dir, name };
                    // Otherwise there is nothing of that name to be changed.
                    if let Ok(found) = self.inner.lookup(&Ctx::new(Cred::root()), asked).await {
                        let file = found.attr.file;
                        touched.leased.extend([Leased::Attributes(file), Leased::Names(file)]);
                        if found.attr.kind == FileKind::File {
                            touched.files.push((file, request.need()));
                        }
                        touched.dirs.push(dir);
                    }
                }
            }
        }
        touched
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
        let changing = Changing { coherent: self, change: Some(change), using: None };
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

impl<V: Vfs> Coherent<V> {
    /// The attributes as they are now, of a file that somebody else may know more of than was read.
    async fn newest(&self, ctx: &Ctx, attr: &mut Attr) -> FsResult<()> {
        if self.delegating.is_written(ctx.client, attr.file) && self.delegating.look(ctx, attr.file).await? {
            *attr = self.inner.getattr(ctx, GetAttr { file: attr.file }).await?.attr;
        }
        Ok(())
    }

    /// Opens what is opened by name without being changed: which file that is shows only then.
    async fn open_by_name(&self, ctx: &Ctx, request: Open) -> FsResult<OpenReply> {
        let need = request.need();
        let mut reply = self.inner.open(ctx, request).await?;
        let outcome = async {
            if self.delegating.clear(ctx, &[(reply.attr.file, need)]).await? {
                reply.attr = self.inner.getattr(ctx, GetAttr { file: reply.attr.file }).await?.attr;
            }
            Ok(())
        };
        if let Err(error) = outcome.await {
            self.inner.close(ctx, Close { open: reply.open }).await?;
            return Err(error);
        }
        Ok(reply)
    }

    /// Whether something is in the way of a delegation that the table of delegations does not know of.
    fn is_in_use(&self, client: ClientId, Delegate { file, kind, reclaim }: Delegate) -> bool {
        // What others may still claim cannot be in the way of what is claimed, too.
        !reclaim && self.inner.may_claim(None)
            || self.inner.open_elsewhere(file, client).is_in_way_of(kind)
            || kind == Delegation::Write
                && self.leases.lock().is_held_by_others(self.now(), client, Leased::Attributes(file))
    }
}

/// What a request looks at of a file.
trait Looks {
    fn looks(&self) -> (FileId, Need);
}

macro_rules! look {
    ($($request:ident($field:ident, $need:expr);)*) => {
        $(impl Looks for $request {
            fn looks(&self) -> (FileId, Need) {
                let needs: fn(&$request) -> Need = $need;
                (self.$field, needs(self))
            }
        })*
    };
}

/// Whoever holds a delegation keeps locks to itself that others would have to see.
fn of_lock(kind: LockKind) -> Need {
    if kind == LockKind::Exclusive { Need::Change } else { Need::Lock }
}

look! {
    Read(file, |_| Need::Look);
    Seek(file, |_| Need::Look);
    Lock(file, |lock| of_lock(lock.kind));
    TestLock(file, |test| of_lock(test.kind));
}

/// Operations that have nothing to do with what clients trust or keep, those that look at a file, and those that change one.
macro_rules! operations {
    (same { $($same:ident($same_request:ident) -> $same_reply:ty;)* }
     look { $($look:ident($look_request:ident) -> $look_reply:ty;)* }
     change { $($change:ident($request:ident) -> $reply:ty;)* }
     $($rest:item)*) => {
        impl<V: Vfs> Vfs for Coherent<V> {
            $(async fn $same(&self, ctx: &Ctx, request: $same_request) -> FsResult<$same_reply> {
                self.inner.$same(ctx, request).await
            })*
            $(async fn $look(&self, ctx: &Ctx, request: $look_request) -> FsResult<$look_reply> {
                self.delegating.clear(ctx, &[request.looks()]).await?;
                self.inner.$look(ctx, request).await
            })*
            $(async fn $change(&self, ctx: &Ctx, request: $request) -> FsResult<$reply> {
                let _alone = self.alone(ctx, &request).await?;
                self.inner.$change(ctx, request).await
            })*
            $($rest)*
        }
    };
}

operations! {
    same {
        filesystem(Filesystem) -> FilesystemReply;
        statfs(StatFs) -> StatFsReply;
        lookup_parent(LookupParent) -> LookupReply;
        access(Access) -> AccessReply;
        readlink(ReadLink) -> ReadLinkReply;
        reopen(Reopen) -> ();
        close(Close) -> ();
        commit(Commit) -> CommitReply;
        getxattr(GetXattr) -> GetXattrReply;
        listxattr(ListXattr) -> ListXattrReply;
        stage(Stage) -> OpenReply;
        system(System) -> SystemReply;
        getsystem(GetSystem) -> GetSystemReply;
        release_owner(ReleaseOwner) -> ();
        keep_client(KeepClient) -> ();
        kept_clients(KeptClients) -> KeptClientsReply;
        forget_requests(ForgetRequests) -> ();
    }
    look {
        read(Read) -> ReadReply;
        seek(Seek) -> SeekReply;
        lock(Lock) -> ();
        test_lock(TestLock) -> TestLockReply;
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
        write(Write) -> WriteReply;
        allocate(Allocate) -> ();
        setxattr(SetXattr) -> SetXattrReply;
        removexattr(RemoveXattr) -> SetXattrReply;
        put(Put) -> PutReply;
        setsystem(SetSystem) -> GetAttrReply;
        retain(Retain) -> GetAttrReply;
        set_guard(SetGuard) -> GetAttrReply;
    }

    async fn lookup(&self, ctx: &Ctx, request: Lookup) -> FsResult<LookupReply> {
        let mut reply = self.inner.lookup(ctx, request).await?;
        self.newest(ctx, &mut reply.attr).await?;
        Ok(reply)
    }

    async fn getattr(&self, ctx: &Ctx, request: GetAttr) -> FsResult<GetAttrReply> {
        self.delegating.look(ctx, request.file).await?;
        self.inner.getattr(ctx, request).await
    }

    async fn readdir(&self, ctx: &Ctx, request: ReadDir) -> FsResult<ReadDirReply> {
        let mut reply = self.inner.readdir(ctx, request).await?;
        for attr in reply.entries.iter_mut().filter_map(|entry| entry.attr.as_mut()) {
            self.newest(ctx, attr).await?;
        }
        Ok(reply)
    }

    async fn list(&self, ctx: &Ctx, request: List) -> FsResult<ListReply> {
        let mut reply = self.inner.list(ctx, request).await?;
        for entry in &mut reply.entries {
            self.newest(ctx, &mut entry.attr).await?;
        }
        Ok(reply)
    }

    async fn open(&self, ctx: &Ctx, request: Open) -> FsResult<OpenReply> {
        let known = match &request.target {
            OpenTarget::File(file) => Some(*file),
            OpenTarget::Entry { .. } => None,
        };
        let denies = request.deny.read || request.deny.write;
        if known.is_none() && request.create.is_none() && !request.truncate && !denies {
            return self.open_by_name(ctx, request).await;
        }
        let of: Vec<_> = known.map(|file| (file, request.need())).into_iter().collect();
        let (_using, _) = self.delegating.begin(ctx, of).await?;
        let _alone = self.alone(ctx, &request).await?;
        self.inner.open(ctx, request).await
    }

    async fn clone_range(&self, ctx: &Ctx, request: CloneRange) -> FsResult<()> {
        self.delegating.clear(ctx, &[(request.from, Need::Look)]).await?;
        let _alone = self.alone(ctx, &request).await?;
        self.inner.clone_range(ctx, request).await
    }

    async fn reclaimed(&self, ctx: &Ctx, request: Reclaimed) -> FsResult<()> {
        let client = request.client;
        self.inner.reclaimed(ctx, request).await?;
        self.delegating.claimed(client);
        Ok(())
    }

    async fn end_client(&self, ctx: &Ctx, request: EndClient) -> FsResult<()> {
        self.delegating.end_client(request.client);
        self.inner.end_client(ctx, request).await
    }

    fn answer_for_holders<F, R>(&self, term: Duration, asked: F)
    where
        F: Fn(AskHolder) -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.delegating.answered_by(term, asked);
    }

    async fn delegate(&self, ctx: &Ctx, request: Delegate) -> Result<DelegationId, NotDelegated> {
        self.delegating.delegate(ctx, request, || self.is_in_use(ctx.client, request)).await
    }

    fn give_back(&self, id: DelegationId) {
        self.delegating.give_back(id);
    }

    fn open_elsewhere(&self, file: FileId, client: ClientId) -> OpenElsewhere {
        self.inner.open_elsewhere(file, client)
    }

    fn may_claim(&self, client: Option<ClientId>) -> bool {
        self.inner.may_claim(client)
    }

    async fn all_claimed(&self) {
        self.inner.all_claimed().await;
    }
}
