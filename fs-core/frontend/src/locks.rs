//! The locks of all inodes, and who waits for them.

use locking::{
    Answer, Client, Event, LockMode, Locks, OpenKey, Owner, Request, Share, ShareAccess, Space, WaitId, Waits,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::oneshot;
use types::{ByteRange, FileId, FsError};
use vfs::{ClientId, LockKind, LockOwner, LockSpace, OpenAccess, OpenElsewhere, OpenId};

/// A request that waits.
struct Waiting {
    file: FileId,
    owner: Owner,
    sender: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Table {
    inodes: HashMap<FileId, Locks>,
    waits: Waits,
    waiting: HashMap<WaitId, Waiting>,
    next_wait: u64,
}

/// The machine of every inode that has locks.
#[derive(Default)]
pub(crate) struct LockTable(Mutex<Table>);

impl Table {
    fn apply(&mut self, file: FileId, event: Event) -> Answer {
        let locks = self.inodes.entry(file).or_default();
        let outcome = locks.apply(event, &mut self.waits);
        if locks.is_empty() {
            self.inodes.remove(&file);
        }
        for (wait, answer) in outcome.woken {
            if let Some(waiting) = self.waiting.remove(&wait) {
                // A waiter that is gone has cancelled; its guard gives the lock up again.
                let _ = waiting.sender.send(answer);
            }
        }
        outcome.answer
    }
}

/// Takes a wait back when its request is dropped.
struct Waiter<'a> {
    table: &'a LockTable,
    file: FileId,
    wait: WaitId,
    request: Request,
    receiver: oneshot::Receiver<Answer>,
    done: bool,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut table = self.table.0.lock();
        table.waiting.remove(&self.wait);
        table.apply(self.file, Event::Cancel { wait: self.wait });
        if let Ok(Answer::Granted) = self.receiver.try_recv() {
            let Request { owner, space, range, .. } = self.request;
            table.apply(self.file, Event::Unlock { owner, space, range });
        }
    }
}

impl LockTable {
    pub(crate) async fn lock(&self, request: &vfs::Lock) -> Result<(), FsError> {
        let (owner, space) = (owner(request.owner), space(request.space));
        let Some(mode) = mode(request.kind) else {
            let event = Event::Unlock { owner, space, range: request.range };
            return settle(self.0.lock().apply(request.file, event));
        };
        let asked = Request { owner, space, range: request.range, mode };
        let mut waiter = {
            let mut table = self.0.lock();
            if !request.wait {
                return settle(table.apply(request.file, Event::Lock { request: asked, wait: None }));
            }
            table.next_wait += 1;
            let wait = WaitId(table.next_wait);
            let (sender, receiver) = oneshot::channel();
            table.waiting.insert(wait, Waiting { file: request.file, owner, sender });
            let answer = table.apply(request.file, Event::Lock { request: asked, wait: Some(wait) });
            if answer != Answer::Waiting {
                table.waiting.remove(&wait);
                return settle(answer);
            }
            Waiter { table: self, file: request.file, wait, request: asked, receiver, done: false }
        };
        let answer = (&mut waiter.receiver).await;
        waiter.done = true;
        // The sender only goes with its client.
        answer.map_or(Err(FsError::Interrupted), settle)
    }

    pub(crate) fn test(&self, request: &vfs::TestLock) -> Option<(LockOwner, ByteRange, LockKind)> {
        let mode = mode(request.kind)?;
        let asked =
            Request { owner: owner(request.owner), space: space(request.space), range: request.range, mode };
        let conflict = self.0.lock().inodes.get(&request.file)?.test(&asked)?;
        let holder = LockOwner { client: ClientId(conflict.owner.client.0), owner: conflict.owner.owner };
        let kind = if conflict.mode == LockMode::Shared { LockKind::Shared } else { LockKind::Exclusive };
        Some((holder, conflict.range, kind))
    }

    pub(crate) fn release_owner(&self, file: FileId, of: LockOwner) {
        let mut table = self.0.lock();
        table.apply(file, Event::ReleaseOwner { owner: owner(of) });
    }

