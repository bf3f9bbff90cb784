//! The file systems that are measured: how each is started, mounted and stopped.

mod ext4;
mod ganesha;
mod gluster;
mod juicefs;
mod plexus;

use crate::client::Client;
use crate::disk::{self, Disks};
use crate::processes::Program;
use crate::{BenchError, network, processes};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MOUNT_LIMIT: Duration = Duration::from_secs(60);

/// A file system with its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// Plexus on one drive, through FUSE
    PlexusFuse,
    /// JuiceFS: Redis for names, files for data
    Juicefs,
    /// The disk's own ext4
    Ext4,
    /// Plexus on one drive, through NFS
    PlexusNfs,
    /// nfs-ganesha over ext4
    Ganesha,
    /// nfs-ganesha over ext4 mounted dirsync
    GaneshaDirsync,
    /// Plexus on six drives, 4+2, through FUSE
    PlexusSixFuse,
    /// GlusterFS on six bricks, disperse 4+2
    Gluster,
    /// Plexus on six drives, 4+2, through NFS
    PlexusSixNfs,
}

/// Where programs are that are not looked for in PATH.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Folder of `plexusd` and `plexus`.
    pub plexus: PathBuf,
    /// `juicefs`.
    pub juicefs: PathBuf,
}

/// What a system is started on.
#[derive(Debug)]
pub struct Ground<'a> {
    /// For sockets, logs and configuration; not measured. [`Disks`] are mounted below its `data`.
    pub folder: &'a Path,
    /// For all that it keeps.
    pub disks: &'a Disks,
    /// Bytes of each disk.
    pub disk_bytes: u64,
    /// Programs.
    pub programs: &'a Programs,
}

/// A running system. Stopped when dropped.
pub trait System: std::fmt::Debug {
    /// Mounts it at `at`, where `client` is.
    ///
    /// # Errors
    /// When it cannot be mounted.
    fn mount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError>;

    /// Unmounts it again.
    ///
    /// # Errors
    /// When it is in use.
    fn unmount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError>;

    /// Has it forget what it keeps in memory of its own, while it is not mounted. The kernel's caches are
    /// dropped by the caller.
    ///
    /// # Errors
    /// When it does not come back.
    fn cool(&mut self, disks: &mut Disks) -> Result<(), BenchError> {
        let _ = disks;
        Ok(())
    }
}

impl Kind {
    /// All of them, in the order of the table.
    #[must_use]
    pub fn all() -> &'static [Kind] {
        Kind::value_variants()
    }

    /// The head of its column.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Kind::PlexusFuse => "Plexus FUSE",
            Kind::Juicefs => "JuiceFS",
            Kind::Ext4 => "ext4",
            Kind::PlexusNfs => "Plexus NFS",
            Kind::Ganesha => "Ganesha",
            Kind::GaneshaDirsync => "Ganesha dirsync",
            Kind::PlexusSixFuse => "Plexus 4+2 FUSE",
            Kind::Gluster => "GlusterFS 4+2",
            Kind::PlexusSixNfs => "Plexus 4+2 NFS",
        }
    }

    /// What it is compared with, for ours.
    #[must_use]
    pub fn peers(self) -> &'static [Kind] {
        match self {
            Kind::PlexusFuse => &[Kind::Juicefs, Kind::Ext4],
            Kind::PlexusNfs => &[Kind::Ganesha, Kind::GaneshaDirsync],
            Kind::PlexusSixFuse => &[Kind::Gluster],
            _ => &[],
        }
    }

    /// What is safe from a power cut when a call has returned.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Kind::PlexusFuse | Kind::PlexusNfs => "data at fsync (COMMIT); names and attributes at once",
            Kind::PlexusSixFuse | Kind::PlexusSixNfs => {
                "data at fsync (COMMIT), names and attributes at once; any two drives may be lost for data"
            }
            Kind::Juicefs => {
                "names at once (Redis, appendfsync always); data never: objects are written and not synced, \
                 fsync only uploads them. Trash and disk cache off"
            }
            Kind::Ext4 => "data and the file's own name at fsync; other names within 5 s (journal commit)",
            Kind::Ganesha => "data at COMMIT; names within 5 s: it does not sync what NFS says is durable",
            Kind::GaneshaDirsync => "data at COMMIT; names at once, by ext4's dirsync",
            Kind::Gluster => {
                "data at fsync; names within 5 s, when the bricks' ext4 commits; any two bricks may be lost"
            }
        }
    }

    /// Whether an NFS client mounts it, in a guest.
    #[must_use]
    pub fn is_nfs(self) -> bool {
        matches!(self, Kind::PlexusNfs | Kind::PlexusSixNfs | Kind::Ganesha | Kind::GaneshaDirsync)
    }

    /// How many disks it takes.
    #[must_use]
    pub fn disks(self) -> u64 {
        if matches!(self, Kind::PlexusSixFuse | Kind::PlexusSixNfs | Kind::Gluster) { 6 } else { 1 }
    }

    /// Options that its disks are mounted with.
    #[must_use]
    pub fn disk_options(self) -> &'static str {
        if self == Kind::GaneshaDirsync { "noatime,dirsync" } else { "noatime" }
    }

    /// Its version as it says it.
    ///
    /// # Errors
    /// With what is missing.
    pub fn version(self, programs: &Programs) -> Result<String, BenchError> {
        let said = match self {
            Kind::Juicefs => processes::run_words(&[&programs.juicefs.to_string_lossy(), "version"])
                .and_then(|juicefs| {
                    Ok(format!("{juicefs}, {}", processes::run_words(&["redis-server", "--version"])?))
                }),
            Kind::Ext4 => processes::run_words(&["uname", "-r"]).map(|release| format!("Linux {release}")),
            Kind::Ganesha | Kind::GaneshaDirsync => processes::run_words(&["ganesha.nfsd", "-v"]),
            Kind::Gluster => processes::run_words(&["glusterd", "--version"]),
            _ => plexus::version(programs),
        }?;
        let lines = said.lines().filter(|line| !line.trim().is_empty() && !line.contains("opyright"));
        Ok(lines.take(if self == Kind::Juicefs { 2 } else { 1 }).collect::<Vec<_>>().join(" "))
    }

    /// Starts it on fresh disks.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(self, ground: &Ground<'_>) -> Result<Box<dyn System>, BenchError> {
        Ok(match self {
            Kind::PlexusFuse | Kind::PlexusNfs | Kind::PlexusSixFuse | Kind::PlexusSixNfs => {
                Box::new(plexus::Plexus::start(ground, self)?)
            }
            Kind::Juicefs => Box::new(juicefs::Juicefs::start(ground)?),
            Kind::Ext4 => Box::new(ext4::Ext4::new(ground)),
            Kind::Ganesha | Kind::GaneshaDirsync => Box::new(ganesha::Ganesha::start(ground)?),
            Kind::Gluster => Box::new(gluster::Gluster::start(ground)?),
        })
    }
}

