//! Plexus: `plexusd` on its drives, and `plexus mount` or an NFS client.

use super::{Ground, Kind, Mounted, Programs, System, leave, mount_nfs};
use crate::BenchError;
use crate::client::Client;
use crate::disk::Disks;
use crate::network::{CLIENTS, HERE};
use crate::processes::{self, Program};
use e2e::free_port;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const READY: &str = "plexus is ready";
const READY_LIMIT: Duration = Duration::from_secs(60);
/// A daemon that was started anew does not wait longer for clients of the former one.
const LEASE_SECONDS: u32 = 10;
/// The part of a disk that is the drive's chunks; the rest is for log, map and ext4 itself.
const DRIVE_PERCENT: u64 = 75;

#[derive(Debug)]
pub(super) struct Plexus {
    // Dropped in this order: the mount first.
    mount: Option<Mounted>,
    daemon: Option<Program>,
    folder: PathBuf,
    programs: PathBuf,
    flags: Vec<String>,
    nfs: bool,
    port: u16,
    starts: u32,
}

pub(super) fn version(programs: &Programs) -> Result<String, BenchError> {
    processes::run(Command::new(programs.plexus.join("plexusd")).arg("--version"))
}

impl Plexus {
    pub(super) fn start(ground: &Ground<'_>, kind: Kind) -> Result<Plexus, BenchError> {
        let drives = kind.disks();
        let size = ground.disk_bytes * DRIVE_PERCENT / 100;
        let protection = if drives == 6 { "4+2" } else { "none" };
        let flags = [
            ("--drives", drives.to_string()),
            ("--drive-size", format!("{}M", size >> 20)),
            ("--protection", protection.to_owned()),
        ];
        let nfs = kind.is_nfs();
        let mut plexus = Plexus {
            mount: None,
            daemon: None,
            folder: ground.folder.to_owned(),
            programs: ground.programs.plexus.clone(),
            flags: flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
            nfs,
            port: free_port(if nfs { HERE } else { "127.0.0.1" })?,
            starts: 0,
        };
        plexus.configure()?;
        plexus.launch()?;
        Ok(plexus)
    }

    fn configure(&self) -> Result<(), BenchError> {
        let listen = if self.nfs { HERE } else { "127.0.0.1" };
        let text = format!(
            "nfs.listen = \"{listen}:{}\"\nnfs.lease = {LEASE_SECONDS}\nadmin.listen = \"127.0.0.1:0\"\ns3.listen = \"none\"\n\
             [[export]]\npath = \"/default\"\nfilesystem = \"default\"\nclients = [\"{CLIENTS}\"]\nsquash = \"none\"\n",
            self.port
        );
        std::fs::write(self.folder.join("plexus.toml"), text)?;
        Ok(())
    }

    fn launch(&mut self) -> Result<(), BenchError> {
        self.starts += 1;
        let log = self.folder.join(format!("plexusd-{}.log", self.starts));
        let mut command = Command::new(self.programs.join("plexusd"));
        command.arg("--data").arg(self.folder.join("data"));
        command.arg("--config").arg(self.folder.join("plexus.toml")).args(&self.flags);
        let mut daemon = Program::start(command, &log)?;
        daemon.wait_until(READY, READY_LIMIT, || {
            std::fs::read_to_string(&log).is_ok_and(|said| said.contains(READY))
        })?;
        self.daemon = Some(daemon);
        Ok(())
    }
}

impl System for Plexus {
    fn mount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError> {
        if self.nfs {
            return mount_nfs(client, self.port, at);
        }
        std::fs::create_dir_all(at)?;
        let mut command = Command::new(self.programs.join("plexus"));
        command.arg("--data").arg(self.folder.join("data")).args(["mount", "default"]).arg(at);
        self.mount = Some(Mounted::by(command, &self.folder.join("mount.log"), at)?);
        Ok(())
    }

    fn unmount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError> {
        leave(&mut self.mount, client, at)
    }

    /// The daemon has caches of its own: a new one has none.
    fn cool(&mut self, _: &mut Disks) -> Result<(), BenchError> {
        self.daemon = None;
        self.launch()
    }
}
