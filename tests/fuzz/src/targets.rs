//! The table of targets.

mod commands;
mod keys;
mod nfs;
mod text;
mod wire;

/// Something that reads bytes of strangers.
pub struct Target {
    /// Its name; its corpus has it, too.
    pub name: &'static str,
    /// Reads one input, whatever it is.
    pub run: fn(&[u8]),
    /// Inputs that are right, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "rpc", run: wire::rpc, seeds: wire::rpc_seeds },
    Target { name: "compound", run: wire::compound, seeds: nfs::compound_seeds },
    Target { name: "nfs-stream", run: nfs::stream, seeds: nfs::stream_seeds },
    Target { name: "nfs-session", run: nfs::session, seeds: nfs::session_seeds },
    Target { name: "fabric", run: wire::fabric, seeds: wire::fabric_seeds },
    Target { name: "drive", run: drive::fuzz::decode, seeds: drive::fuzz::seeds },
    Target { name: "drive-messages", run: data::fuzz::decode, seeds: data::fuzz::seeds },
    Target { name: "log", run: metadata::fuzz::decode, seeds: metadata::fuzz::seeds },
    Target { name: "shard-messages", run: metadata::fuzz::message, seeds: metadata::fuzz::messages },
    Target { name: "commands", run: commands::run, seeds: commands::seeds },
    Target { name: "keys", run: keys::run, seeds: keys::seeds },
    Target { name: "config", run: text::config, seeds: text::config_seeds },
    Target { name: "accounts", run: text::accounts, seeds: text::accounts_seeds },
];
