//! What files take, summed over all slots: read once, and from then on only where it has changed.

use crate::look::read;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::accounts;
use namespace::records::Account;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex as AsyncMutex;
use types::{FsError, Slot};

const WORDS: usize = 65_536 / 64;
/// More than there can be.
const UNKNOWN: u64 = u64::MAX;
/// Slots looked into in one step.
const SLOTS: usize = 64;

/// The sums of this frontend. Bounded by the number of slots.
pub(crate) struct Ledger {
    stale: Mutex<Stale>,
    /// Held while they are brought up to date.
    sums: AsyncMutex<Sums>,
    /// Bytes of small writes in `sums`; [`UNKNOWN`] before they were read.
    unfolded: AtomicU64,
    /// Those of commits since.
    unfolded_since: AtomicU64,
}

/// Slots whose accounts may have changed since they were read, one bit each.
struct Stale {
    any: bool,
    /// What is known may be wrong anywhere.
    all: bool,
    bits: Vec<u64>,
}

/// Accounts as they were read.
#[derive(Default)]
pub(crate) struct Sums {
    /// Over all slots.
    pub(crate) total: Account,
    /// By slot, where there is any.
    pub(crate) slots: BTreeMap<Slot, Account>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            stale: Mutex::new(Stale { any: true, all: true, bits: vec![0; WORDS] }),
            sums: AsyncMutex::default(),
            unfolded: AtomicU64::new(UNKNOWN),
            unfolded_since: AtomicU64::new(0),
        }
    }
}

impl Stale {
    fn mark(&mut self, slot: Slot) {
        self.any = true;
        self.bits[usize::from(slot.0) / 64] |= 1 << (slot.0 % 64);
    }

    /// All that are marked; none is afterwards.
    fn take(&mut self) -> Vec<Slot> {
        let mut slots = Vec::new();
        for (at, word) in self.bits.iter_mut().enumerate().filter(|(_, word)| **word != 0) {
            // There are 1,024 words.
            let bits = (0..64u16).filter(|bit| *word >> bit & 1 == 1);
            slots.extend(bits.map(|bit| Slot(at as u16 * 64 + bit)));
            *word = 0;
        }
        (self.any, self.all) = (false, false);
        slots
    }
}

impl Sums {
    fn set(&mut self, slot: Slot, account: Account) {
        let before = if account == Account::default() {
            self.slots.remove(&slot)
        } else {
            self.slots.insert(slot, account)
        };
        self.total = self.total.plus(&account).minus(&before.unwrap_or_default());
    }
}

impl Ledger {
    /// The accounts of these slots have changed.
    pub(crate) fn mark(&self, slots: &[Slot]) {
        if !slots.is_empty() {
            let mut stale = self.stale.lock();
            slots.iter().for_each(|slot| stale.mark(*slot));
        }
    }

    /// A commit was acknowledged that keeps so many bytes with the metadata.
    pub(crate) fn kept(&self, bytes: u64) {
        self.unfolded_since.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Nobody knows what has changed.
    pub(crate) fn mark_all(&self) {
        let mut stale = self.stale.lock();
        (stale.any, stale.all) = (true, true);
    }
}

/// Marks were taken off. Where what they stood for is not read, also because nobody waits for it any more, nobody
/// knows what has changed.
struct Unread<'a> {
    ledger: &'a Ledger,
    done: bool,
}

impl Unread<'_> {
    fn has_been(mut self) {
        self.done = true;
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.ledger.mark_all();
        }
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Bytes of small writes that are kept with the metadata until they are folded; not less than there are, and no
    /// more once [`Self::with_ledger`] has looked; nothing is known of them before it has for the first time.
    pub(crate) fn unfolded(&self) -> u64 {
        let ledger = &self.0.ledger;
        let read = match ledger.unfolded.load(Ordering::Acquire) {
            UNKNOWN => 0,
            bytes => bytes,
        };
        read.saturating_add(ledger.unfolded_since.load(Ordering::Acquire))
    }

    /// Looks at the sums, which have in them every command that was acknowledged before; of a transaction the parts
    /// that have been finished.
    pub(crate) async fn with_ledger<T>(&self, look: impl FnOnce(&Sums) -> T) -> Result<T, FsError> {
        let ledger = &self.0.ledger;
        let mut sums = ledger.sums.lock().await;
        // First the marks and then the view: what changes in between is in the view, and marked again.
        // A commit marks its slots before it counts beside them: what counts now is in the view, or marked.
        let in_view = ledger.unfolded_since.load(Ordering::Acquire);
        let (all, slots) = {
            let mut stale = ledger.stale.lock();
            if !stale.any {
                ledger.unfolded_since.fetch_sub(in_view, Ordering::AcqRel);
                return Ok(look(&sums));
            }
            (stale.all, stale.take())
        };
        let unread = Unread { ledger, done: false };
        // What is acknowledged and not finished yet is not in the view.
        let held = self.0.shards.held().await.map_err(|error| {
            tracing::warn!(%error, "a shard cannot be read");
            FsError::Delay
        })?;
        ledger.mark(&held);
        if all {
            self.read_sums(&mut sums).await?;
        } else {
            let view = self.past_view();
            for slot in slots {
                sums.set(slot, read(&view, |map| accounts::of_slot(map, slot)).await?);
            }
        }
        unread.has_been();
        ledger.unfolded.store(sums.total.unfolded_bytes, Ordering::Release);
        ledger.unfolded_since.fetch_sub(in_view, Ordering::AcqRel);
        Ok(look(&sums))
    }

    async fn read_sums(&self, sums: &mut Sums) -> Result<(), FsError> {
        *sums = Sums::default();
        let mut from = Some(Slot(0));
        while let Some(slot) = from {
            let (found, next) = self.past(|map| accounts::of_slots(map, slot, SLOTS)).await?;
            found.into_iter().for_each(|(slot, account)| sums.set(slot, account));
            from = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_taken_once() {
        let mut stale = Stale { any: false, all: false, bits: vec![0; WORDS] };
        let slots = [0, 63, 64, 1000, u16::MAX].map(Slot);
        slots.iter().chain(&slots).for_each(|slot| stale.mark(*slot));
        assert!(stale.any);
        assert_eq!(stale.take(), slots);
        assert!(stale.take().is_empty() && !stale.any);
    }

    #[test]
    fn sums_follow_their_slots() {
        let mut sums = Sums::default();
        let account = |used| Account { used, stripes: 1, ..Account::default() };
        sums.set(Slot(1), account(5));
        sums.set(Slot(2), account(7));
        sums.set(Slot(1), account(1));
        assert_eq!((sums.total.used, sums.total.stripes), (8, 2));
        sums.set(Slot(2), Account::default());
        assert_eq!((sums.total, sums.slots.len()), (account(1), 1));
    }
}
