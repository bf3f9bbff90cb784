//! The part of a shard that is decided by its log alone: the machine on its slots, and transactions on top.
//!
//! Pure: state in, state out. Everything that is known here is in the stored map too, and read from it when the
//! shard is opened; the same commands in the same order leave the same map everywhere.

mod coordinator;
mod elder;
mod executors;
mod guard;
mod participant;
mod pending;
mod stored;
#[cfg(test)]
mod tests;

pub(crate) use pending::Unlocked;
#[cfg(test)]
pub(crate) use pending::pending_of;
pub use pending::{Decided, Held, Pending};
pub(crate) use stored::OfMachine;

use crate::command::{Command, Kind};
use crate::transaction::{Record, TxId};
use crate::{MetadataError, Refused};
use bytes::Bytes;
use cluster::SlotTable;
use elder::Elder;
use executors::Executors;
use guard::{Brought, Denied, Guard};
use map::{Machine, MapError, OrderedMap, OrderedMapMut, Overlay, WriteSet};
use std::cell::Cell;
use std::sync::Arc;
use types::limits::COMMAND_KEYS_MAX;
use types::{ShardId, Slot};

/// Most transactions that are prepared in a shard, and most that it has decided and not forgotten.
const PREPARED_MAX: usize = 256;
const DECIDED_MAX: usize = 4096;

/// The slot that a machine's key begins with; a byte that is not there counts as zero.
#[must_use]
pub fn slot_of(key: &[u8]) -> Slot {
    let byte = |at: usize| key.get(at).copied().unwrap_or(0);
    Slot(u16::from_be_bytes([byte(0), byte(1)]))
}

/// The first and the last slot that keys of `from..to` can have; `None` for an empty range.
#[must_use]
pub fn slots_of_range(from: &[u8], to: &[u8]) -> Option<(Slot, Slot)> {
    if from >= to {
        return None;
    }
    let (first, mut last) = (slot_of(from), slot_of(to));
    // The end itself is not in the range.
    if to.len() <= 2 && last > first {
        last.0 -= 1;
    }
    Some((first, last))
}

/// What commands of a shard's log do to its map.
#[derive(Clone)]
pub struct Host {
    shard: ShardId,
    slots: Arc<SlotTable>,
    machine: Arc<dyn Machine>,
    pending: Arc<Pending>,
    executors: Executors,
    elder: Option<Elder>,
}

/// What a host is made of, over any copy of its map.
#[derive(Clone)]
pub(crate) struct Hosting {
    pub(crate) shard: ShardId,
    pub(crate) slots: Arc<SlotTable>,
    pub(crate) machine: Arc<dyn Machine>,
}

impl Hosting {
    pub(crate) fn over(&self, stored: &dyn OrderedMap) -> Result<Host, MetadataError> {
        Host::load(self.shard, self.slots.clone(), self.machine.clone(), stored)
    }
}

/// What a command of the machine did, before it counts.
enum Ran {
    Did(Bytes, WriteSet),
    Denied(Denied),
}

impl Host {
    /// The host of `shard` over what its stored map has.
    ///
    /// # Errors
    /// [`MetadataError`] when the map cannot be read, or has what this version does not know.
    pub fn load(
        shard: ShardId,
        slots: Arc<SlotTable>,
        machine: Arc<dyn Machine>,
        stored: &dyn OrderedMap,
    ) -> Result<Host, MetadataError> {
        let pending = Pending { prepared: participant::load(stored)?, decided: coordinator::load(stored)? };
        let (executors, elder) = (Executors::load(stored)?, Elder::load(stored)?);
        Ok(Host { shard, slots, machine, pending: Arc::new(pending), executors, elder })
    }

