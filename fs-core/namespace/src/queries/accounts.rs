//! What files take: the accounts of slots, and counting again what they should say.

use super::Answer;
use crate::keys::{self, kind};
use crate::records::{Account, Counters, Inode, Record, Stripe, Unfolded};
use map::{MapError, OrderedMap};
use types::{FsId, Slot, StripeId};

/// The account of a slot, over all its filesystems.
///
/// # Errors
/// Those of the map.
pub fn of_slot(map: &dyn OrderedMap, slot: Slot) -> Answer<Account> {
    let mut sum = Account::default();
    for fs in filesystems_in(map, slot)? {
        if let Some(value) = map.get(&keys::account(fs, slot))? {
            sum = sum.plus(&Account::decode(&value)?);
        }
    }
    Ok(sum)
}

/// Some of many, and where to go on; nowhere at the end.
pub type Page<T> = (Vec<T>, Option<Slot>);

/// The accounts of up to `most` slots from `from` on, over all their filesystems, in order, and where to go on.
///
/// # Errors
/// Those of the map.
pub fn of_slots(map: &dyn OrderedMap, from: Slot, most: usize) -> Answer<Page<(Slot, Account)>> {
    let (mut found, mut next) = (Vec::new(), Some(from));
    for _ in 0..most {
        let Some(slot) = next.map_or(Ok(None), |next| used_slot(map, next))? else {
            return Ok((found, None));
        };
        let account = of_slot(map, slot)?;
        if account != Account::default() {
            found.push((slot, account));
        }
        next = slot.0.checked_add(1).map(Slot);
    }
    Ok((found, next))
}

/// The first slot from `from` on that has any record at all.
///
/// # Errors
/// Those of the map.
pub fn used_slot(map: &dyn OrderedMap, from: Slot) -> Answer<Option<Slot>> {
    Ok(super::pending::used_slot(map, from)?)
}

/// A filesystem, inodes of it, and what they take.
pub type Part = (FsId, u64, Account);

/// What filesystems have in up to `most` slots from `from` on, and where to go on.
///
/// # Errors
/// Those of the map.
pub fn of_filesystems(map: &dyn OrderedMap, from: Slot, most: usize) -> Answer<Page<Part>> {
    let (mut found, mut next) = (Vec::new(), Some(from));
    for _ in 0..most {
        let Some(slot) = next.map_or(Ok(None), |next| used_slot(map, next))? else {
            return Ok((found, None));
        };
        for fs in filesystems_in(map, slot)? {
            let counters = map.get(&keys::counters(fs, slot))?.map(|value| Counters::decode(&value));
            let account = map.get(&keys::account(fs, slot))?.map(|value| Account::decode(&value));
            let inodes = counters.transpose()?.map_or(0, |counters| counters.inodes);
            found.push((fs, inodes, account.transpose()?.unwrap_or_default()));
        }
        next = slot.0.checked_add(1).map(Slot);
    }
    Ok((found, next))
}

/// The filesystems that have anything in a slot.
///
/// # Errors
/// Those of the map.
pub fn filesystems_in(map: &dyn OrderedMap, slot: Slot) -> Answer<Vec<FsId>> {
    let mut found = Vec::new();
    let mut from = FsId(1);
    loop {
        let (first, last) = keys::slot_from(from, slot);
        let mut here = None;
        map.scan(&first, &last, &mut |key, _| {
            here = keys::parse_kind(key);
            false
        })?;
        let Some((fs, _)) = here else { return Ok(found) };
        found.push(fs);
        let Some(next) = fs.0.checked_add(1) else { return Ok(found) };
        from = FsId(next);
    }
}

/// A stripe that the map knows, in whichever filesystem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Whether files need it; else it is to be freed.
    pub live: bool,
    /// What is known of it.
    pub record: Stripe,
}

/// What the map knows of a stripe.
///
/// # Errors
/// Those of the map.
pub fn find_stripe(map: &dyn OrderedMap, stripe: StripeId) -> Answer<Option<Known>> {
    for fs in filesystems_in(map, types::InodeId(stripe.0).slot())? {
        for (live, key) in [(true, keys::stripe(fs, stripe)), (false, keys::garbage(fs, stripe))] {
            if let Some(value) = map.get(&key)? {
                return Ok(Some(Known { live, record: Stripe::decode(&value)? }));
            }
        }
    }
    Ok(None)
}

