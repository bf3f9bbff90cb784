//! Who says in which groups users are.

use std::fmt;

/// Who says in which groups a user of an NFS client is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GroupSource {
    /// The client, up to 16 of them.
    Client,
    /// This machine's /etc/passwd and /etc/group; the client for users that they do not have.
    Server,
}

impl GroupSource {
    /// As the configuration writes them.
    pub const NAMES: [(&'static str, GroupSource); 2] =
        [("client", GroupSource::Client), ("server", GroupSource::Server)];
}

impl fmt::Display for GroupSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupSource::Client => "client",
            GroupSource::Server => "server",
        })
    }
}
