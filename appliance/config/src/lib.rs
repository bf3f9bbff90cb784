//! Every option of the daemon, in one documented place.
//!
//! [`OPTIONS`] is that place: each option with its key, flag, default, unit and meaning. Reading a
//! file, reading the command line, printing what is in force (`plexusd config`) and the reference
//! page all walk this one table.

#![forbid(unsafe_code)]

mod export_option;
mod exports;
mod fits;
mod groups;
mod load;
mod option;
mod protection;
mod reference;
mod size;
mod transport;
mod value;
mod webhooks;

pub use export_option::EXPORT_OPTIONS;
pub use exports::{Given, change_export, read_exports, write_exports};
pub use groups::GroupSource;
pub use load::{ConfigError, Overrides};
pub use option::{OPTIONS, OptionSpec, Reload};
pub use protection::Protection;
pub use reference::{describe, reference_page};
pub use size::Size;
pub use transport::Transport;
pub use webhooks::{WEBHOOK_OPTIONS, Webhook};

use serve::Export;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that the daemon was told, valid as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The folder that holds all drives and the daemon's own state.
    pub data: PathBuf,
    /// Number of drives, each a folder of its own in `data`.
    pub drives: u16,
    /// Bytes of each drive.
    pub drive_size: Size,
    /// How stripes survive the loss of drives.
    pub protection: Protection,
    /// Where the NFS head listens.
    pub nfs_listen: SocketAddr,
    /// How long an NFS client may be silent before its state is dropped.
    pub nfs_lease: Duration,
    /// How long after a restart NFS clients may reclaim what they had.
    pub nfs_grace: Duration,
    /// Who says in which groups a user of an NFS client is.
    pub nfs_groups: GroupSource,
    /// Where the S3 head listens; `None`: nowhere.
    pub s3_listen: Option<SocketAddr>,
    /// The directory of the filesystem `default` that buckets are in.
    pub s3_root: String,
    /// The region that buckets are said to be in.
    pub s3_region: String,
    /// Domains below which a bucket's name may stand in the host of a request.
    pub s3_domains: Vec<String>,
    /// Where the S3 head listens for HTTPS; `None`: nowhere.
    pub s3_tls_listen: Option<SocketAddr>,
    /// The certificate of HTTPS with its chain, and its key, in PEM; `None`: one of the cluster's own.
    pub s3_tls_certificate: Option<PathBuf>,
    /// The key.
    pub s3_tls_key: Option<PathBuf>,
    /// Connections of the S3 head at a time.
    pub s3_connections: u32,
    /// How long an S3 client may take for a step.
    pub s3_patience: Duration,
    /// Between two passes over lifecycle rules.
    pub s3_lifecycle_period: Duration,
    /// How long a day of lifecycle rules is.
    pub s3_lifecycle_day: Duration,
    /// Where events of buckets can be sent to.
    pub s3_webhooks: Vec<Webhook>,
    /// Where the administration interface listens.
    pub admin_listen: SocketAddr,
    /// Bytes for cached metadata.
    pub memory_cache: Size,
    /// Bytes for data that were read, for who reads them again; an eighth of the machine's memory where nothing is said.
    pub memory_data: Option<Size>,
    /// Bytes for data that are written and not yet durable.
    pub memory_dirty: Size,
    /// How long a file must not have changed before its small writes are folded into stripes.
    pub fold_age: Duration,
    /// Within which everything is read again from the drives; zero is never.
    pub scrub_period: Duration,
    /// How roles reach each other.
    pub fabric_transport: Transport,
    /// What NFS clients may mount, by path.
    pub exports: Vec<Export>,
}
