//! How far a copy of the map is: what it keeps beside the machine's content, committed with it
//! (`docs/formats/log.md`).

use super::types::{LogId, SnapshotMeta, StoredMembership};
use crate::MetadataError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Version of the mark.
const VERSION: u8 = 2;

/// The last entry in a copy of the map, and the membership as of then. Clones are cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(in crate::raft) applied: Option<LogId>,
    pub(in crate::raft) membership: Arc<StoredMembership>,
}

impl Progress {
    /// Whether it has everything that `other` has.
    pub(crate) fn reaches(&self, other: &Progress) -> bool {
        self.applied >= other.applied
    }

    pub(crate) fn at(&self) -> Option<LogId> {
        self.applied
    }

    pub(in crate::raft) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: (*self.membership).clone() }
    }

    /// The voters it knows; none before the first entry.
    pub(in crate::raft) fn voters(&self) -> Vec<u64> {
        self.membership.voter_ids().collect()
    }
}

/// Whose copy it is, and how far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Of the seat that the copy was made for.
    pub(crate) incarnation: u128,
    /// False while it is filled: then `progress` says nothing.
    pub(crate) is_whole: bool,
    pub(crate) progress: Progress,
}

impl Mark {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, MetadataError> {
        postcard::to_extend(self, vec![VERSION]).map_err(|e| damaged(&e.to_string()))
    }

    /// # Errors
    /// [`MetadataError::Damaged`], also for another version.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Mark, MetadataError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| damaged(&e.to_string())),
            Some((other, _)) => Err(damaged(&format!("version {other}, which this version does not know"))),
            None => Err(damaged("empty")),
        }
    }
}

fn damaged(why: &str) -> MetadataError {
    MetadataError::Damaged(format!("the map's mark: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::{Membership, log_id};
    use openraft::impls::EmptyNode;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_mark_comes_back_and_another_version_does_not() {
        let nodes: BTreeMap<u64, EmptyNode> = [(7, EmptyNode {})].into();
        let membership = Membership::new_with_defaults(vec![BTreeSet::from([7])], nodes.into_keys());
        let membership = Arc::new(StoredMembership::new(Some(log_id(1, 0)), membership));
        let progress = Progress { applied: Some(log_id(1, 2)), membership };
        let mark = Mark { incarnation: u128::MAX - 3, is_whole: true, progress };
        let mut bytes = mark.encode().unwrap();
        assert_eq!(Mark::decode(&bytes).unwrap(), mark);
        assert_eq!(mark.progress.voters(), [7]);
        bytes[0] = 1;
        assert!(Mark::decode(&bytes).is_err());
        assert!(Mark::decode(&[]).is_err());
    }
}
