//! LOCK (RFC 8881 section 18.10).

use crate::clients::Client;
use crate::compound::{Compound, FileRef};
use crate::state::Need;
use crate::status::status;
use bytes::Bytes;
use nfs_wire::{LockArgs, LockDenied, LockOutcome, LockType, Locker, StateOwner, Stateid, StateidOk, Status};
use std::sync::Arc;
use types::{ByteRange, FsError};
use vfs::{Lock, LockKind, LockOwner, LockSpace, OpenId, TestLock, TestLockReply, Vfs};
use xdr::Opaque;

/// A length that means "to the end, wherever that will be".
const TO_END: u64 = u64::MAX;

/// The range that an offset and a length mean.
pub(super) fn range(offset: u64, length: u64) -> Result<ByteRange, Status> {
    match length {
        0 => Err(Status::Inval),
        TO_END => Ok(ByteRange { offset, end: u64::MAX }),
        _ if offset.checked_add(length).is_none() => Err(Status::Inval),
        _ => Ok(ByteRange::new(offset, length)),
    }
}

/// What is to be held, and what an open has to allow for it.
pub(super) fn kind(kind: LockType) -> (LockKind, Need) {
    match kind {
        LockType::Read | LockType::ReadWait => (LockKind::Shared, Need::Read),
        LockType::Write | LockType::WriteWait => (LockKind::Exclusive, Need::Write),
    }
}

/// Whose lock it is going to be.
struct Holder {
    owner: u64,
    open: OpenId,
    /// The open that a new lock state hangs on, or the lock state that there is.
    stateid: Stateid,
    first: bool,
}

pub(super) async fn lock<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: LockArgs,
) -> Result<LockOutcome<StateidOk>, Status> {
    let file = c.file_or(Status::IsDir)?;
    let range = range(args.offset, args.length)?;
    let (kind, need) = kind(args.kind);
    let client = c.client()?.clone();
    // Reclaims first, everything else after them; whether others stand in the way, the file system knows.
    match (args.reclaim, client.state().reclaimed) {
        (true, true) => return Err(Status::NoGrace),
        (false, false) => return Err(Status::Grace),
        _ => {}
    }
    let holder = holder(c, &client, &file, &args.locker, need)?;
    let request = Lock {
        file: file.file,
        open: Some(holder.open),
        owner: LockOwner { client: client.vfs, owner: holder.owner },
        space: LockSpace::Range,
        range,
        kind,
        // A client that waits asks again: nothing here waits on its behalf.
        wait: false,
        reclaim: args.reclaim,
    };
    let mut result = c.vfs().lock(&c.change(&file, 0)?, request.clone()).await;
    if result == Err(FsError::LockConflict) && c.shared.evict_silent(&client).await {
        result = c.vfs().lock(&c.change(&file, 1)?, request.clone()).await;
    }
    match result {
        Ok(()) => {
            let stateid = {
                let mut state = client.state();
                if holder.first {
                    state.table.locked_first(holder.owner, &holder.stateid, file.file, range)?
                } else {
                    state.table.locked(&holder.stateid, range, true)?
                }
            };
            c.current_stateid = Some(stateid);
            Ok(LockOutcome::Granted(StateidOk { stateid }))
        }
        Err(error) => {
            if holder.first {
                client.state().table.drop_unused_owner(holder.owner);
            }
            if error != FsError::LockConflict {
                return Err(status(error));
            }
            if args.reclaim {
                return Err(Status::ReclaimConflict);
            }
            let test = TestLock { file: file.file, owner: request.owner, space: request.space, range, kind };
            // The lock in the way may be gone by now: then the range asked for says all there is to say.
            let reply =
                c.vfs().test_lock(&c.ctx(&file)?, test).await.unwrap_or(TestLockReply { conflict: None });
            let conflict = reply.conflict.unwrap_or((LockOwner { owner: 0, ..request.owner }, range, kind));
            Ok(LockOutcome::Denied(denied(c, conflict)))
        }
    }
}

fn holder<V: Vfs>(
    c: &Compound<'_, V>,
    client: &Arc<Client>,
    file: &FileRef,
    locker: &Locker,
    need: Need,
) -> Result<Holder, Status> {
    match locker {
        Locker::New(new) => {
            let stateid = c.stateid(new.open_stateid)?;
            let mut state = client.state();
            let open = state.table.lock_through(&stateid, file.file, need)?;
            if !state.table.has_room() {
                return Err(Status::Delay);
            }
            let owner = state.table.lock_owner(&new.owner.owner.0);
            Ok(Holder { owner, open, stateid, first: true })
        }
        Locker::Existing(existing) => {
            let stateid = c.stateid(existing.stateid)?;
            let state = client.state();
            let lock = state.table.lock_state(&stateid, file.file)?;
            let open = state.table.open_of(lock, need)?;
            Ok(Holder { owner: lock.owner, open, stateid, first: false })
        }
    }
}

/// Tells of a lock in the way, by the name that its own client gave its owner.
pub(super) fn denied<V: Vfs>(
    c: &Compound<'_, V>,
    (owner, range, kind): (LockOwner, ByteRange, LockKind),
) -> LockDenied {
    let client = c.shared.clients.by_vfs_id(owner.client);
    let name = client.as_ref().and_then(|client| client.state().table.lock_owner_name(owner.owner));
    LockDenied {
        offset: range.offset,
        length: if range.end == u64::MAX { TO_END } else { range.len() },
        kind: if kind == LockKind::Shared { LockType::Read } else { LockType::Write },
        owner: StateOwner {
            clientid: client.map_or(0, |client| client.id),
            owner: Opaque(name.unwrap_or_else(|| Bytes::copy_from_slice(&owner.owner.to_be_bytes()))),
        },
    }
}
