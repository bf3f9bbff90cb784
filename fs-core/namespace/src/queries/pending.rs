//! What waits to be done: orphans, intents, garbage; and the stripes that rebuilding goes through.

use super::Answer;
use crate::command::Channels;
use crate::keys;
use crate::records::{Counters, Record, Scrub, Stripe};
use map::{MapError, OrderedMap};
use types::{FileId, FsId, InodeId, Slot, StripeId};

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

/// Where a stripe is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StripeAt {
    /// Its filesystem.
    pub fs: FsId,
    /// The stripe.
    pub stripe: StripeId,
}

/// Stripes of a slot that are to be freed, in order, after `after`, up to `limit`.
///
/// # Errors
/// Those of the map.
pub fn garbage(
    map: &dyn OrderedMap,
    slot: Slot,
    after: Option<StripeAt>,
    limit: usize,
) -> Answer<Vec<(StripeAt, Stripe)>> {
    stripes_of(map, slot, keys::kind::GARBAGE, after, limit)
}

/// Stripes of a slot that files need, in order, after `after`, up to `limit`.
///
/// # Errors
/// Those of the map.
pub fn live_in(
    map: &dyn OrderedMap,
    slot: Slot,
    after: Option<StripeAt>,
    limit: usize,
) -> Answer<Vec<(StripeAt, Stripe)>> {
    stripes_of(map, slot, keys::kind::STRIPE, after, limit)
}

fn stripes_of(
    map: &dyn OrderedMap,
    slot: Slot,
    kind: u8,
    after: Option<StripeAt>,
    limit: usize,
) -> Answer<Vec<(StripeAt, Stripe)>> {
    let mut found = Vec::new();
    for fs in super::accounts::filesystems_in(map, slot)? {
        if found.len() >= limit || after.is_some_and(|after| fs < after.fs) {
            continue;
        }
        let (first, last) = keys::all_of(fs, slot, kind);
        let first = match after {
            Some(after) if after.fs == fs => [&keys::of_stripe(fs, after.stripe, kind)[..], &[0]].concat(),
            _ => first,
        };
        let mut outcome = Ok(());
        map.scan(&first, &last, &mut |key, value| {
            outcome =
                stripe_of(key, value).map(|(stripe, record)| found.push((StripeAt { fs, stripe }, record)));
            outcome.is_ok() && found.len() < limit
        })?;
        outcome?;
    }
    Ok(found)
}

/// How far the stripes of a slot have been read again.
///
/// # Errors
/// Those of the map.
pub fn scrub(map: &dyn OrderedMap, slot: Slot) -> Answer<Scrub> {
    let value = map.get(&keys::scrub(slot))?;
    Ok(value.map(|value| Scrub::decode(&value)).transpose()?.unwrap_or_default())
}

/// Stripes that files need, in order from `from` on, up to `limit`; fewer only at the end.
///
/// # Errors
/// Those of the map.
pub fn live_stripes(
    map: &dyn OrderedMap,
    fs: FsId,
    from: StripeId,
    limit: usize,
) -> Answer<Vec<(StripeId, Stripe)>> {
    let mut found = Vec::new();
    let mut slot = InodeId(from.0).slot();
    let mut first = Some(keys::stripe(fs, from));
    while found.len() < limit {
        let (from, to) = keys::all_of(fs, slot, keys::kind::STRIPE);
        let from = first.take().unwrap_or(from);
        let mut outcome = Ok(());
        map.scan(&from, &to, &mut |key, value| {
            outcome = stripe_of(key, value).map(|stripe| found.push(stripe));
            outcome.is_ok() && found.len() < limit
        })?;
        outcome?;
        match next_slot(map, slot)? {
            Some(next) => slot = next,
            None => break,
        }
    }
    Ok(found)
}

fn stripe_of(key: &[u8], value: &[u8]) -> Result<(StripeId, Stripe), MapError> {
    let id =
        keys::parse_inode(key).ok_or_else(|| MapError::Broken("a stripe's key has no sequence".into()))?;
    Ok((StripeId(id.ino.0), Stripe::decode(value)?))
}

/// Whether metadata know the stripe, live or as garbage.
///
/// # Errors
/// Those of the map.
pub fn knows_stripe(map: &dyn OrderedMap, fs: FsId, stripe: StripeId) -> Answer<bool> {
    Ok(map.get(&keys::stripe(fs, stripe))?.is_some() || map.get(&keys::garbage(fs, stripe))?.is_some())
}

