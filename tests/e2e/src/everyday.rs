//! Programs that people run, in the daemon's file system through one client.

use crate::daemon::{Daemon, DaemonError, DaemonOptions};
use crate::guest::{Guest, GuestError};
use crate::mount::Mount;
use std::io;
use std::process::Command;
use std::time::Duration;

/// Run in the folder of the file system; also what it prints is said there.
const SCRIPT: &str = include_str!("everyday.sh");
/// In a guest: mounts with a client's defaults, `PORT MINOR SIZE PARTS`, and runs the script, which is in the host's folder.
const IN_GUEST: &str = r#"#!/bin/bash
modprobe nfsv4
mkdir -p /tmp/nfs
mount -t nfs4 -o vers=4.$2,port=$1 $HOST:/default /tmp/nfs || exit 3
PARTS="$4" bash /host/everyday /tmp/nfs/tree /tmp/scratch $3 2>&1 || { status=$?; dmesg | tail -20; exit $status; }
umount /tmp/nfs
"#;
/// What all parts take at size 1, with much to spare for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(600);

/// Why a program did not do what it does elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum EverydayError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of the daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Of the guest.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A program failed, or found something else than it had put there.
    #[error("{output}\n{daemon}")]
    Failed {
        /// What was printed.
        output: String,
        /// The end of what the daemon logged.
        daemon: String,
    },
}

/// Whose client.
#[derive(Clone, Debug)]
pub enum Through {
    /// `plexus mount` on this machine.
    Fuse,
    /// The NFS client of a guest's kernel, with this minor version.
    Nfs(Guest, u32),
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Everyday {
    /// Whose client.
    pub through: Through,
    /// Multiplies files and bytes; 1 takes seconds.
    pub size: u32,
    /// Some of `git tar sqlite fio rsync make`, in that order; all when empty.
    pub parts: String,
    /// How the daemon runs.
    pub options: DaemonOptions,
}

impl Everyday {
    /// All parts on one drive.
    #[must_use]
    pub fn plexus(through: Through, size: u32) -> Everyday {
        let flags = vec!["--drive-size".to_owned(), "2G".to_owned()];
        let options = DaemonOptions { flags, ..DaemonOptions::default() };
        Everyday { through, size, parts: String::new(), options }
    }

    /// Runs them. What each took comes back, a line a part.
    ///
    /// # Errors
    /// See [`EverydayError`].
    pub fn run(&self) -> Result<Vec<String>, EverydayError> {
        let folder = tempfile::Builder::new().prefix("plexus-everyday-").tempdir()?;
        let daemon = Daemon::start(&folder.path().join("daemon"), &self.options)?;
        let host = folder.path().join("host");
        std::fs::create_dir(&host)?;
        let script = host.join("everyday");
        std::fs::write(&script, SCRIPT)?;
        let size = self.size.to_string();
        let (well, output) = match &self.through {
            Through::Fuse => {
                let mount = Mount::new(&daemon, &folder.path().join("fuse"))?;
                let mut command = Command::new("bash");
                command.arg(&script).arg(mount.at.join("tree")).arg(folder.path().join("scratch")).arg(&size);
                let done = command.env("PARTS", &self.parts).output()?;
                let text = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
                (done.status.success(), text.concat())
            }
            Through::Nfs(guest, minor) => {
                let (port, minor) = (daemon.nfs().port().to_string(), minor.to_string());
                let guest = guest.clone().host(&host).memory_mb(2048).limit(LIMIT * self.size);
                let done = guest.run(IN_GUEST, &[&port, &minor, &size, &self.parts])?;
                (done.status == 0, done.output)
            }
        };
        if !well {
            return Err(EverydayError::Failed { output, daemon: daemon.log() });
        }
        let fsck = daemon.plexus(&["fsck"])?;
        if !fsck.status.success() {
            let output = String::from_utf8_lossy(&fsck.stdout).into_owned();
            return Err(EverydayError::Failed { output, daemon: daemon.log() });
        }
        // Beside these lines, make wonders at clocks that differ.
        let is_part =
            |line: &&str| line.split_once(' ').is_some_and(|(_, seconds)| seconds.parse::<f64>().is_ok());
        Ok(output.lines().map(str::trim_end).filter(is_part).map(str::to_owned).collect())
    }
}
