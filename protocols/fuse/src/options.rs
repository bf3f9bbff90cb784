//! What can be chosen about a mount.

use std::time::Duration;
use vfs::ClientId;

/// Options of a mount; `Default` is what a coherent mount for everybody needs.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// What `/proc/mounts` shows as the source.
    pub source: String,
    /// To whom the opens and locks of this mount belong; unique among all mounts.
    pub client: ClientId,
    /// How long the kernel may trust a name. Zero as long as others change files without telling us.
    pub entry_timeout: Duration,
    /// How long the kernel may trust attributes. Zero as above.
    pub attr_timeout: Duration,
    /// Threads that read requests, at least 1.
    pub threads: usize,
    /// Let all users in, not only the one who mounts.
    pub allow_other: bool,
    /// Refuse changes.
    pub read_only: bool,
    /// Honour setuid and setgid programs, as far as who mounts may.
    pub suid: bool,
    /// Honour device nodes, as far as who mounts may.
    pub dev: bool,
    /// Run programs.
    pub exec: bool,
    /// Requests that may wait in the runtime at once, beside waiting locks; more wait in the kernel.
    pub in_flight: usize,
    /// Kernel readahead in KiB; 0 leaves what the kernel chose. Needs the superuser.
    pub readahead_kib: u32,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions {
            source: "plexus".to_owned(),
            client: ClientId(0),
            entry_timeout: Duration::ZERO,
            attr_timeout: Duration::ZERO,
            threads: 4,
            allow_other: true,
            read_only: false,
            suid: true,
            dev: true,
            exec: true,
            in_flight: 256,
            readahead_kib: 1024,
        }
    }
}
