//! The mount's end: the contract, over whatever connection there is.

use crate::channels::Channels;
use crate::held::Held;
use crate::link::{self, Address, Greeted, RemoteError, RemoteOptions};
use crate::opens::{OpenFile, Opens};
use crate::recover;
use crate::retained::{Kept, Retained};
use crate::trust;
use crate::wire::{self, Ask, Tell};
use bytes::Bytes;
use fabric::{Client, FabricError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};
use tokio::task::AbortHandle;
use types::{ByteRange, Cred, FileId, FsError, FsId, Leased};
use vfs::*;

/// First and longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long a daemon may say "later" before the caller hears of it.
const LATER_MAX: Duration = Duration::from_secs(120);

/// How long the end of this client waits for a daemon that is away.
const FAREWELL: Duration = Duration::from_secs(5);

/// The present way to the daemon; `None` while there is none.
pub(crate) type Way = Option<Client<Ask, Tell>>;

/// The contract over a connection to a daemon. Must be made and dropped within a tokio runtime.
pub struct RemoteVfs {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// What callers and background tasks share.
pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) options: RemoteOptions,
    pub(crate) link: watch::Sender<Way>,
    pub(crate) opens: Opens,
    pub(crate) held: Held,
    pub(crate) retained: Retained,
    channels: Channels,
    /// The filesystem that was asked for last, which a daemon is told at each new connection.
    pub(crate) mounted: Mutex<Option<FsId>>,
    /// Held by everybody who asks until what the answer changes here is noted, and alone by whoever
    /// restores a new life of the daemon from these notes.
    pub(crate) life: Arc<RwLock<()>>,
}

/// Keeps a new life of the daemon from being restored before the answer is noted. Not to be held while
/// asking for something else.
type Noting = OwnedRwLockReadGuard<()>;

/// Pauses that grow.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Pauses {
        Pauses(PAUSE.0)
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE.1);
    }
}

impl Drop for RemoteVfs {
    fn drop(&mut self) {
        self.tasks.lock().iter().for_each(AbortHandle::abort);
    }
}

impl RemoteVfs {
    /// Connects to the daemon. From then on the connection is kept, through restarts of the daemon.
    ///
    /// # Errors
    /// When the daemon cannot be reached now, so that whoever mounts hears of it.
    pub async fn connect(address: Address, options: RemoteOptions) -> Result<RemoteVfs, RemoteError> {
        let Greeted { client, instance, .. } = link::connect(&address, options.client(), None).await?;
        let (link, _) = watch::channel(Some(client));
        let channels = Channels::new(options.session);
        let (opens, held, retained) = (Opens::default(), Held::default(), Retained::default());
        let (life, mounted) = (Arc::default(), Mutex::default());
        let shared =
            Arc::new(Shared { address, options, link, opens, held, retained, channels, mounted, life });
        let keeper = tokio::spawn(recover::keep_connected(shared.clone(), instance)).abort_handle();
        let committer = tokio::spawn(commit_old(shared.clone())).abort_handle();
        Ok(RemoteVfs { shared, tasks: Mutex::new(vec![keeper, committer]) })
    }

