//! The table of the daemon's options.

use crate::fits::{LIST_MAX, is_filesystem_name, is_mount_path};
use crate::value::Value;
use crate::{Config, GroupSource, Protection, Size, Transport};
use serve::Export;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// When a changed value takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    /// At SIGHUP.
    Hot,
    /// At the next start.
    Cold,
    /// Never: it was fixed when the data folder was made.
    Fixed,
}

impl Reload {
    /// As the reference page says it.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Reload::Hot => "SIGHUP",
            Reload::Cold => "restart",
            Reload::Fixed => "creation only",
        }
    }
}

/// One option of `T`: the daemon's [`Config`] or one [`Export`].
pub struct OptionSpec<T: 'static> {
    /// Its name in the file, with the table before the dot.
    pub key: &'static str,
    /// Its flag on the command line of `plexusd`, without dashes.
    pub flag: Option<&'static str>,
    /// The default as one would write it.
    pub default: &'static str,
    /// What its numbers count; empty when it has none.
    pub unit: &'static str,
    /// What it is for.
    pub meaning: &'static str,
    /// What fits, completing "must be".
    pub fits: &'static str,
    /// When a change takes effect.
    pub reload: Reload,
    pub(crate) read: fn(&mut T, &Value) -> Option<()>,
    pub(crate) show: fn(&T) -> String,
}

const DRIVES_MAX: u16 = 256;
const DRIVE_SIZE_MIN: Size = Size(64 << 20);
const DRIVE_SIZE_MAX: Size = Size(256 << 40);
const MEMORY_MIN: Size = Size(16 << 20);
const MEMORY_MAX: Size = Size(16 << 40);
const SECONDS_MAX: u64 = 3600;
const DAY_SECONDS: u64 = 86_400;
const YEAR_SECONDS: u64 = 365 * DAY_SECONDS;

const LISTEN_FITS: &str = "an address and a port such as \"127.0.0.1:12049\" or \"[::]:2049\"";
const MEMORY_FITS: &str = "a size from 16M to 16T, such as \"256M\"";

fn listen(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn size_in(value: &Value, least: Size, most: Size) -> Option<Size> {
    let size = match value {
        Value::Integer(bytes) => Size(u64::try_from(*bytes).ok()?),
        other => other.parse()?,
    };
    (least..=most).contains(&size).then_some(size)
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: PathBuf::from("./plexus-data"),
            drives: 1,
            drive_size: Size(8 << 30),
            protection: Protection::NONE,
            nfs_listen: listen(12049),
            nfs_lease: Duration::from_secs(90),
            nfs_grace: Duration::from_secs(90),
            nfs_groups: GroupSource::Client,
            s3_listen: Some(listen(9000)),
            s3_root: "/buckets".to_owned(),
            s3_region: "us-east-1".to_owned(),
            s3_domains: vec!["localhost".to_owned()],
            s3_tls_listen: None,
            s3_tls_certificate: None,
            s3_tls_key: None,
            s3_connections: 4096,
            s3_patience: Duration::from_secs(60),
            s3_lifecycle_period: Duration::from_secs(3600),
            s3_lifecycle_day: Duration::from_secs(DAY_SECONDS),
            s3_webhooks: Vec::new(),
            admin_listen: listen(8420),
            memory_cache: Size(256 << 20),
            memory_data: None,
            memory_dirty: Size(64 << 20),
            fold_age: Duration::from_secs(10),
            scrub_period: Duration::from_secs(7 * 86_400),
            fabric_transport: Transport::Local,
            exports: vec![Export::default_filesystem()],
        }
    }
}

