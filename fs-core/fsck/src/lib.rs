//! What an independent reader finds wrong with a file system.
//!
//! It reads a consistent view of the shards' maps and the listings of the drives by `docs/formats/` alone, with
//! code of its own: a mistake in the code that writes them shows here. Nothing is changed or repaired.
//!
//! The map is read once, in the order of its keys, with a point read for each record that another one names. Held
//! meanwhile are about 150 bytes for each inode and 50 for each piece referred to of the slot that is being read,
//! 24 for each directory of the shard, 16 to 40 for each name or reference that leads to another slot, and 48 for
//! each chunk of the drives; damage is named up to [`DAMAGE_MAX`] times.
//!
//! Use: list the drives into [`Chunks`], take a view of all [`Shards`], [`check`] and [`Checked::look_at_shards`]; while [`Checked::has_doubts`], wait a little and
//! [`Checked::reconsider`], as chunks come and go under a file system in use; then [`Checked::finish`].

#![forbid(unsafe_code)]

mod across;
mod chunks;
mod cookie;
mod damage;
mod inodes;
mod keys;
mod part;
mod paths;
mod records;
mod removal;
mod shards;
mod stripes;
mod transactions;
mod walk;

pub use chunks::Chunks;
pub use damage::{DAMAGE_MAX, Damage, Kind};
pub use shards::Shards;

use chunks::Doubts;
use cluster::ClusterMap;
use damage::Findings;
use drive::ChunkKey;
use map::{MapError, OrderedMap};
use std::collections::{BTreeMap, BTreeSet};
use types::{DriveId, FsId};

/// What was looked at, and all that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Inodes looked at.
    pub inodes: u64,
    /// Directory entries looked at.
    pub entries: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// Records of filesystems that are being removed, which are not counted above.
    pub removing: u64,
    /// Empty when clean.
    pub damage: Vec<Damage>,
}

/// The map is checked; what the drives have may be looked at again.
pub struct Checked {
    findings: Findings,
    doubts: Doubts,
    map: ClusterMap,
    filesystems: BTreeMap<FsId, String>,
    /// Those that are being removed.
    going: BTreeSet<FsId>,
    inodes: u64,
    entries: u64,
    chunks: u64,
    removing: u64,
}

/// Checks all of `view` against itself and against `chunks`, which were listed before the view was taken.
///
/// # Errors
/// When the map cannot be read.
pub fn check(view: &dyn OrderedMap, chunks: Chunks) -> Result<Checked, MapError> {
    walk::walk(view, chunks)
}

impl Checked {
    /// Whether there are chunks missing or left over that may have come or gone since they were listed.
    #[must_use]
    pub fn has_doubts(&self) -> bool {
        !self.doubts.is_empty()
    }

    /// Looks again at the chunks in doubt: whether each is `present` on its drive now, and what stripes are live
    /// in a `view` that is taken after that.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn reconsider<V: OrderedMap>(
        &mut self,
        present: impl Fn(DriveId, ChunkKey) -> bool,
        view: impl FnOnce() -> Result<V, MapError>,
    ) -> Result<(), MapError> {
        self.doubts.ask(&present);
        let filesystems: Vec<FsId> = self.filesystems.keys().chain(&self.going).copied().collect();
        self.doubts.look(&view()?, &filesystems, &self.map)
    }

    /// What is in doubt now is damage. The paths of damaged inodes are those in `view`.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn finish(mut self, view: &dyn OrderedMap) -> Result<Report, MapError> {
        std::mem::take(&mut self.doubts).finish(&mut self.findings);
        let Findings { found, omitted } = std::mem::take(&mut self.findings);
        let files = found.iter().filter_map(|(_, file, _)| *file);
        let paths = paths::paths(view, files, &self.filesystems)?;
        let named = |(kind, file, what): (Kind, Option<_>, String)| {
            let path = file.and_then(|file| paths.get(&file));
            Damage { kind, what: path.map_or(what.clone(), |path| format!("{path}: {what}")) }
        };
        let mut damage: Vec<Damage> = found.into_iter().map(named).collect();
        if omitted > 0 {
            damage.push(Damage { kind: Kind::More, what: format!("{omitted} more damages are not named") });
        }
        let Checked { inodes, entries, chunks, removing, .. } = self;
        Ok(Report { inodes, entries, chunks, removing, damage })
    }
}
