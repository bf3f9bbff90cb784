//! What a command changes in the accounts of slots: gathered while it runs, written at its end.

use crate::inodes::Work;
use crate::keys;
use crate::records::Account;
use map::MapError;
use std::collections::BTreeMap;
use types::Slot;

/// What slots gained and lost.
#[derive(Default)]
pub(crate) struct Accounts(BTreeMap<Slot, Changes>);

#[derive(Default)]
struct Changes {
    gained: Account,
    lost: Account,
}

impl Work<'_> {
    /// What `slot` has more after this command.
    pub(crate) fn gain(&mut self, slot: Slot) -> &mut Account {
        &mut self.accounts.0.entry(slot).or_default().gained
    }

    /// What `slot` has less after this command.
    pub(crate) fn lose(&mut self, slot: Slot) -> &mut Account {
        &mut self.accounts.0.entry(slot).or_default().lost
    }

    /// Bytes that the files of `slot` use more or less than before.
    pub(crate) fn change_used(&mut self, slot: Slot, before: u64, after: u64) {
        if after > before {
            let used = &mut self.gain(slot).used;
            *used = used.saturating_add(after - before);
        } else if before > after {
            let used = &mut self.lose(slot).used;
            *used = used.saturating_add(before - after);
        }
    }

    /// Writes the accounts that have changed; their slots come back. One that is wrong does not stop the file
    /// system: nothing falls below zero, and whoever counts again finds the difference.
    pub(crate) fn keep_accounts(&mut self) -> Result<Vec<Slot>, MapError> {
        let mut changed = Vec::new();
        for (slot, Changes { gained, lost }) in std::mem::take(&mut self.accounts.0) {
            if gained == lost {
                continue;
            }
            changed.push(slot);
            let key = keys::account(self.fs, slot);
            let before: Account = self.read().record(&key)?.unwrap_or_default();
            let after = before.plus(&gained).minus(&lost);
            if after == Account::default() {
                self.map.delete(&key);
            } else {
                self.put(&key, &after);
            }
        }
        Ok(changed)
    }
}
