//! The reference: an in-memory file system that is obviously right, to compare the real one with.
//!
//! One mutex, ordered maps, no cleverness. Time comes from a closure, everything else from the
//! requests, so that the same requests give the same answers. Reads do not change the access time.
//! Reservations of space are not modelled: nothing is ever full.

#![forbid(unsafe_code)]

mod attrs;
mod clients;
mod content;
mod entries;
mod inode;
mod io;
mod life;
mod locks;
mod opens;
mod rename;
mod replay;
mod retention;
mod state;
mod system;
mod xattrs;

use state::{FS, State};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use types::{FileId, FsError, RequestId, Time};
use vfs::*;

/// Where the model takes its time from.
pub type Clock = Box<dyn Fn() -> Time + Send + Sync>;

/// An in-memory [`Vfs`] with one filesystem, `default`.
pub struct Model {
    state: Mutex<State>,
}

impl Default for Model {
    fn default() -> Model {
        Model::new()
    }
}

impl Model {
    /// An empty filesystem whose clock moves on by a microsecond with each look at it.
    #[must_use]
    pub fn new() -> Model {
        let ticks = AtomicI64::new(0);
        Model::with_clock(Box::new(move || {
            let tick = ticks.fetch_add(1, Ordering::Relaxed);
            let nanoseconds = (tick % 1_000_000) as u32 * 1000;
            Time { seconds: 1_000_000_000 + tick / 1_000_000, nanoseconds }
        }))
    }

    /// An empty filesystem on the time of day, for real clients.
    #[must_use]
    pub fn of_today() -> Model {
        Model::with_clock(Box::new(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Time { seconds: now.as_secs() as i64, nanoseconds: now.subsec_nanos() }
        }))
    }

    /// An empty filesystem on the given time.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Model {
        Model { state: Mutex::new(State::new(clock)) }
    }

    /// Remembers what was durable, so that [`Model::restart`] loses unstable writes. Costs a copy of the
    /// file at its first unstable write after a commit.
    #[must_use]
    pub fn losing_unstable_writes(self) -> Model {
        self.state().keep_durable = true;
        self
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> FileId {
        FileId::root(FS)
    }

    /// What a crash and a new start do: opens, locks, waits and (see [`Model::losing_unstable_writes`])
    /// unstable writes are gone, the verifier is another. When there are clients that had something, a time of
    /// grace begins, which ends with the last that has reclaimed, or at [`Model::end_grace`].
    pub fn restart(&self) {
        self.state().restart();
    }

    /// The time of grace is over, whoever has not reclaimed by now.
    pub fn end_grace(&self) {
        self.state().end_grace();
    }

    /// The next answers to changes with an identity are, in this order, not given: the change is done, but who has asked
    /// hears this.
    pub fn lose_replies(&self, instead: &[FsError]) {
        self.state().lost_replies.extend(instead);
    }

    /// The next `times` that a client is to end fail, and it has what it had.
    pub fn refuse_ends(&self, times: u32) {
        self.state().refused_ends = times;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a change, or gives the answer that it had before.
    fn change<T: Clone + Send + 'static>(
        &self,
        ctx: &Ctx,
        run: impl FnOnce(&mut State) -> FsResult<T>,
    ) -> FsResult<T> {
        self.change_or(ctx, false, run, |_, reply| Ok(reply))
    }

    fn change_or<T: Clone + Send + 'static>(
        &self,
        ctx: &Ctx,
        volatile: bool,
        run: impl FnOnce(&mut State) -> FsResult<T>,
        again: impl FnOnce(&mut State, T) -> FsResult<T>,
    ) -> FsResult<T> {
        let mut state = self.state();
        let Some(id) = ctx.request else {
            return if ctx.again { Err(FsError::NotDone) } else { run(&mut state) };
        };
        let reply = Model::once_or(&mut state, ctx.again, id, volatile, run, again);
        match state.lost_replies.pop_front() {
            Some(instead) => Err(instead),
            None => reply,
        }
    }

    fn once_or<T: Clone + Send + 'static>(
        state: &mut State,
        only_again: bool,
        id: RequestId,
        volatile: bool,
        run: impl FnOnce(&mut State) -> FsResult<T>,
        again: impl FnOnce(&mut State, T) -> FsResult<T>,
    ) -> FsResult<T> {
        if only_again {
            let first = state.replay.first::<T>(id)?;
            return again(state, first);
        }
        if let Some(first) = state.replay.find::<T>(id)? {
            return first.and_then(|reply| again(state, reply));
        }
        let reply = run(state);
        if !matches!(reply, Err(FsError::Grace | FsError::Delay | FsError::Uncertain)) {
            state.replay.keep(id, &reply, volatile);
        }
        reply
    }
}