/// A filesystem in a slot whose account or number of inodes is not what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The filesystem.
    pub fs: FsId,
    /// The slot.
    pub slot: Slot,
    /// What is there, with the number of inodes.
    pub counted: (Account, u64),
    /// What the records say.
    pub says: (Account, u64),
}

/// Counts a slot again, some keys at a time, all of them in one view.
#[derive(Clone)]
pub struct Recount {
    slot: Slot,
    from: Vec<u8>,
    fs: FsId,
    counted: Account,
    inodes: u64,
    differences: Vec<Difference>,
}

/// Kinds of records that are counted, in the order of their keys.
const COUNTED: [u8; 4] = [kind::INODE, kind::UNFOLDED, kind::STRIPE, kind::GARBAGE];

impl Recount {
    /// From the beginning of `slot`.
    #[must_use]
    pub fn new(slot: Slot) -> Recount {
        let (from, fs) = (keys::slot_from(FsId(1), slot).0, FsId(0));
        let (counted, inodes, differences) = (Account::default(), 0, Vec::new());
        Recount { slot, from, fs, counted, inodes, differences }
    }

    /// The slot that is counted.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Counts up to `limit` records; the differences come back when all are counted. Every step must see the
    /// same view.
    ///
    /// # Errors
    /// Those of the map.
    pub fn step(&mut self, view: &dyn OrderedMap, limit: usize) -> Answer<Option<Vec<Difference>>> {
        let end = keys::slot_from(FsId(0), self.slot).1;
        let mut left = limit;
        while left > 0 {
            let (mut skip, mut broken, mut last) = (None, None, true);
            let from = std::mem::take(&mut self.from);
            view.scan(&from, &end, &mut |key, value| {
                last = false;
                let Some((fs, kind)) = keys::parse_kind(key) else {
                    broken = Some(MapError::Broken("a key without a kind".into()));
                    return false;
                };
                if fs != self.fs || !COUNTED.contains(&kind) {
                    skip = Some((fs, kind));
                    return false;
                }
                broken = self.count(kind, value).err();
                self.from = [key, &[0]].concat();
                left -= 1;
                last = left > 0;
                broken.is_none() && left > 0
            })?;
            if let Some(error) = broken {
                return Err(error.into());
            }
            match skip {
                Some((fs, kind)) => self.skip(view, fs, kind)?,
                None if last => {
                    self.finish(view)?;
                    return Ok(Some(std::mem::take(&mut self.differences)));
                }
                None => {}
            }
        }
        Ok(None)
    }

    fn count(&mut self, kind: u8, value: &[u8]) -> Result<(), MapError> {
        match kind {
            kind::INODE => {
                self.inodes += 1;
                self.counted.used = self.counted.used.saturating_add(Inode::decode(value)?.used);
            }
            kind::UNFOLDED => {
                self.counted.unfolded += 1;
                self.counted.unfolded_bytes += u64::from(Unfolded::decode(value)?.bytes);
            }
            kind::STRIPE => self.counted.add_live(&Stripe::decode(value)?),
            _ => self.counted.add_garbage(&Stripe::decode(value)?),
        }
        Ok(())
    }

    /// The next key is of `kind` in `fs`: goes on there, or with the next kind that is counted.
    fn skip(&mut self, view: &dyn OrderedMap, fs: FsId, kind: u8) -> Result<(), MapError> {
        if fs != self.fs {
            self.finish(view)?;
            self.fs = fs;
        }
        self.from = match COUNTED.into_iter().find(|counted| *counted >= kind) {
            Some(next) => keys::all_of(fs, self.slot, next).0,
            None => keys::all_of(fs, self.slot, u8::MAX - 1).1,
        };
        Ok(())
    }

