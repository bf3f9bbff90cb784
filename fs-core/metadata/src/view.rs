//! A consistent read of a shard.

use crate::host::{OfMachine, Pending, Unlocked};
use crate::maps::Shared;
use crate::transaction::TxId;
use bytes::Bytes;
use drive::map::MapSnapshot;
use map::{MapError, OrderedMap, Visit};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::ShardId;

/// Whose locks a view respects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Locking {
    /// All but those of this transaction: what is read is what was acknowledged.
    AllOthers(Option<TxId>),
    /// Nobody's: what is read was true a moment ago, and transactions may have been acknowledged since.
    /// For counting and for looking for work, never for answers.
    Nobody,
}

/// The shard's map as it was when the view was taken: every command acknowledged before is in it,
/// every command is in it wholly or not at all. Keep it short.
pub struct View {
    shard: ShardId,
    at: MapSnapshot,
    /// Whose copy of the map it is of.
    incarnation: u128,
    maps: Arc<Shared>,
    /// `None` where nobody holds anything.
    pending: Option<Arc<Pending>>,
    own: Option<TxId>,
}

impl View {
    pub(crate) fn new(
        shard: ShardId,
        maps: Arc<Shared>,
        pending: Option<Arc<Pending>>,
        locking: Locking,
    ) -> View {
        let (at, incarnation) = maps.snapshot();
        let (pending, own) = match locking {
            Locking::AllOthers(own) => (pending, own),
            Locking::Nobody => (None, None),
        };
        View { shard, at, incarnation, maps, pending, own }
    }

    /// The map as it is stored, with what the host keeps in it; without regard to locks.
    #[must_use]
    pub fn stored(&self) -> &MapSnapshot {
        &self.at
    }

    /// See [`View::stored`].
    #[must_use]
    pub fn into_stored(self) -> MapSnapshot {
        self.at
    }

    /// After an error of the map the next view is of another copy of it, if there is one: soon.
    fn read<T>(&self, ask: impl FnOnce(&dyn OrderedMap) -> Result<T, MapError>) -> Result<T, MapError> {
        let map = OfMachine(&self.at);
        let read = match &self.pending {
            Some(pending) => ask(&Unlocked { below: &map, pending, shard: self.shard, own: self.own }),
            None => ask(&map),
        };
        read.map_err(|error| match error {
            MapError::Broken(why) if self.maps.suspect(self.incarnation) => MapError::Away(why),
            error => error,
        })
    }
}

impl OrderedMap for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.read(|map| map.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.read(|map| map.scan(from, to, visit))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.read(|map| map.scan_back(from, to, visit))
    }
}