impl Vfs for Model {
    fn open_elsewhere(&self, file: FileId, client: ClientId) -> OpenElsewhere {
        self.state().opens.elsewhere(file.ino, client)
    }

    fn may_claim(&self, client: Option<ClientId>) -> bool {
        let state = self.state();
        client.map_or_else(|| state.clients.owes_any(), |client| state.clients.owes(client))
    }

    async fn filesystem(&self, _ctx: &Ctx, request: Filesystem) -> FsResult<FilesystemReply> {
        if request.name == "default" {
            Ok(FilesystemReply { root: self.root() })
        } else {
            Err(FsError::NotFound)
        }
    }

    async fn statfs(&self, _ctx: &Ctx, request: StatFs) -> FsResult<StatFsReply> {
        if request.fs != FS {
            return Err(FsError::Stale);
        }
        Ok(self.state().statfs())
    }

    async fn lookup(&self, ctx: &Ctx, request: Lookup) -> FsResult<LookupReply> {
        self.state().lookup(ctx, &request)
    }

    async fn lookup_parent(&self, ctx: &Ctx, request: LookupParent) -> FsResult<LookupReply> {
        self.state().lookup_parent(ctx, &request)
    }

    async fn getattr(&self, _ctx: &Ctx, request: GetAttr) -> FsResult<GetAttrReply> {
        self.state().getattr(request.file)
    }

    async fn setattr(&self, ctx: &Ctx, request: SetAttrOf) -> FsResult<GetAttrReply> {
        self.change(ctx, |state| state.setattr(ctx, &request))
    }

    async fn access(&self, ctx: &Ctx, request: Access) -> FsResult<AccessReply> {
        self.state().access(ctx, &request)
    }

    async fn mkdir(&self, ctx: &Ctx, request: Mkdir) -> FsResult<CreateReply> {
        self.change(ctx, |state| state.mkdir(ctx, &request))
    }

    async fn symlink(&self, ctx: &Ctx, request: Symlink) -> FsResult<CreateReply> {
        self.change(ctx, |state| state.symlink(ctx, &request))
    }

    async fn mknod(&self, ctx: &Ctx, request: Mknod) -> FsResult<CreateReply> {
        self.change(ctx, |state| state.mknod(ctx, &request))
    }

    async fn readlink(&self, _ctx: &Ctx, request: ReadLink) -> FsResult<ReadLinkReply> {
        self.state().readlink(&request)
    }

    async fn link(&self, ctx: &Ctx, request: Link) -> FsResult<LinkReply> {
        self.change(ctx, |state| state.link(ctx, &request))
    }

    async fn unlink(&self, ctx: &Ctx, request: Unlink) -> FsResult<RemoveReply> {
        self.change(ctx, |state| state.unlink(ctx, &request))
    }

    async fn rmdir(&self, ctx: &Ctx, request: Rmdir) -> FsResult<RemoveReply> {
        self.change(ctx, |state| state.rmdir(ctx, &request))
    }

    async fn rename(&self, ctx: &Ctx, request: Rename) -> FsResult<RenameReply> {
        self.change(ctx, |state| state.rename(ctx, &request))
    }

    async fn readdir(&self, ctx: &Ctx, request: ReadDir) -> FsResult<ReadDirReply> {
        self.state().readdir(ctx, &request)
    }

    async fn open(&self, ctx: &Ctx, request: Open) -> FsResult<OpenReply> {
        let first = request.clone();
        self.change_or(
            ctx,
            false,
            |state| state.open(ctx, request),
            |state, reply| state.revive(ctx, &first, &reply),
        )
    }

    async fn reopen(&self, ctx: &Ctx, request: Reopen) -> FsResult<()> {
        self.state().reopen(ctx, &request)
    }

    async fn close(&self, _ctx: &Ctx, request: Close) -> FsResult<()> {
        self.state().close(&request)
    }

    async fn read(&self, ctx: &Ctx, request: Read) -> FsResult<ReadReply> {
        self.state().read(ctx, &request)
    }

