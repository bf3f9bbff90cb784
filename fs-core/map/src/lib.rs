//! The ordered map that state machines run on: contract, write-set overlay, record of what was read,
//! in-memory map.
//!
//! A deterministic machine sees nothing but [`OrderedMap`]; what stands behind it (an LSM on a
//! drive, a simulation, a `BTreeMap`) is its host's business.

#![forbid(unsafe_code)]

mod error;
mod memory;
mod reads;
mod write_set;

pub use error::{Locked, MapError};
pub use memory::MemoryMap;
pub use reads::{Peek, RangeRead, Reads, Recorder};
pub use write_set::{Change, Overlay, WriteSet};

use bytes::Bytes;

/// Called with a key and its value; returns whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// Byte strings in lexicographic order.
pub trait OrderedMap {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`MapError`] when the map cannot be read, or not now, or not here.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError>;

    /// Visits `from <= key < to` in ascending order until `visit` says stop.
    ///
    /// # Errors
    /// As [`OrderedMap::get`].
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError>;

    /// Visits `from <= key < to` in descending order until `visit` says stop.
    ///
    /// # Errors
    /// As [`OrderedMap::get`].
    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError>;

    /// The value of `key`, by a reader that has [got](OrderedMap::get) `guard` before and knows that what
    /// it uses of the value changes only in commands that change `guard` too. A host that runs commands
    /// before it has locked what they read need not lock this.
    ///
    /// # Errors
    /// As [`OrderedMap::get`].
    fn get_under(&self, key: &[u8], guard: &[u8]) -> Result<Option<Bytes>, MapError> {
        let _ = guard;
        self.get(key)
    }
}

/// An [`OrderedMap`] that takes changes.
pub trait OrderedMapMut: OrderedMap {
    /// Sets the value of `key`.
    fn put(&mut self, key: &[u8], value: Bytes);
    /// Removes `key`; no matter whether it is there.
    fn delete(&mut self, key: &[u8]);
}

/// A deterministic state machine: the same commands in the same order give the same map and the
/// same replies, everywhere and always. No clock, no randomness, no I/O beyond the map.
///
/// Its keys begin with their slot, two bytes, big-endian: by that a host that holds some of the slots
/// tells its keys from another's.
pub trait Machine: Send + Sync + 'static {
    /// Applies one encoded command; an encoded reply comes back. A command that fails changes
    /// nothing and says so in its reply.
    ///
    /// # Errors
    /// The map's own, handed on at once. After [`MapError::Broken`] the host stops; after the others it
    /// takes the command for one that it cannot run now, or not alone.
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError>;
}
