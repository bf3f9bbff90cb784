//! What waits to be done: orphans, intents, garbage.

use super::Answer;
use crate::keys;
use crate::records::{Record, Stripe};
use map::{MapError, OrderedMap};
use types::{FileId, FsId, Slot, StripeId};

/// Inodes with an intent, up to `limit`.
///
/// # Errors
/// Those of the map.
pub fn intents(map: &dyn OrderedMap, fs: FsId) -> Answer<Vec<FileId>> {
    inodes_of(map, fs, keys::kind::INTENT)
}

/// Inodes without a name.
///
/// # Errors
/// Those of the map.
pub fn orphans(map: &dyn OrderedMap, fs: FsId) -> Answer<Vec<FileId>> {
    inodes_of(map, fs, keys::kind::ORPHAN)
}

/// Stripes to be freed, with what is known of them.
///
/// # Errors
/// Those of the map.
pub fn garbage(map: &dyn OrderedMap, fs: FsId, limit: usize) -> Answer<Vec<(StripeId, Stripe)>> {
    let mut found = Vec::new();
    in_every_slot(map, fs, keys::kind::GARBAGE, &mut |key, value| {
        if found.len() < limit {
            let id =
                keys::parse_inode(key).ok_or_else(|| MapError("a stripe's key has no sequence".into()))?;
            found.push((StripeId(id.ino.0), Stripe::decode(value)?));
        }
        Ok(())
    })?;
    Ok(found)
}

/// Whether metadata know the stripe, live or as garbage.
///
/// # Errors
/// Those of the map.
pub fn knows_stripe(map: &dyn OrderedMap, fs: FsId, stripe: StripeId) -> Answer<bool> {
    Ok(map.get(&keys::stripe(fs, stripe))?.is_some() || map.get(&keys::garbage(fs, stripe))?.is_some())
}

/// Slots that remember replies to a client.
///
/// # Errors
/// Those of the map.
pub fn slots_with_replays(map: &dyn OrderedMap, fs: FsId, client: u128) -> Answer<Vec<Slot>> {
    let mut slots = Vec::new();
    in_every_slot(map, fs, keys::kind::REPLAY, &mut |key, _| {
        let slot = key
            .get(0..2)
            .and_then(|bytes| bytes.try_into().ok())
            .map(|bytes| Slot(u16::from_be_bytes(bytes)));
        if let Some(slot) = slot
            .filter(|slot| key.starts_with(&keys::replays(fs, *slot, client).0) && slots.last() != Some(slot))
        {
            slots.push(slot);
        }
        Ok(())
    })?;
    Ok(slots)
}

fn inodes_of(map: &dyn OrderedMap, fs: FsId, kind: u8) -> Answer<Vec<FileId>> {
    let mut found = Vec::new();
    in_every_slot(map, fs, kind, &mut |key, _| {
        found.push(keys::parse_inode(key).ok_or_else(|| MapError("a key has no sequence".into()))?);
        Ok(())
    })?;
    Ok(found)
}

type VisitRecord<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), MapError> + 'a;

/// Visits every key of a kind, slot by slot, skipping from one used slot to the next.
pub(crate) fn in_every_slot(
    map: &dyn OrderedMap,
    fs: FsId,
    kind: u8,
    visit: &mut VisitRecord<'_>,
) -> Result<(), MapError> {
    let mut slot = Slot(0);
    loop {
        let (from, to) = keys::all_of(fs, slot, kind);
        let mut outcome = Ok(());
        map.scan(&from, &to, &mut |key, value| {
            outcome = visit(key, value);
            outcome.is_ok()
        })?;
        outcome?;
        let Some(after) = slot.0.checked_add(1) else { return Ok(()) };
        // The next slot that has any key at all.
        let mut next = None;
        map.scan(&after.to_be_bytes(), &[0xff; 16], &mut |key, _| {
            next = key.get(0..2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
            false
        })?;
        match next {
            Some(found) => slot = Slot(found),
            None => return Ok(()),
        }
    }
}
