//! Removing a filesystem with all that is in it.
//!
//! Its name goes first, in one command; from then on nobody who asks for the filesystem finds it. What it has goes in
//! steps over all its slots, in an order in which no command that was on its way meets anything half removed: first
//! every slot is closed and loses its inodes, without which nothing can be changed; then goes the rest.

use crate::inodes::{Step, Work};
use crate::keys::{self, kind};
use crate::outcome::Reply;
use crate::records::{Counters, Filesystem, Inode, Record, Removal, Reserved, Stripe, Unfolded};
use bytes::Bytes;
use map::MapError;
use types::{FsError, FsId, InodeId, Slot, StripeId};

/// Records of one step: each is a key, a stripe two. Few in tests, so that much can come between two steps.
pub(crate) const RECORDS: usize = if cfg!(test) { 3 } else { 400 };
/// No key is longer.
const KEY_BYTES_MAX: usize = 512;

const _: () = assert!(2 * RECORDS + 10 < types::limits::COMMAND_KEYS_MAX);

/// See [`crate::Action::RemoveFilesystem`].
pub(crate) fn remove(work: &mut Work<'_>, id: FsId, retained: bool) -> Step<Reply> {
    if work.map.get(&keys::removal(id))?.is_some() {
        return Ok(Reply::Done);
    }
    let key = keys::filesystem(id);
    let filesystem: Filesystem = work.read().record(&key)?.ok_or(FsError::NotFound)?;
    work.fs = id;
    // The root is on the way to all that is retained.
    if !retained && work.read().inode(InodeId::ROOT)?.guard().stands(work.now) {
        return Err(FsError::NotPermitted.into());
    }
    work.map.delete(&key);
    work.map.delete(&keys::filesystem_name(&filesystem.name));
    let removal = Removal { name: filesystem.name, since: work.now };
    work.put(&keys::removal(id), &removal);
    close(work, Slot(0))?;
    Ok(Reply::Done)
}

/// See [`crate::Action::ForgetFilesystem`].
pub(crate) fn forget(work: &mut Work<'_>, id: FsId) -> Step<Reply> {
    work.map.delete(&keys::removal(id));
    Ok(Reply::Done)
}

/// See [`crate::Action::EmptySlot`].
pub(crate) fn empty(work: &mut Work<'_>, slot: Slot, from: &Bytes, inodes: bool) -> Step<Reply> {
    // Filesystem 0 is the cluster's own.
    if work.fs == FsId(0) || from.len() > KEY_BYTES_MAX {
        return Err(FsError::Invalid.into());
    }
    close(work, slot)?;
    let (first, end) = match inodes {
        true => keys::all_of(work.fs, slot, kind::INODE),
        false => (keys::all_of(work.fs, slot, kind::INODE).0, keys::all_in(work.fs, slot).1),
    };
    let from = if from[..] > first[..] { &from[..] } else { &first[..] };
    let (garbage, behind) = keys::all_of(work.fs, slot, kind::GARBAGE);
    let mut found = Vec::new();
    gather(work, from, garbage.as_slice().min(&end), &mut found)?;
    gather(work, from.max(&behind), &end, &mut found)?;
    let next = found.get(RECORDS - 1).map(|(key, _)| Bytes::copy_from_slice(key));
    let is_all = found.is_empty() && !inodes && *from == first[..];
    for (key, value) in found {
        remove_record(work, slot, &key, &value)?;
    }
    if is_all && !has_any(work, &garbage, &behind)? {
        work.map.delete(&keys::counters(work.fs, slot));
        work.map.delete(&keys::account(work.fs, slot));
        work.map.delete(&keys::renames_in(work.fs, slot));
    }
    Ok(Reply::Emptied { next })
}

/// From here on no inode is made in the slot.
fn close(work: &mut Work<'_>, slot: Slot) -> Step<()> {
    let counters = work.counters(slot)?;
    if !counters.closed {
        work.put_counters(slot, &Counters { closed: true, ..counters });
    }
    Ok(())
}

/// Records of a range, until there are enough; with their values where these are needed.
fn gather(work: &Work<'_>, from: &[u8], to: &[u8], found: &mut Vec<(Vec<u8>, Bytes)>) -> Step<()> {
    if from >= to || found.len() >= RECORDS {
        return Ok(());
    }
    work.map.scan(from, to, &mut |key, value| {
        let needed = matches!(kind_of(key), kind::INODE | kind::UNFOLDED | kind::RESERVED | kind::STRIPE);
        found.push((key.to_vec(), if needed { Bytes::copy_from_slice(value) } else { Bytes::new() }));
        found.len() < RECORDS
    })?;
    Ok(())
}

fn has_any(work: &Work<'_>, from: &[u8], to: &[u8]) -> Step<bool> {
    let mut any = false;
    work.map.scan(from, to, &mut |_, _| {
        any = true;
        false
    })?;
    Ok(any)
}

fn kind_of(key: &[u8]) -> u8 {
    keys::parse_kind(key).map_or(0, |(_, kind)| kind)
}

/// Removes a record with what accounts and counters say of it. A stripe becomes garbage: drives have chunks of it.
fn remove_record(work: &mut Work<'_>, slot: Slot, key: &[u8], value: &Bytes) -> Step<()> {
    work.map.delete(key);
    match kind_of(key) {
        kind::INODE => {
            work.change_used(slot, Inode::decode(value)?.used, 0);
            let mut counters = work.counters(slot)?;
            counters.inodes = counters.inodes.saturating_sub(1);
            work.put_counters(slot, &counters);
        }
        kind::UNFOLDED => {
            let lost = work.lose(slot);
            lost.unfolded += 1;
            lost.unfolded_bytes += u64::from(Unfolded::decode(value)?.bytes);
        }
        kind::RESERVED => {
            let lost = work.lose(slot);
            lost.reserved = lost.reserved.saturating_add(Reserved::decode(value)?.bytes);
        }
        kind::STRIPE => {
            let id =
                keys::parse_inode(key).ok_or_else(|| MapError::Broken("a stripe without number".into()))?;
            let stripe = Stripe::decode(value)?;
            work.lose(slot).add_live(&stripe);
            let garbage = Stripe { pieces: 0, live: 0, ..stripe };
            work.put(&keys::garbage(work.fs, StripeId(id.ino.0)), &garbage);
            work.gain(slot).add_garbage(&garbage);
        }
        _ => {}
    }
    Ok(())
}