    /// The transactions that have not ended.
    #[must_use]
    pub fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    /// Applies a command: its reply, or why it changed nothing.
    ///
    /// # Errors
    /// [`MapError::Broken`] when the map cannot be read: the host is as it was, and what was written to `stored`
    /// does not count.
    pub fn apply(
        &mut self,
        stored: &mut dyn OrderedMapMut,
        command: &Command,
    ) -> Result<Result<Bytes, Refused>, MapError> {
        match command.kind {
            Kind::Machine => self.machine_command(stored, &command.bytes),
            Kind::Record => {
                let Ok(record) = Record::decode(&command.bytes) else { return Ok(Err(Refused::Unreadable)) };
                let answer = match record {
                    Record::Prepare(prepare) => self.prepare(stored, prepare)?,
                    Record::Commit(commit) => self.commit(stored, commit)?,
                    Record::Resolve { tx } => self.resolve(stored, tx),
                    Record::Finish { tx, commit, floor } => self.finish(stored, tx, commit, floor)?,
                    Record::Forget { tx, floor } => self.forget(stored, tx, floor),
                };
                Ok(Ok(answer.encode()))
            }
        }
    }

    fn machine_command(
        &self,
        stored: &mut dyn OrderedMapMut,
        command: &Bytes,
    ) -> Result<Result<Bytes, Refused>, MapError> {
        let (reply, writes) = match self.run(stored, command, None)? {
            Ran::Did(reply, writes) => (reply, writes),
            Ran::Denied(Denied::Locked(tx)) => return Ok(Err(Refused::Locked(tx))),
            Ran::Denied(_) => return Ok(Err(Refused::Elsewhere)),
        };
        if let Err(refused) = self.check_writes(&writes) {
            return Ok(Err(refused));
        }
        if let Some((tx, _)) = self.barred(&writes) {
            return Ok(Err(Refused::Locked(tx)));
        }
        put_all(stored, &writes);
        Ok(Ok(reply))
    }

    /// Runs the machine, and changes nothing yet.
    fn run(
        &self,
        stored: &dyn OrderedMap,
        command: &Bytes,
        brought: Option<&Brought>,
    ) -> Result<Ran, MapError> {
        let guard = Guard {
            stored: OfMachine(stored),
            pending: &self.pending,
            slots: &self.slots,
            shard: self.shard,
            brought,
            denied: Cell::new(None),
        };
        let mut writes = WriteSet::default();
        let reply = self.machine.apply(&mut Overlay::new(&guard, &mut writes), command);
        match guard.denied.get() {
            Some(denied) => Ok(Ran::Denied(denied)),
            None => Ok(Ran::Did(reply?, writes)),
        }
    }

    /// Whether the map can take `writes`, and all are of this shard.
    fn check_writes(&self, writes: &WriteSet) -> Result<(), Refused> {
        if writes.len() > COMMAND_KEYS_MAX {
            return Err(Refused::TooManyKeys);
        }
        writes.iter().try_for_each(|(key, _)| self.check_key(key))
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Refused> {
        if key.is_empty() || key.len() > stored::MACHINE_KEY_MAX {
            Err(Refused::BadKey)
        } else if self.slots.shard(slot_of(key)) != self.shard {
            Err(Refused::Elsewhere)
        } else {
            Ok(())
        }
    }

    /// The transaction that one of `writes` must wait for, and the key.
    fn barred(&self, writes: &WriteSet) -> Option<(TxId, Bytes)> {
        if self.pending.prepared.is_empty() {
            return None;
        }
        let barring =
            |key| self.pending.barring(None, key).map(|held| (held.tx, Bytes::copy_from_slice(key)));
        writes.iter().find_map(|(key, _)| barring(key))
    }

    /// The transaction has ended here.
    fn end(&mut self, stored: &mut dyn OrderedMapMut, tx: TxId, floor: u64) {
        self.executors.end(stored, tx, floor);
    }

    /// To be changed; views that were taken before keep what they have.
    fn pending_mut(&mut self) -> &mut Pending {
        Arc::make_mut(&mut self.pending)
    }
}

fn put_all(stored: &mut dyn OrderedMapMut, writes: &WriteSet) {
    for (key, change) in writes.iter() {
        match change {
            Some(value) => stored.put(&stored::of_machine(key), value.clone()),
            None => stored.delete(&stored::of_machine(key)),
        }
    }
}
