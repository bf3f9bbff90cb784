//! What the daemon tells the server.

use crate::ExportTable;
use identity::LocalFiles;
use std::sync::Arc;
use std::time::Duration;

/// Everything that can be chosen. Times and identities come in from outside, so that a simulation can
/// choose them too.
#[derive(Clone, Debug)]
pub struct NfsConfig {
    /// What is served to whom; [`crate::Server::set_exports`] replaces it at run time.
    pub exports: ExportTable,
    /// Where the groups of users are looked up; `None` believes what clients say, up to 16 of them.
    pub groups: Option<Arc<LocalFiles>>,
    /// How long a client may be silent before it may lose its state (RFC 8881 section 8.3).
    pub lease: Duration,
    /// How much longer than its lease a silent client keeps its state while nobody else wants it.
    pub courtesy: Duration,
    /// A number that no other run of any server of this cluster has, at best random.
    pub instance: u64,
    /// The name of the cluster: servers with the same name share identities of clients and files (the
    /// server's owner and scope of RFC 8881 section 2.10.4).
    pub scope: String,
    /// Which of them this is, the same over restarts.
    pub server: u32,
    /// Connections at a time.
    pub connections: usize,
    /// Requests at a time, over all connections; each holds at most about 2 MiB.
    pub requests: usize,
    /// Clients at a time.
    pub clients: usize,
    /// Opens and locks of one client.
    pub states_per_client: usize,
    /// Slots of all sessions together; each remembers a reply of at most 4 KiB.
    pub slots: usize,
    /// A connection without a request for so long is closed.
    pub idle: Duration,
}

impl NfsConfig {
    /// Defaults for everything but what has none.
    #[must_use]
    pub fn new(exports: ExportTable, instance: u64) -> NfsConfig {
        NfsConfig {
            exports,
            groups: None,
            lease: Duration::from_secs(45),
            courtesy: Duration::from_secs(45),
            instance,
            scope: "plexus".to_owned(),
            server: 1,
            connections: 16_384,
            requests: 512,
            clients: 16_384,
            states_per_client: 262_144,
            slots: 262_144,
            idle: Duration::from_secs(360),
        }
    }
}
