//! What a restart leaves of clients: [`before`] it, and [`after`] it on the file system's next life.

use crate::desk::{BOTH, Desk, NOTHING, READ, WRITE, must, refused};
use bytes::Bytes;
use types::{ByteRange, Cred, FileId, FsError};
use vfs::*;

/// Has an orphan open and a lock.
const HOLDER: ClientId = ClientId(10);
/// Has an open that denies writing.
const DENIER: ClientId = ClientId(11);
/// Has nothing, but its head keeps something of it.
const KNOWN: ClientId = ClientId(12);
/// Comes after the restart.
const STRANGER: ClientId = ClientId(13);
const LOCKED: ByteRange = ByteRange { offset: 5, end: 10 };

/// What there was before the restart.
pub struct Before {
    dir: FileId,
    file: FileId,
    orphan: FileId,
}

fn of<'a, V: Vfs>(vfs: &'a V, client: ClientId, dir: FileId) -> Desk<'a, V> {
    Desk { vfs, ctx: Ctx { client, ..Ctx::new(Cred::root()) }, dir }
}

async fn open<V: Vfs>(
    desk: &Desk<'_, V>,
    file: FileId,
    access: OpenAccess,
    deny: OpenAccess,
    reclaim: bool,
) -> FsResult<OpenId> {
    let (target, create, truncate, for_execution) = (OpenTarget::File(file), None, false, false);
    let request = Open { target, access, deny, create, truncate, reclaim, for_execution };
    desk.vfs.open(&desk.ctx, request).await.map(|reply| reply.open)
}

async fn lock<V: Vfs>(desk: &Desk<'_, V>, file: FileId, reclaim: bool) -> FsResult<()> {
    let (owner, kind) = (LockOwner { client: desk.ctx.client, owner: 1 }, LockKind::Exclusive);
    let (open, space, range, wait) = (None, LockSpace::Range, LOCKED, false);
    desk.vfs.lock(&desk.ctx, Lock { file, open, owner, space, range, kind, wait, reclaim }).await
}

async fn read<V: Vfs>(desk: &Desk<'_, V>, file: FileId) -> FsResult<Bytes> {
    desk.vfs.read(&desk.ctx, Read { file, open: None, offset: 0, length: 10 }).await.map(|reply| reply.data)
}

async fn kept<V: Vfs>(vfs: &V) -> Vec<(ClientId, Bytes)> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let request = KeptClients { head: Head::Nfs, after };
        let reply = must("list", vfs.kept_clients(&Ctx::new(Cred::root()), request).await);
        found.extend(reply.clients);
        if reply.end {
            return found;
        }
        after = found.last().map(|(client, _)| *client);
    }
}

/// Makes what is to be lost and claimed.
///
/// # Panics
/// When something is not as the contract has it.
pub async fn before<V: Vfs>(vfs: &V, root: FileId) -> Before {
    let nobody = Desk::below(vfs, root, "grace").await;
    let dir = nobody.dir;
    let (holder, denier, known) = (of(vfs, HOLDER, dir), of(vfs, DENIER, dir), of(vfs, KNOWN, dir));
    let (file, orphan) = (nobody.file("file").await, nobody.file("orphan").await);
    must("nothing is owed", lock(&holder, file, false).await);
    refused("a claim of nothing", lock(&holder, file, true).await, FsError::NoGrace);
    must("open", open(&holder, orphan, BOTH, NOTHING, false).await);
    must("unlink", nobody.unlink("orphan").await);
    must("deny", open(&denier, file, READ, WRITE, false).await);
    for (client, data) in [(KNOWN, "old"), (HOLDER, "holder"), (KNOWN, "known")] {
        let data = Bytes::from_static(data.as_bytes());
        must("keep", vfs.keep_client(&known.ctx, KeepClient { client, head: Head::Nfs, data }).await);
    }
    let data = vec![0; types::limits::CLIENT_RECORD_BYTES_MAX + 1].into();
    let large = KeepClient { client: KNOWN, head: Head::Nfs, data };
    refused("too much", vfs.keep_client(&known.ctx, large).await, FsError::Invalid);
    Before { dir, file, orphan }
}