    async fn write(&self, ctx: &Ctx, request: Write) -> FsResult<WriteReply> {
        let volatile = request.durability == Durability::Unstable;
        self.change_or(ctx, volatile, |state| state.write(ctx, &request), |_, reply| Ok(reply))
    }

    async fn commit(&self, _ctx: &Ctx, request: Commit) -> FsResult<CommitReply> {
        self.state().commit(&request)
    }

    async fn allocate(&self, ctx: &Ctx, request: Allocate) -> FsResult<()> {
        self.change(ctx, |state| state.allocate(ctx, &request))
    }

    async fn seek(&self, _ctx: &Ctx, request: Seek) -> FsResult<SeekReply> {
        self.state().seek(&request)
    }

    async fn clone_range(&self, ctx: &Ctx, request: CloneRange) -> FsResult<()> {
        self.change(ctx, |state| state.clone_range(ctx, &request))
    }

    async fn getxattr(&self, ctx: &Ctx, request: GetXattr) -> FsResult<GetXattrReply> {
        self.state().getxattr(ctx, &request)
    }

    async fn setxattr(&self, ctx: &Ctx, request: SetXattr) -> FsResult<SetXattrReply> {
        self.change(ctx, |state| state.setxattr(ctx, &request))
    }

    async fn listxattr(&self, ctx: &Ctx, request: ListXattr) -> FsResult<ListXattrReply> {
        self.state().listxattr(ctx, &request)
    }

    async fn removexattr(&self, ctx: &Ctx, request: RemoveXattr) -> FsResult<SetXattrReply> {
        self.change(ctx, |state| state.removexattr(ctx, &request))
    }

    async fn stage(&self, ctx: &Ctx, request: Stage) -> FsResult<OpenReply> {
        self.state().stage(ctx, &request)
    }

    async fn put(&self, ctx: &Ctx, request: Put) -> FsResult<PutReply> {
        self.change(ctx, |state| state.put(ctx, &request))
    }

    async fn list(&self, ctx: &Ctx, request: List) -> FsResult<ListReply> {
        self.state().list(ctx, &request)
    }

    async fn system(&self, _ctx: &Ctx, request: System) -> FsResult<SystemReply> {
        self.state().system(&request)
    }

    async fn getsystem(&self, _ctx: &Ctx, request: GetSystem) -> FsResult<GetSystemReply> {
        self.state().getsystem(&request)
    }

    async fn retain(&self, ctx: &Ctx, request: Retain) -> FsResult<GetAttrReply> {
        self.state().retain(ctx, &request)
    }

    async fn set_guard(&self, ctx: &Ctx, request: SetGuard) -> FsResult<GetAttrReply> {
        self.state().set_guard(ctx, &request)
    }

    async fn setsystem(&self, ctx: &Ctx, request: SetSystem) -> FsResult<GetAttrReply> {
        self.state().setsystem(ctx, &request)
    }

    async fn lock(&self, ctx: &Ctx, request: Lock) -> FsResult<()> {
        self.lock_or_wait(ctx, request).await
    }

    async fn test_lock(&self, _ctx: &Ctx, request: TestLock) -> FsResult<TestLockReply> {
        self.state().test_lock(&request)
    }

    async fn release_owner(&self, _ctx: &Ctx, request: ReleaseOwner) -> FsResult<()> {
        self.state().release_owner(&request)
    }

    async fn end_client(&self, _ctx: &Ctx, request: EndClient) -> FsResult<()> {
        let mut state = self.state();
        if state.refused_ends > 0 {
            state.refused_ends -= 1;
            return Err(FsError::Io);
        }
        state.end_client(request.client);
        Ok(())
    }

    async fn keep_client(&self, _ctx: &Ctx, request: KeepClient) -> FsResult<()> {
        self.state().clients.keep(&request)
    }

    async fn kept_clients(&self, _ctx: &Ctx, request: KeptClients) -> FsResult<KeptClientsReply> {
        Ok(self.state().clients.list(&request))
    }

    async fn reclaimed(&self, _ctx: &Ctx, request: Reclaimed) -> FsResult<()> {
        self.state().settle(request.client);
        Ok(())
    }

    async fn forget_requests(&self, _ctx: &Ctx, request: ForgetRequests) -> FsResult<()> {
        self.state().replay.forget(request.client, &request.channels);
        Ok(())
    }
}
