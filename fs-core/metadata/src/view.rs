//! A consistent read of a shard.

use bytes::Bytes;
use drive::map::MapSnapshot;
use map::{MapError, OrderedMap, Visit};

/// The shard's map as it was when the view was taken: every command acknowledged before is in it,
/// every command is in it wholly or not at all. Keep it short.
pub struct View(pub(crate) MapSnapshot);

impl OrderedMap for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.0.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.0.scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.0.scan_back(from, to, visit)
    }
}