    /// Ends a client's locks and waits everywhere.
    pub(crate) fn end_client(&self, client: ClientId) {
        let mut table = self.0.lock();
        let files: Vec<FileId> = table.inodes.keys().copied().collect();
        for file in files {
            table.apply(file, Event::ReleaseClient { client: Client(client.0) });
        }
        // Their requests end as interrupted.
        table.waiting.retain(|_, waiting| waiting.owner.client != Client(client.0));
    }

    /// Forgets the locks of an inode that is gone; who waits for one is interrupted.
    pub(crate) fn forget(&self, file: FileId) {
        let mut table = self.0.lock();
        if !table.inodes.contains_key(&file) {
            return;
        }
        let waits: Vec<WaitId> =
            table.waiting.iter().filter(|(_, waiting)| waiting.file == file).map(|(wait, _)| *wait).collect();
        for wait in waits {
            table.waiting.remove(&wait);
            table.apply(file, Event::Cancel { wait });
        }
        while let Some(client) = table.inodes.get(&file).and_then(|locks| {
            let held = locks.held_in(Space::Range).chain(locks.held_in(Space::Flock)).next();
            held.map(|held| held.owner.client)
        }) {
            table.apply(file, Event::ReleaseClient { client });
        }
    }

    pub(crate) fn open(
        &self,
        file: FileId,
        open: OpenId,
        client: ClientId,
        access: OpenAccess,
        deny: OpenAccess,
    ) -> Result<(), FsError> {
        let share = Share { client: Client(client.0), access: share(access), deny: share(deny) };
        settle(self.0.lock().apply(file, Event::Open { open: OpenKey(open.0), share }))
    }

    /// What an open denies to others.
    pub(crate) fn denied_by(&self, file: FileId, open: OpenId) -> ShareAccess {
        let table = self.0.lock();
        let share = table.inodes.get(&file).and_then(|locks| locks.share(OpenKey(open.0)));
        share.map_or(ShareAccess::NONE, |share| share.deny)
    }

    /// What the opens of others than `client` do with a file.
    pub(crate) fn elsewhere(&self, file: FileId, client: ClientId) -> OpenElsewhere {
        let table = self.0.lock();
        let (access, deny) =
            table.inodes.get(&file).map_or_else(Default::default, |locks| locks.others(Client(client.0)));
        let of = |share: ShareAccess| OpenAccess { read: share.read, write: share.write };
        OpenElsewhere { access: of(access), deny: of(deny) }
    }

    pub(crate) fn close(&self, file: FileId, open: OpenId) {
        self.0.lock().apply(file, Event::Close { open: OpenKey(open.0) });
    }

    /// Whether some open denies this to those who have none.
    pub(crate) fn denies(&self, file: FileId, access: OpenAccess) -> bool {
        self.0.lock().inodes.get(&file).is_some_and(|locks| locks.denies(share(access), None))
    }
}

fn settle(answer: Answer) -> Result<(), FsError> {
    match answer {
        Answer::Granted => Ok(()),
        Answer::Denied(_) => Err(FsError::LockConflict),
        Answer::Deadlock => Err(FsError::Deadlock),
        Answer::ShareDenied => Err(FsError::ShareConflict),
        Answer::Full => Err(FsError::Delay),
        Answer::Invalid | Answer::Waiting => Err(FsError::Invalid),
    }
}

fn owner(owner: LockOwner) -> Owner {
    Owner { client: Client(owner.client.0), owner: owner.owner }
}

fn space(space: LockSpace) -> Space {
    match space {
        LockSpace::Range => Space::Range,
        LockSpace::Flock => Space::Flock,
    }
}

fn mode(kind: LockKind) -> Option<LockMode> {
    match kind {
        LockKind::Shared => Some(LockMode::Shared),
        LockKind::Exclusive => Some(LockMode::Exclusive),
        LockKind::Unlock => None,
    }
}

pub(crate) fn share(access: OpenAccess) -> ShareAccess {
    ShareAccess { read: access.read, write: access.write }
}
