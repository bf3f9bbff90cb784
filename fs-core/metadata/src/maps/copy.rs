//! A copy of the map with the mark that says whose it is and how far.

use crate::MetadataError;
use crate::raft::{Mark, Progress};
use drive::map::ShardMap;
use map::WriteSet;

/// A copy of the map, for the seat of this incarnation. Clones are handles of the same.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) map: ShardMap,
    pub(crate) incarnation: u128,
}

impl Copy {
    /// Changes and mark in one commit.
    pub(crate) fn commit(&self, changes: &WriteSet, progress: &Progress) -> Result<(), MetadataError> {
        self.commit_as(true, changes, progress.clone())
    }

    /// The same while it is being filled: whoever finds it so knows that it is not whole.
    pub(super) fn commit_part(&self, changes: &WriteSet) -> Result<(), MetadataError> {
        self.commit_as(false, changes, Progress::default())
    }

    fn commit_as(&self, is_whole: bool, changes: &WriteSet, progress: Progress) -> Result<(), MetadataError> {
        let mark = Mark { incarnation: self.incarnation, is_whole, progress };
        Ok(self.map.commit(changes, &mark.encode()?)?)
    }
}
