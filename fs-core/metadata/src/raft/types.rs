//! The types that openraft is generic over.

use crate::batch::{Batch, Replies};
use openraft::impls::{EmptyNode, leader_id_std};

openraft::declare_raft_types!(
    /// One leader per term, so that a log id is (term, index).
    pub(crate) TypeConfig:
        D = Batch,
        R = Replies,
        NodeId = u64,
        Node = EmptyNode,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
);

/// What membership says of a voter beside its id: nothing yet.
pub(crate) type Node = EmptyNode;
/// (term, index), in this order.
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(super) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(super) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(super) type Membership = openraft::Membership<u64, Node>;
pub(super) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(super) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, ()>;

/// A log id from its parts.
pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}