    /// Everything of the filesystem was counted.
    fn finish(&mut self, view: &dyn OrderedMap) -> Result<(), MapError> {
        let (fs, slot) = (self.fs, self.slot);
        let counted = (std::mem::take(&mut self.counted), std::mem::take(&mut self.inodes));
        if fs == FsId(0) {
            return Ok(());
        }
        let account = view.get(&keys::account(fs, slot))?.map(|value| Account::decode(&value)).transpose()?;
        let counters =
            view.get(&keys::counters(fs, slot))?.map(|value| Counters::decode(&value)).transpose()?;
        let says = (account.unwrap_or_default(), counters.map_or(0, |counters| counters.inodes));
        if counted != says {
            self.differences.push(Difference { fs, slot, counted, says });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use map::{MemoryMap, OrderedMapMut};
    use types::{FileId, GroupId, InodeId};

    const SLOT: Slot = Slot(u16::MAX);

    fn id(sequence: u64) -> InodeId {
        InodeId::new(SLOT, sequence)
    }

    fn stripe(length: u32) -> Stripe {
        let (group, pieces, live) = (GroupId(0), 1, length / 2);
        Stripe { group, data_chunks: 1, parity_chunks: 1, cells: 3, length, pieces, live }
    }

    /// Two filesystems in the last slot, with keys of all kinds around what is counted.
    fn filled() -> (MemoryMap, Account) {
        let mut map = MemoryMap::default();
        let mut account = Account::default();
        for n in 1..40 {
            for fs in [FsId(3), FsId(u32::MAX)] {
                let file = FileId { fs, ino: id(n) };
                map.put(&keys::unfolded(file, 7), Unfolded { bytes: n as u32 }.encode());
                map.put(&keys::stripe(fs, StripeId(id(n).0)), stripe(n as u32).encode());
                map.put(&keys::garbage(fs, StripeId(id(n + 100).0)), stripe(n as u32).encode());
                map.put(&keys::extent(file, 7), "not counted".into());
                map.put(&keys::orphan(file), "not counted".into());
            }
            account.unfolded += 1;
            account.unfolded_bytes += n;
            account.add_live(&stripe(n as u32));
            account.add_garbage(&stripe(n as u32));
        }
        for fs in [FsId(3), FsId(u32::MAX)] {
            map.put(&keys::account(fs, SLOT), account.encode());
        }
        map.put(&keys::account(FsId(3), Slot(5)), account.encode());
        (map, account)
    }

    fn recount(map: &MemoryMap, limit: usize) -> Vec<Difference> {
        let mut recount = Recount::new(SLOT);
        for _ in 0..10_000 {
            if let Some(differences) = recount.step(map, limit).unwrap() {
                return differences;
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn a_right_account_is_right_and_a_wrong_one_is_named_however_it_is_cut() {
        let (mut map, account) = filled();
        assert_eq!(filesystems_in(&map, SLOT).unwrap(), [FsId(3), FsId(u32::MAX)]);
        for limit in [1, 2, 3, 7, 1000] {
            assert_eq!(recount(&map, limit), [], "{limit}");
        }
        assert_eq!(of_slot(&map, SLOT).unwrap(), account.plus(&account));
        let all = [(Slot(5), account), (SLOT, account.plus(&account))];
        assert_eq!(of_slots(&map, Slot(0), 9).unwrap(), (all.to_vec(), None));
        assert_eq!(of_slots(&map, Slot(0), 1).unwrap(), (vec![all[0]], Some(Slot(6))));
        assert_eq!(of_slots(&map, Slot(6), 1).unwrap().0, [all[1]]);
        let parts = [(FsId(3), 0, account), (FsId(3), 0, account), (FsId(u32::MAX), 0, account)];
        assert_eq!(of_filesystems(&map, Slot(0), 9).unwrap(), (parts.to_vec(), None));
        assert_eq!(of_filesystems(&map, Slot(0), 1).unwrap(), (vec![parts[0]], Some(Slot(6))));
        map.put(&keys::account(FsId(u32::MAX), SLOT), Account { used: 1, ..account }.encode());
        for limit in [1, 2, 1000] {
            let found = recount(&map, limit);
            assert!(
                matches!(&found[..], [one] if one.fs == FsId(u32::MAX) && one.says.0.used == 1),
                "{found:?}"
            );
        }
        assert_eq!(Recount::new(Slot(9)).step(&map, 1).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn a_stripe_is_found_in_whichever_filesystem_it_is() {
        let (map, _) = filled();
        let known = |n: u64| find_stripe(&map, StripeId(id(n).0)).unwrap().map(|known| known.live);
        assert_eq!((known(5), known(105), known(50)), (Some(true), Some(false), None));
    }
}
