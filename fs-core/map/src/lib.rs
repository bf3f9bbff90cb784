//! The ordered map that state machines run on: contract, write-set overlay, in-memory map.
//!
//! A deterministic machine sees nothing but [`OrderedMap`]; what stands behind it (an LSM on a
//! drive, a simulation, a `BTreeMap`) is its host's business.

#![forbid(unsafe_code)]

mod memory;
mod write_set;

pub use memory::MemoryMap;
pub use write_set::{Change, Overlay, WriteSet};

use bytes::Bytes;

/// The map could not be read. Fatal to the machine that runs on it, never an answer to a client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("ordered map: {0}")]
pub struct MapError(pub String);

/// Called with a key and its value; returns whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// Byte strings in lexicographic order.
pub trait OrderedMap {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`MapError`] when the map cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError>;

    /// Visits `from <= key < to` in ascending order until `visit` says stop.
    ///
    /// # Errors
    /// [`MapError`] when the map cannot be read.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError>;

    /// Visits `from <= key < to` in descending order until `visit` says stop.
    ///
    /// # Errors
    /// [`MapError`] when the map cannot be read.
    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError>;
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
pub trait Machine: Send + Sync + 'static {
    /// Applies one encoded command; an encoded reply comes back. A command that fails changes
    /// nothing and says so in its reply.
    ///
    /// # Errors
    /// [`MapError`] when the map cannot be read: the host stops.
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError>;
}
