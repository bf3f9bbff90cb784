//! A consistent read of a shard.

use crate::maps::Shared;
use bytes::Bytes;
use drive::map::MapSnapshot;
use map::{MapError, OrderedMap, Visit};
use std::sync::Arc;

/// The shard's map as it was when the view was taken: every command acknowledged before is in it,
/// every command is in it wholly or not at all. Keep it short.
pub struct View {
    at: MapSnapshot,
    incarnation: u128,
    maps: Arc<Shared>,
}

impl View {
    pub(crate) fn new(maps: Arc<Shared>) -> View {
        let (at, incarnation) = maps.snapshot();
        View { at, incarnation, maps }
    }

    /// After an error the next view is of another copy of the map, if there is one.
    fn noted<T>(&self, read: Result<T, MapError>) -> Result<T, MapError> {
        read.inspect_err(|_| self.maps.suspect(self.incarnation))
    }
}

impl OrderedMap for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.noted(self.at.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.noted(self.at.scan(from, to, visit))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.noted(self.at.scan_back(from, to, visit))
    }
}