/// All options of the daemon but `[[export]]` and `[[s3.webhook]]`, in the order of the reference page.
pub const OPTIONS: &[OptionSpec<Config>] = &[
    OptionSpec {
        key: "data",
        flag: Some("data"),
        default: "\"./plexus-data\"",
        unit: "",
        meaning: "The folder that holds the drives and the daemon's own state; made when missing.",
        fits: "a path",
        reload: Reload::Cold,
        read: |config, value| {
            let text = value.text().filter(|text| !text.is_empty() && !text.contains('\0'))?;
            config.data = PathBuf::from(text);
            Some(())
        },
        show: |config| format!("{:?}", config.data.display().to_string()),
    },
    OptionSpec {
        key: "drives",
        flag: Some("drives"),
        default: "1",
        unit: "drives",
        meaning: "How many drives the data folder has, each a folder of its own.",
        fits: "a number from 1 to 256",
        reload: Reload::Fixed,
        read: |config, value| {
            config.drives = value.number(1..=DRIVES_MAX)?;
            Some(())
        },
        show: |config| config.drives.to_string(),
    },
    OptionSpec {
        key: "drive_size",
        flag: Some("drive-size"),
        default: "\"8G\"",
        unit: "bytes",
        meaning: "How large each drive is; the space is reserved when the drive is made.",
        fits: "a size from 64M to 256T, such as \"8G\" (K, M, G, T are powers of 1,024)",
        reload: Reload::Fixed,
        read: |config, value| {
            config.drive_size = size_in(value, DRIVE_SIZE_MIN, DRIVE_SIZE_MAX)?;
            Some(())
        },
        show: |config| format!("\"{}\"", config.drive_size),
    },
    OptionSpec {
        key: "protection",
        flag: Some("protection"),
        default: "\"none\"",
        unit: "chunks",
        meaning: "D+P: a stripe has D data and P parity chunks on distinct drives, and any P drives \
                  may be lost. Needs max(D + P, 2P + 1) drives.",
        fits: "\"none\" or D+P with D from 1 to 16 and P 0, 1, 2 or 4, such as \"4+2\"",
        reload: Reload::Fixed,
        read: |config, value| {
            config.protection = value.parse()?;
            Some(())
        },
        show: |config| format!("\"{}\"", config.protection),
    },
    OptionSpec {
        key: "nfs.listen",
        flag: None,
        default: "\"127.0.0.1:12049\"",
        unit: "",
        meaning: "Where the NFS head listens; port 0 takes a free one.",
        fits: LISTEN_FITS,
        reload: Reload::Cold,
        read: |config, value| {
            config.nfs_listen = value.parse()?;
            Some(())
        },
        show: |config| format!("\"{}\"", config.nfs_listen),
    },
    OptionSpec {
        key: "nfs.lease",
        flag: None,
        default: "90",
        unit: "seconds",
        meaning: "How long a client may be silent before its opens and locks are dropped.",
        fits: "a number from 2 to 3600",
        reload: Reload::Cold,
        read: |config, value| {
            config.nfs_lease = Duration::from_secs(value.number(2..=SECONDS_MAX)?);
            Some(())
        },
        show: |config| config.nfs_lease.as_secs().to_string(),
    },
    OptionSpec {
        key: "nfs.grace",
        flag: None,
        default: "90",
        unit: "seconds",
        meaning: "The longest time after a restart in which clients, FUSE mounts too, reclaim what they had; it \
                  ends with the last of them, and does not begin when none had anything. Who is still reclaiming at its \
                  end gets at most as much again. Not shorter than nfs.lease, whose value it has when only that is given.",
        fits: "a number from 2 to 3600",
        reload: Reload::Cold,
        read: |config, value| {
            config.nfs_grace = Duration::from_secs(value.number(2..=SECONDS_MAX)?);
            Some(())
        },
        show: |config| config.nfs_grace.as_secs().to_string(),
    },
    OptionSpec {
        key: "nfs.groups",
        flag: None,
        default: "\"client\"",
        unit: "",
        meaning: "Who says in which groups a user is: the client, of which the protocol carries 16 at most, or the \
                  server by its /etc/passwd and /etc/group (for users that they do not have, the client).",
        fits: "\"client\" or \"server\"",
        reload: Reload::Cold,
        read: |config, value| {
            config.nfs_groups = value.one_of(&GroupSource::NAMES)?;
            Some(())
        },
        show: |config| format!("\"{}\"", config.nfs_groups),
    },
    OptionSpec {
        key: "s3.listen",
        flag: None,
        default: "\"127.0.0.1:9000\"",
        unit: "",
        meaning: "Where the S3 head listens; port 0 takes a free one, \"none\" does without S3.",
        fits: "\"none\", or an address and a port such as \"127.0.0.1:9000\"",
        reload: Reload::Cold,
        read: |config, value| {
            config.s3_listen = if value.text() == Some("none") { None } else { Some(value.parse()?) };
            Some(())
        },
        show: |config| match config.s3_listen {
            Some(address) => format!("\"{address}\""),
            None => "\"none\"".to_owned(),
        },
    },
    OptionSpec {
        key: "s3.root",
        flag: None,
        default: "\"/buckets\"",
        unit: "",
        meaning: "The directory of the filesystem `default` that buckets are in; made when missing.",
        fits: "an absolute path without \".\", \"..\" or empty parts, such as \"/buckets\"",
        reload: Reload::Cold,
        read: |config, value| {
            config.s3_root = value.text().filter(|path| is_mount_path(path))?.to_owned();
            Some(())
        },
        show: |config| format!("{:?}", config.s3_root),
    },
    OptionSpec {
        key: "s3.region",
        flag: None,
        default: "\"us-east-1\"",
        unit: "",
        meaning: "The region that buckets are said to be in.",
        fits: "1 to 64 letters, digits, \"-\", \"_\" or \".\"",
        reload: Reload::Cold,
        read: |config, value| {
            config.s3_region = value.text().filter(|name| is_filesystem_name(name))?.to_owned();
            Some(())
        },
        show: |config| format!("{:?}", config.s3_region),
    },
    OptionSpec {
        key: "s3.domains",
        flag: None,
        default: "[\"localhost\"]",
        unit: "",
        meaning: "Domains below which a bucket's name may stand in the host of a request (BUCKET.localhost). By the \
                  path, buckets are found under any host.",
        fits: "a list of host names such as [\"s3.example.org\"]",
        reload: Reload::Cold,
        read: |config, value| {
            let Value::List(domains) = value else { return None };
            let fits = |domain: &String| is_filesystem_name(domain) && !domain.starts_with('.');
            if domains.len() > LIST_MAX || !domains.iter().all(fits) {
                return None;
            }
            config.s3_domains.clone_from(domains);
            Some(())
        },
        show: |config| format!("{:?}", config.s3_domains),
    },
    OptionSpec {
        key: "s3.tls_listen",
        flag: None,
        default: "\"none\"",
        unit: "",
        meaning: "Where the S3 head listens for HTTPS; port 0 takes a free one, \"none\" does without.",
        fits: "\"none\", or an address and a port such as \"0.0.0.0:9443\"",
        reload: Reload::Cold,
        read: |config, value| {
            config.s3_tls_listen = if value.text() == Some("none") { None } else { Some(value.parse()?) };
            Some(())
        },
        show: |config| match config.s3_tls_listen {
            Some(address) => format!("\"{address}\""),
            None => "\"none\"".to_owned(),
        },
    },
    OptionSpec {
        key: "s3.tls_certificate",
        flag: None,
        default: "\"own\"",
        unit: "",
        meaning: "A file with the certificate of HTTPS and its chain, in PEM, read again at SIGHUP; \"own\" is one that \
                  the cluster makes and signs for itself, s3-certificate.pem in the data folder. Given with s3.tls_key.",
        fits: "\"own\", or a path",
        reload: Reload::Hot,
        read: |config, value| {
            config.s3_tls_certificate = read_file_or_own(value)?;
            Some(())
        },
        show: |config| show_file_or_own(config.s3_tls_certificate.as_ref()),
    },
    OptionSpec {
        key: "s3.tls_key",
        flag: None,
        default: "\"own\"",
        unit: "",
        meaning: "A file with the private key of s3.tls_certificate, in PEM.",
        fits: "\"own\", or a path",
        reload: Reload::Hot,
        read: |config, value| {
            config.s3_tls_key = read_file_or_own(value)?;
            Some(())
        },
        show: |config| show_file_or_own(config.s3_tls_key.as_ref()),
    },
    OptionSpec {
        key: "s3.connections",
        flag: None,
        default: "4096",
        unit: "",
        meaning: "Connections of S3 at a time, as far as the limit of open files allows; when there are more, the one \
                  that was of no use for longest is closed.",
        fits: "a number from 16 to 65536",
        reload: Reload::Cold,
        read: |config, value| {
            config.s3_connections = value.number(16..=65536)?;
            Some(())
        },
        show: |config| config.s3_connections.to_string(),
    },
    OptionSpec {
        key: "s3.patience",
        flag: None,
        default: "60",
        unit: "seconds",
        meaning: "How long a client of S3 may take for the head of a request, and for each step of its body and of \
                  the answer, before its connection is closed.",
        fits: "a number from 1 to 3600",
        reload: Reload::Cold,
        read: |config, value| {
            config.s3_patience = Duration::from_secs(value.number(1..=3600)?);
            Some(())
        },
        show: |config| config.s3_patience.as_secs().to_string(),
    },
    OptionSpec {
        key: "s3.lifecycle_period",
        flag: None,
        default: "3600",
        unit: "seconds",
        meaning: "Time between two passes over what lifecycle rules say.",
        fits: "a number from 1 to 86400",
        reload: Reload::Cold,
        read: |config, value| {
            config.s3_lifecycle_period = Duration::from_secs(value.number(1..=DAY_SECONDS)?);
            Some(())
        },
        show: |config| config.s3_lifecycle_period.as_secs().to_string(),
    },
    OptionSpec {
        key: "s3.lifecycle_day",
        flag: None,
        default: "86400",
        unit: "seconds",
        meaning: "How long a day of lifecycle rules is. Another length than a day's is for trying rules out: objects \
                  are removed for good earlier than their rules say.",
        fits: "a number from 1 to 86400",
        reload: Reload::Cold,
        read: |config, value| {
            config.s3_lifecycle_day = Duration::from_secs(value.number(1..=DAY_SECONDS)?);
            Some(())
        },
        show: |config| config.s3_lifecycle_day.as_secs().to_string(),
    },
    OptionSpec {
        key: "admin.listen",
        flag: None,
        default: "\"127.0.0.1:8420\"",
        unit: "",
        meaning: "Where the administration interface listens; port 0 takes a free one.",
        fits: "an address and a port such as \"127.0.0.1:8420\"",
        reload: Reload::Cold,
        read: |config, value| {
            config.admin_listen = value.parse()?;
            Some(())
        },
        show: |config| format!("\"{}\"", config.admin_listen),
    },
    OptionSpec {
        key: "memory.cache",
        flag: None,
        default: "\"256M\"",
        unit: "bytes",
        meaning: "The budget of cached metadata.",
        fits: MEMORY_FITS,
        reload: Reload::Cold,
        read: |config, value| {
            config.memory_cache = size_in(value, MEMORY_MIN, MEMORY_MAX)?;
            Some(())
        },
        show: |config| format!("\"{}\"", config.memory_cache),
    },
    OptionSpec {
        key: "memory.data",
        flag: None,
        default: "\"auto\"",
        unit: "bytes",
        meaning: "The budget of data that were read from drives, kept for who reads them again, through whichever door; \
                  \"auto\" is an eighth of the memory that the machine, or the control group, has. What \
                  one read takes of a stripe as a whole, or of one of its MiBs, is kept; less is not. 0 keeps nothing.",
        fits: "\"auto\", 0, or a size from 16M to 16T, such as \"2G\"",
        reload: Reload::Cold,
        read: |config, value| {
            config.memory_data = match (value.text(), size_in(value, Size(0), MEMORY_MAX)) {
                (Some("auto"), _) => None,
                (_, Some(size)) if size == Size(0) || size >= MEMORY_MIN => Some(size),
                _ => return None,
            };
            Some(())
        },
        show: |config| config.memory_data.map_or("\"auto\"".to_owned(), |size| format!("\"{size}\"")),
    },
    OptionSpec {
        key: "memory.dirty",
        flag: None,
        default: "\"64M\"",
        unit: "bytes",
        meaning: "The budget of written data that are not durable yet; writers wait when it is used up.",
        fits: MEMORY_FITS,
        reload: Reload::Cold,
        read: |config, value| {
            config.memory_dirty = size_in(value, MEMORY_MIN, MEMORY_MAX)?;
            Some(())
        },
        show: |config| format!("\"{}\"", config.memory_dirty),
    },
    OptionSpec {
        key: "fold.age",
        flag: None,
        default: "10",
        unit: "seconds",
        meaning: "Small writes are kept with the metadata, on P + 1 drives, until their file has not changed for \
                  so long; then they are folded into stripes. 0 folds at once.",
        fits: "a number from 0 to 3600",
        reload: Reload::Cold,
        read: |config, value| {
            config.fold_age = Duration::from_secs(value.number(0..=SECONDS_MAX)?);
            Some(())
        },
        show: |config| config.fold_age.as_secs().to_string(),
    },
    OptionSpec {
        key: "scrub.period",
        flag: None,
        default: "604800",
        unit: "seconds",
        meaning: "Within this time everything is read again from the drives, and made good where it is damaged or \
                  missing; the pace follows. 0 is never.",
        fits: "a number from 0 to 31536000",
        reload: Reload::Cold,
        read: |config, value| {
            config.scrub_period = Duration::from_secs(value.number(0..=YEAR_SECONDS)?);
            Some(())
        },
        show: |config| config.scrub_period.as_secs().to_string(),
    },
    OptionSpec {
        key: "fabric.transport",
        flag: None,
        default: "\"local\"",
        unit: "",
        meaning: "How the roles of this daemon reach each other, and mounts the daemon: as calls and through a Unix \
                  socket, or all through TCP on 127.0.0.1, behind a secret that only this user can read. tcp is \
                  for tests: it is slower, and does nothing else that local does not.",
        fits: "\"local\" or \"tcp\"",
        reload: Reload::Cold,
        read: |config, value| {
            config.fabric_transport = value.one_of(&Transport::NAMES)?;
            Some(())
        },
        show: |config| format!("\"{}\"", config.fabric_transport),
    },
];

/// A path, or what the cluster has of its own.
fn read_file_or_own(value: &Value) -> Option<Option<PathBuf>> {
    match value.text()? {
        "own" => Some(None),
        text if text.is_empty() || text.contains('\0') => None,
        text => Some(Some(PathBuf::from(text))),
    }
}

fn show_file_or_own(file: Option<&PathBuf>) -> String {
    format!("{:?}", file.map_or("own".into(), |path| path.display().to_string()))
}