/// Mounts what a server on this machine's end of the wire exports as `/default`, where `client` is.
fn mount_nfs(client: &mut Client, port: u16, at: &Path) -> Result<(), BenchError> {
    let at = at.to_string_lossy();
    client.must(&["mkdir", "-p", &at])?;
    let options = format!("minorversion=2,proto=tcp,port={port}");
    let source = format!("{}:/default", network::HERE);
    client.must(&["mount", "-t", "nfs4", "-o", &options, &source, &at])?;
    // A server that was just started may be in its grace; the first file that is made waits for its end.
    let probe = format!("{at}/probe");
    client.must(&["touch", &probe])?;
    client.must(&["rm", &probe]).map(drop)
}

/// What stands in this machine's tree, perhaps with the program that serves it; taken out when it is dropped.
#[derive(Debug)]
struct Mounted {
    at: Option<PathBuf>,
    _server: Option<Program>,
}

impl Mounted {
    /// Runs a program that mounts at `at` and stays, and waits until it has.
    fn by(command: Command, log: &Path, at: &Path) -> Result<Mounted, BenchError> {
        let mut server = Program::start(command, log)?;
        server.wait_until("mounted", MOUNT_LIMIT, || disk::is_mounted(at))?;
        Ok(Mounted { at: Some(at.to_owned()), _server: Some(server) })
    }

    /// `folder`, also at `at`.
    fn bound(folder: &Path, at: &Path) -> Result<Mounted, BenchError> {
        processes::run_words(&["mount", "--bind", &folder.to_string_lossy(), &at.to_string_lossy()])?;
        Ok(Mounted { at: Some(at.to_owned()), _server: None })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(at) = &self.at
            && let Err(err) = disk::unmount(at)
        {
            eprintln!("bench: {err}");
        }
    }
}

/// Unmounts, and forgets what `mount` says of it.
fn leave(mount: &mut Option<Mounted>, client: &mut Client, at: &Path) -> Result<(), BenchError> {
    unmount(client, at)?;
    if let Some(mut gone) = mount.take() {
        gone.at = None;
    }
    Ok(())
}

/// Unmounts where `client` is; on this machine what still holds it has time to let go.
fn unmount(client: &mut Client, at: &Path) -> Result<(), BenchError> {
    if client.is_guest() {
        return client.must(&["umount", &at.to_string_lossy()]).map(drop);
    }
    disk::unmount(at)
}
