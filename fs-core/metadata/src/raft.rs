//! openraft and the thin adapters around it. Nothing outside this module names its types.

mod encode;
mod execute;
mod log;
mod machine;
mod mark;
mod network;
mod persist;
#[cfg(test)]
mod suite;
mod types;

#[cfg(feature = "fuzz")]
pub(crate) use encode::{decode_stored, stored};
pub(crate) use execute::catch_up;
pub(crate) use log::RaftLog;
pub(crate) use machine::{Applier, Since};
pub(crate) use mark::{Mark, Progress};
pub(crate) use network::NoPeers;
pub(crate) use types::{LogId, Node, TypeConfig};

use openraft::{Config, SnapshotPolicy};
use std::sync::Arc;

/// The Raft node of a shard.
pub(crate) type Raft = openraft::Raft<TypeConfig, Applier>;

/// How our voters run. A lone voter needs no ticks: it is elected by a trigger, and its lease
/// never ends. With peers: heartbeats every 500 ms, elections after 1.5 to 3 s, pre-vote.
pub(crate) fn config(lone: bool) -> Result<Arc<Config>, String> {
    let config = Config {
        cluster_name: "plexus".to_owned(),
        heartbeat_interval: 500,
        election_timeout_min: 1500,
        election_timeout_max: 3000,
        enable_pre_vote: Some(true),
        enable_tick: !lone,
        // A leader restored without a vote would serve a map that is not synced.
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        // We say when: by commands and bytes, not by entries.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        replication_lag_threshold: 1_000_000,
        api_channel_size: Some(64),
        notification_channel_size: Some(1024),
        state_machine_channel_size: Some(64),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|e| e.to_string())
}