    /// Makes everything durable that was written so far; for a clean unmount.
    ///
    /// # Errors
    /// The first that a file met; the others are tried all the same.
    pub async fn flush(&self) -> FsResult<()> {
        let mut result = Ok(());
        for file in self.shared.retained.files() {
            match self.shared.commit(file, ALL).await {
                // Removed since: nobody can miss what was written to it.
                Ok(_) | Err(FsError::Stale) => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

const ALL: ByteRange = ByteRange { offset: 0, end: u64::MAX };

/// Commits what has been kept long enough.
async fn commit_old(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(shared.options.commit_after / 2).await;
        let Some(before) = Instant::now().checked_sub(shared.options.commit_after) else { continue };
        for file in shared.retained.older(before) {
            match shared.commit(file, ALL).await {
                // Removed since: nobody can miss what was written to it.
                Ok(_) | Err(FsError::Stale) => {}
                Err(error) => tracing::warn!(%error, %file, "written data cannot be made durable yet"),
            }
        }
    }
}

impl Shared {
    /// Sends until there is an answer.
    async fn send(&self, ctx: &Ctx, request: &Request) -> FsResult<(Reply, Noting)> {
        let begun = Instant::now();
        let mut pauses = Pauses::new();
        loop {
            let client = self.present().await?;
            let noting = self.life.clone().read_owned().await;
            let mut request = request.clone();
            self.opens.translate(&mut request)?;
            match once(&client, ctx.clone(), request).await {
                Ok(Err(FsError::Delay | FsError::Grace | FsError::Uncertain))
                    if begun.elapsed() < LATER_MAX => {}
                Ok(reply) => return reply.map(|reply| (reply, noting)),
                Err(FabricError::Closed | FabricError::TimedOut) => {
                    self.lost(&client);
                    continue;
                }
                Err(FabricError::Busy) => {}
                Err(error) => {
                    tracing::error!(%error, "the daemon cannot be asked");
                    return Err(FsError::Io);
                }
            }
            drop(noting);
            pauses.pause().await;
        }
    }

    /// The present connection, as soon as there is one.
    pub(crate) async fn present(&self) -> FsResult<Client<Ask, Tell>> {
        let mut link = self.link.subscribe();
        let present = link.wait_for(Option::is_some).await.map_err(|_| FsError::Io)?;
        present.clone().ok_or(FsError::Io)
    }

    /// Nobody shall use this connection any more.
    fn lost(&self, client: &Client<Ask, Tell>) {
        self.link.send_if_modified(|link| {
            let same = link.as_ref().is_some_and(|present| present.is_same(client));
            if same {
                *link = None;
            }
            same
        });
    }

    /// A request that changes nothing.
    async fn ask(&self, ctx: &Ctx, request: Request) -> FsResult<(Reply, Noting)> {
        let ctx = Ctx { request: None, ..ctx.clone() };
        self.send(&ctx, &request).await
    }

    /// A change, under an identity of ours.
    async fn change(&self, ctx: &Ctx, request: Request) -> FsResult<(Reply, Noting)> {
        let channel = self.channels.take().await?;
        let ctx = Ctx { request: Some(channel.id()), ..ctx.clone() };
        self.send(&ctx, &request).await
    }

    /// A change that replaces bytes of a file durably: what is kept of them must not come back.
    async fn cut(&self, ctx: &Ctx, file: FileId, gone: ByteRange, request: Request) -> FsResult<Reply> {
        let gate = self.retained.gate(file);
        let _alone = gate.write().await;
        let (reply, _noting) = self.change(ctx, request).await?;
        self.retained.cut(file, gone);
        Ok(reply)
    }

    async fn write(&self, ctx: &Ctx, request: Write) -> FsResult<WriteReply> {
        self.make_room(request.data.len() as u64).await?;
        let file = request.file;
        let gate = self.retained.gate(file);
        let _together = gate.read().await;
        let data = request.data.clone();
        let (Reply::Write(reply), _noting) = self.change(ctx, request.into()).await? else {
            return Err(FsError::Io);
        };
        if reply.durability == Durability::Unstable && !data.is_empty() {
            self.retained.keep(file, Kept { offset: reply.offset, data, verifier: reply.verifier });
        } else {
            // Durable bytes must not be hidden by older ones that are written again.
            self.retained.cut(file, ByteRange::new(reply.offset, data.len() as u64));
        }
        Ok(reply)
    }

    /// Waits until there is room to keep `bytes` more.
    async fn make_room(&self, bytes: u64) -> FsResult<()> {
        loop {
            match self.retained.weight() {
                (weight, Some(file)) if weight + bytes > self.options.retained_bytes => {
                    self.commit(file, ALL).await?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Makes durable what was written, writing again what a restart has lost meanwhile.
    pub(crate) async fn commit(&self, file: FileId, range: ByteRange) -> FsResult<CommitReply> {
        let ctx = Ctx { client: self.options.client(), ..Ctx::new(Cred::root()) };
        loop {
            let kept = self.retained.of(file);
            // What is kept is committed whole: it is dropped whole.
            let range = if kept.is_empty() { range } else { ALL };
            let committed = self.ask(&ctx, Commit { file, range }.into()).await;
            let (reply, noting) = match committed {
                Ok((Reply::Commit(reply), noting)) => (reply, noting),
                Ok(_) => return Err(FsError::Io),
                Err(error) => {
                    if error == FsError::Stale {
                        // The file is gone, and what was written to it with it.
                        let places: Vec<_> = kept.iter().map(|(place, _)| *place).collect();
                        self.retained.drop_all(file, &places);
                    }
                    return Err(error);
                }
            };
            let (safe, lost): (Vec<_>, Vec<_>) =
                kept.into_iter().partition(|(_, kept)| kept.verifier == reply.verifier);
            let places: Vec<_> = safe.iter().map(|(place, _)| *place).collect();
            self.retained.drop_all(file, &places);
            drop(noting);
            if lost.is_empty() {
                return Ok(reply);
            }
            // Written in a life before; those that were not written again since must be now.
            for (place, kept) in lost {
                let still = self.retained.of(file).into_iter().find(|(at, _)| *at == place);
                if still.is_some_and(|(_, now)| now.verifier == kept.verifier) {
                    let (verifier, _noting) = self.write_again(file, &kept).await?;
                    self.retained.renewed(file, place, verifier);
                }
            }
        }
    }

    /// Writes kept data again, with everybody's right: it was granted at the first time.
    async fn write_again(&self, file: FileId, kept: &Kept) -> FsResult<(Verifier, Noting)> {
        let ctx = Ctx { client: self.options.client(), ..Ctx::new(Cred::root()) };
        match self.ask(&ctx, again(file, kept)).await? {
            (Reply::Write(reply), noting) => Ok((reply.verifier, noting)),
            _ => Err(FsError::Io),
        }
    }

    async fn open(&self, ctx: &Ctx, request: Open) -> FsResult<OpenReply> {
        let (access, deny, truncate) = (request.access, request.deny, request.truncate);
        let cuts = truncate || request.create.as_ref().is_some_and(|create| create.set.size.is_some());
        let known = match request.target {
            OpenTarget::File(file) if cuts => Some(self.retained.gate(file)),
            _ => None,
        };
        let _alone = match &known {
            Some(gate) => Some(gate.write().await),
            None => None,
        };
        let (Reply::Open(reply), _noting) = self.change(ctx, request.into()).await? else {
            return Err(FsError::Io);
        };
        let file = reply.attr.file;
        if cuts && !reply.created {
            self.retained.cut(file, ByteRange { offset: reply.attr.size, end: u64::MAX });
        }
        let there = Some(reply.open);
        let open = self.opens.add(OpenFile { file, client: ctx.client, access, deny, there });
        Ok(OpenReply { open, ..reply })
    }

    async fn close(&self, ctx: &Ctx, request: Close) -> FsResult<()> {
        let client = self.present().await?;
        let noting = self.life.clone().read_owned().await;
        let closed = self.opens.remove(request.open)?;
        // Lost with a restart: there is nothing to close.
        let Some(open) = closed.there else { return Ok(()) };
        let outcome = once(&client, Ctx { request: None, ..ctx.clone() }, Close { open }.into()).await;
        drop(noting);
        match outcome {
            Ok(Ok(_) | Err(FsError::BadOpen)) => Ok(()),
            Ok(Err(error)) => Err(error),
            // It is no longer in the table, and so not opened again. Where the daemon lives on, it stays until
            // the client ends.
            Err(FabricError::Closed | FabricError::TimedOut) => {
                self.lost(&client);
                Ok(())
            }
            Err(_) => Err(FsError::Io),
        }
    }

    async fn lock(&self, ctx: &Ctx, request: Lock) -> FsResult<()> {
        let (_, _noting) = self.ask(ctx, request.clone().into()).await?;
        self.held.note(&request);
        Ok(())
    }
}

pub(crate) fn again(file: FileId, kept: &Kept) -> Request {
    Write {
        file,
        open: None,
        offset: WriteOffset::At(kept.offset),
        data: kept.data.clone(),
        durability: Durability::Unstable,
    }
    .into()
}

/// Asks once, over one connection.
pub(crate) async fn once(
    client: &Client<Ask, Tell>,
    ctx: Ctx,
    request: Request,
) -> Result<FsResult<Reply>, FabricError> {
    let (request, data): (Request, Bytes) = wire::split_request(request);
    let asked = Instant::now();
    match client.call(Ask::Do { ctx, request }, data, None).await? {
        (Tell::Done(reply), data) => Ok(trust::since(asked, wire::join_reply(reply, data))),
        _ => Err(FabricError::Protocol("something else than a reply")),
    }
}

/// Operations that need nothing but to be carried.
macro_rules! carry {
    ($($how:ident $method:ident($request:ident) -> $reply:ty;)*) => {
        $(async fn $method(&self, ctx: &Ctx, request: $request) -> FsResult<$reply> {
            match self.shared.$how(ctx, request.into()).await? {
                (Reply::$request(reply), _) => Ok(reply),
                _ => Err(FsError::Io),
            }
        })*
    };
}

impl Vfs for RemoteVfs {
    carry! {
        ask statfs(StatFs) -> StatFsReply;
        ask lookup(Lookup) -> LookupReply;
        ask lookup_parent(LookupParent) -> LookupReply;
        ask getattr(GetAttr) -> GetAttrReply;
        ask access(Access) -> AccessReply;
        change mkdir(Mkdir) -> CreateReply;
        change symlink(Symlink) -> CreateReply;
        change mknod(Mknod) -> CreateReply;
        ask readlink(ReadLink) -> ReadLinkReply;
        change link(Link) -> LinkReply;
        change unlink(Unlink) -> RemoveReply;
        change rmdir(Rmdir) -> RemoveReply;
        change rename(Rename) -> RenameReply;
        ask readdir(ReadDir) -> ReadDirReply;
        ask read(Read) -> ReadReply;
        ask seek(Seek) -> SeekReply;
        ask getxattr(GetXattr) -> GetXattrReply;
        change setxattr(SetXattr) -> SetXattrReply;
        ask listxattr(ListXattr) -> ListXattrReply;
        change removexattr(RemoveXattr) -> SetXattrReply;
        ask test_lock(TestLock) -> TestLockReply;
        ask keep_client(KeepClient) -> ();
        ask kept_clients(KeptClients) -> KeptClientsReply;
        ask reclaimed(Reclaimed) -> ();
        ask forget_requests(ForgetRequests) -> ();
        ask list(List) -> ListReply;
    }

    async fn stage(&self, _ctx: &Ctx, _request: Stage) -> FsResult<OpenReply> {
        Err(FsError::NotSupported)
    }

    async fn put(&self, _ctx: &Ctx, _request: Put) -> FsResult<PutReply> {
        Err(FsError::NotSupported)
    }

    async fn system(&self, _ctx: &Ctx, _request: System) -> FsResult<SystemReply> {
        Err(FsError::NotSupported)
    }

    async fn getsystem(&self, _ctx: &Ctx, _request: GetSystem) -> FsResult<GetSystemReply> {
        Err(FsError::NotSupported)
    }

    async fn setsystem(&self, _ctx: &Ctx, _request: SetSystem) -> FsResult<GetAttrReply> {
        Err(FsError::NotSupported)
    }

    async fn retain(&self, _ctx: &Ctx, _request: Retain) -> FsResult<GetAttrReply> {
        Err(FsError::NotSupported)
    }

    async fn set_guard(&self, _ctx: &Ctx, _request: SetGuard) -> FsResult<GetAttrReply> {
        Err(FsError::NotSupported)
    }

    async fn filesystem(&self, ctx: &Ctx, request: Filesystem) -> FsResult<FilesystemReply> {
        let (Reply::Filesystem(reply), _) = self.shared.ask(ctx, request.into()).await? else {
            return Err(FsError::Io);
        };
        *self.shared.mounted.lock() = Some(reply.root.fs);
        Ok(reply)
    }

    async fn setattr(&self, ctx: &Ctx, request: SetAttrOf) -> FsResult<GetAttrReply> {
        let file = request.file;
        let reply = match request.set.size {
            Some(size) => {
                let gone = ByteRange { offset: size, end: u64::MAX };
                self.shared.cut(ctx, file, gone, request.into()).await?
            }
            None => {
                let sets_mtime = request.set.mtime.is_some();
                let (reply, _noting) = self.shared.change(ctx, request.into()).await?;
                if sets_mtime {
                    self.shared.retained.pin_mtime(file);
                }
                reply
            }
        };
        if let Reply::SetAttrOf(reply) = reply { Ok(reply) } else { Err(FsError::Io) }
    }

    async fn open(&self, ctx: &Ctx, request: Open) -> FsResult<OpenReply> {
        self.shared.open(ctx, request).await
    }

    async fn reopen(&self, ctx: &Ctx, request: Reopen) -> FsResult<()> {
        let Reopen { open, access, deny } = request;
        let (_, _noting) = self.shared.ask(ctx, request.into()).await?;
        self.shared.opens.change(open, access, deny);
        Ok(())
    }

    async fn close(&self, ctx: &Ctx, request: Close) -> FsResult<()> {
        self.shared.close(ctx, request).await
    }

    async fn write(&self, ctx: &Ctx, request: Write) -> FsResult<WriteReply> {
        self.shared.write(ctx, request).await
    }

    async fn commit(&self, _ctx: &Ctx, request: Commit) -> FsResult<CommitReply> {
        self.shared.commit(request.file, request.range).await
    }

    async fn allocate(&self, ctx: &Ctx, request: Allocate) -> FsResult<()> {
        // A reservation leaves the bytes; everything else replaces them.
        let keeps = matches!(request.how, AllocateHow::Reserve | AllocateHow::ReserveKeepSize);
        if keeps {
            return self.shared.change(ctx, request.into()).await.map(drop);
        }
        let (file, range) = (request.file, request.range);
        self.shared.cut(ctx, file, range, request.into()).await.map(drop)
    }

    async fn clone_range(&self, ctx: &Ctx, request: CloneRange) -> FsResult<()> {
        let length = if request.length == 0 { u64::MAX } else { request.length };
        let (file, range) = (request.to, ByteRange::new(request.to_offset, length));
        self.shared.cut(ctx, file, range, request.into()).await.map(drop)
    }

    async fn lock(&self, ctx: &Ctx, request: Lock) -> FsResult<()> {
        self.shared.lock(ctx, request).await
    }

    async fn release_owner(&self, ctx: &Ctx, request: ReleaseOwner) -> FsResult<()> {
        let (file, owner) = (request.file, request.owner);
        // Before the answer: a restart in between must not claim them again.
        self.shared.held.release(file, owner);
        self.shared.ask(ctx, request.into()).await.map(drop)
    }

    fn listen<F, R>(&self, told: F)
    where
        F: Fn(Leased) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listening = tokio::spawn(trust::listen(self.shared.clone(), Arc::new(told))).abort_handle();
        self.tasks.lock().push(listening);
    }

    async fn end_client(&self, ctx: &Ctx, request: EndClient) -> FsResult<()> {
        let client = request.client;
        let own = client == self.shared.options.client();
        let flushed = if own { self.flush().await } else { Ok(()) };
        self.shared.opens.forget_client(client);
        self.shared.held.forget_client(client);
        let farewell = self.shared.ask(ctx, request.into());
        if !own {
            return farewell.await.map(drop).and(flushed);
        }
        // Everything is written: a daemon that is away learns of the end by itself.
        let heard = tokio::time::timeout(FAREWELL, farewell).await;
        heard.unwrap_or(Err(FsError::Delay)).map(drop).and(flushed)
    }
}
