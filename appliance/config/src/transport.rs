//! How roles reach each other.

use std::fmt;

/// How the roles of a daemon reach each other, and mounts the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// As calls in one process; mounts through a Unix socket.
    Local,
    /// Through TCP, in one process, too.
    Tcp,
}

impl Transport {
    /// As the configuration writes them.
    pub const NAMES: [(&'static str, Transport); 2] = [("local", Transport::Local), ("tcp", Transport::Tcp)];
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Local => "local",
            Transport::Tcp => "tcp",
        })
    }
}