/// Whether the stripe's number was granted to anybody.
///
/// # Errors
/// Those of the map.
pub fn was_granted(map: &dyn OrderedMap, stripe: StripeId) -> Answer<bool> {
    let id = InodeId(stripe.0);
    let value = map.get(&keys::counters(FsId(0), id.slot()))?;
    let counters = value.map(|value| Counters::decode(&value)).transpose()?;
    Ok(counters.is_some_and(|counters| counters.stripe >= id.sequence()))
}

/// Stripes that were buried.
///
/// # Errors
/// Those of the map.
pub fn buried(map: &dyn OrderedMap) -> Answer<Vec<StripeId>> {
    let found = inodes_of(map, FsId(0), keys::kind::BURIED)?;
    Ok(found.into_iter().map(|file| StripeId(file.ino.0)).collect())
}

/// Those of `wanted`, which are in order, of which replies are remembered in a slot. Takes about as many reads as it finds,
/// however many are wanted.
///
/// # Errors
/// Those of the map.
pub fn replays(map: &dyn OrderedMap, fs: FsId, slot: Slot, wanted: &[Channels]) -> Answer<Vec<Channels>> {
    let (mut found, mut rest) = (Vec::new(), wanted);
    let (_, end) = keys::all_of(fs, slot, keys::kind::REPLAY);
    while let Some((next, others)) = rest.split_first() {
        let (from, _) = keys::replays(fs, slot, next.client, (next.first, next.last));
        let mut here = None;
        map.scan(&from, &end, &mut |key, _| {
            here = Some(key.to_vec());
            false
        })?;
        let Some(key) = here else { break };
        let here =
            keys::parse_replay(&key).ok_or_else(|| MapError::Broken("a replay's key is too short".into()))?;
        if here <= (next.client, next.last) {
            found.push(*next);
            rest = others;
            continue;
        }
        let before = rest.iter().take_while(|channels| (channels.client, channels.last) < here).count();
        rest = &rest[before..];
    }
    Ok(found)
}

fn inodes_of(map: &dyn OrderedMap, fs: FsId, kind: u8) -> Answer<Vec<FileId>> {
    let mut found = Vec::new();
    in_every_slot(map, fs, kind, &mut |key, _| {
        found.push(keys::parse_inode(key).ok_or_else(|| MapError::Broken("a key has no sequence".into()))?);
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
        match next_slot(map, slot)? {
            Some(next) => slot = next,
            None => return Ok(()),
        }
    }
}

/// The next slot after `slot` that has any key at all.
fn next_slot(map: &dyn OrderedMap, slot: Slot) -> Result<Option<Slot>, MapError> {
    slot.0.checked_add(1).map_or(Ok(None), |after| used_slot(map, Slot(after)))
}

/// The first slot from `slot` on that has any key at all.
pub(crate) fn used_slot(map: &dyn OrderedMap, slot: Slot) -> Result<Option<Slot>, MapError> {
    let mut used = None;
    map.scan(&slot.0.to_be_bytes(), &[0xff; 64], &mut |key, _| {
        used = keys::parse_slot(key);
        false
    })?;
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use map::{MemoryMap, OrderedMapMut};
    use types::GroupId;

    #[test]
    fn live_stripes_come_in_pages_over_all_slots_and_without_garbage() {
        let (mut map, fs) = (MemoryMap::default(), FsId(3));
        let record = |length| Stripe {
            group: GroupId(1),
            data_chunks: 4,
            parity_chunks: 2,
            cells: 63,
            length,
            pieces: 1,
            live: length,
        };
        let id = |slot, sequence| StripeId(InodeId::new(Slot(slot), sequence).0);
        let ids = [id(0, 1), id(0, 2), id(7, 1), id(7, 9), id(7, 10), id(u16::MAX, 4)];
        for (n, &stripe) in ids.iter().enumerate() {
            map.put(&keys::stripe(fs, stripe), record(n as u32).encode());
            map.put(&keys::garbage(fs, StripeId(stripe.0 + 100)), record(99).encode());
            map.put(&keys::stripe(FsId(4), stripe), record(98).encode());
        }
        for limit in 1..8 {
            let (mut seen, mut from) = (Vec::new(), StripeId(0));
            loop {
                let page = live_stripes(&map, fs, from, limit).unwrap();
                assert!(page.len() <= limit);
                seen.extend(page.iter().map(|(stripe, record)| (*stripe, record.length)));
                match page.last() {
                    Some((last, _)) if page.len() == limit => from = StripeId(last.0 + 1),
                    _ => break,
                }
            }
            let expected: Vec<_> = ids.iter().copied().zip(0u32..).collect();
            assert_eq!(seen, expected, "limit {limit}");
        }
    }
}