/// Looks at it after the restart, within the time of grace, which ends here.
///
/// # Panics
/// When something is not as the contract has it.
pub async fn after<V: Vfs>(vfs: &V, Before { dir, file, orphan }: Before) {
    let (holder, denier, stranger) = (of(vfs, HOLDER, dir), of(vfs, DENIER, dir), of(vfs, STRANGER, dir));
    let data = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert_eq!(kept(vfs).await, [(HOLDER, data("holder")), (KNOWN, data("known"))]);

    // Nobody slips in before a claim.
    refused("lock", lock(&stranger, file, false).await, FsError::Grace);
    refused("claim of a stranger", lock(&stranger, file, true).await, FsError::NoGrace);
    refused("open that may be denied", open(&stranger, file, WRITE, NOTHING, false).await, FsError::Grace);
    refused("open of a stranger", open(&stranger, file, READ, NOTHING, true).await, FsError::NoGrace);
    refused("write that may be denied", stranger.write(file, 0, b"x").await.map(drop), FsError::Grace);
    refused("claim of who had nothing", lock(&of(vfs, KNOWN, dir), file, true).await, FsError::NoGrace);
    must("names", stranger.link(file, "again").await);
    must("attributes", stranger.set(file, types::SetAttr { uid: Some(5), ..Default::default() }).await);

    // What loses its last name now may have been open.
    let late = stranger.file("late").await;
    must("unlink", stranger.unlink("late").await);
    let over = stranger.file("over").await;
    stranger.file("new").await;
    must("replace", stranger.rename("new", "over").await);
    must("rmdir", stranger.mkdir("gone", 0o777).await);
    must("rmdir", stranger.rmdir("gone").await);

    must("claim", open(&denier, file, READ, WRITE, true).await);
    let claimed = must("claim of an orphan", open(&holder, orphan, BOTH, NOTHING, true).await);
    must("claim of what lost its name", open(&holder, late, BOTH, NOTHING, true).await);
    must("claim", lock(&holder, file, true).await);
    refused("a claim in the way", lock(&denier, file, true).await, FsError::LockConflict);
    must("done", vfs.reclaimed(&holder.ctx, Reclaimed { client: HOLDER }).await);
    refused("after the last claim", lock(&holder, file, true).await, FsError::NoGrace);
    // Who denies can still claim, who locks has.
    refused("lock", lock(&stranger, file, false).await, FsError::LockConflict);
    refused("open that may be denied", open(&stranger, file, WRITE, NOTHING, false).await, FsError::Grace);
    refused("read that may be denied", read(&stranger, over).await, FsError::Grace);
    must("done", vfs.reclaimed(&denier.ctx, Reclaimed { client: DENIER }).await);

    refused("denied", open(&stranger, file, WRITE, NOTHING, false).await, FsError::ShareConflict);
    must("open", open(&stranger, file, READ, NOTHING, false).await);
    refused("nobody had it open", read(&stranger, over).await, FsError::Stale);
    must("claimed", read(&stranger, late).await);
    must("close", vfs.close(&holder.ctx, Close { open: claimed }).await);
    refused("the orphan went with its last open", read(&stranger, orphan).await, FsError::Stale);
    for client in [HOLDER, DENIER, STRANGER, KNOWN] {
        must("end", vfs.end_client(&stranger.ctx, EndClient { client }).await);
    }
    assert_eq!(kept(vfs).await, []);
    must("free", lock(&stranger, file, false).await);
    must("free", vfs.end_client(&stranger.ctx, EndClient { client: STRANGER }).await);
    refused("with its client", read(&stranger, late).await, FsError::Stale);
    assert!(stranger.lookup("over").await.is_ok_and(|attr| attr.file != over));
}
