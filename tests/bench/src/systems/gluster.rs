//! GlusterFS: one disperse 4+2 volume over six bricks of this machine.
//!
//! Its management daemon has fixed places in /var; it runs in a mount namespace in which they are ours, so
//! that nothing of it remains. Bricks find it at its fixed port, which must be free.

use super::{Ground, Mounted, System, leave};
use crate::client::Client;
use crate::network::HERE;
use crate::processes::{self, Program};
use crate::{BenchError, stop};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PORT: u16 = 24007;
const READY_LIMIT: Duration = Duration::from_secs(30);
const VOLUME: &str = "bench";
/// What is ours in the daemon's namespace: our folder, and where the daemon looks for it.
const PLACES: [(&str, &str); 3] =
    [("lib", "/var/lib/glusterd"), ("run", "/var/run/gluster"), ("log", "/var/log/glusterfs")];

#[derive(Debug)]
pub(super) struct Gluster {
    // Dropped in this order: the mount first.
    mount: Option<Mounted>,
    daemon: Program,
    folder: PathBuf,
    mounts: u32,
}

impl Gluster {
    pub(super) fn start(ground: &Ground<'_>) -> Result<Gluster, BenchError> {
        let folder = ground.folder.join("gluster");
        let daemon = launch(&folder)?;
        let mut gluster = Gluster { mount: None, daemon, folder, mounts: 0 };
        gluster.daemon.wait_until("glusterd", READY_LIMIT, {
            let command = gluster.command(&["volume", "list"]);
            move || processes::run_words(&command.iter().map(String::as_str).collect::<Vec<_>>()).is_ok()
        })?;
        let bricks: Vec<String> =
            ground.disks.folders().iter().map(|disk| format!("{HERE}:{}/brick", disk.display())).collect();
        let mut create = vec!["volume", "create", VOLUME, "disperse", "6", "redundancy", "2"];
        create.extend(bricks.iter().map(String::as_str));
        create.push("force");
        gluster.tell(&create)?;
        gluster.tell(&["volume", "start", VOLUME])?;
        gluster.wait_for_bricks()?;
        Ok(gluster)
    }

    fn command(&self, words: &[&str]) -> Vec<String> {
        let socket = format!("--glusterd-sock={}", self.folder.join("run/glusterd.sock").display());
        let log = format!("--log-file={}", self.folder.join("log/cli.log").display());
        let first = ["gluster", &socket, &log, "--mode=script"];
        first.iter().chain(words).map(|&word| word.to_owned()).collect()
    }

    fn tell(&self, words: &[&str]) -> Result<String, BenchError> {
        let command = self.command(words);
        processes::run_words(&command.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Bricks come up one by one after the volume is said to be started.
    fn wait_for_bricks(&self) -> Result<(), BenchError> {
        stop::wait_for("six bricks", READY_LIMIT, || {
            let said = self.tell(&["volume", "status", VOLUME, "--xml"]).unwrap_or_default();
            let online = said.matches("<status>1</status>").count();
            // Six bricks and the daemon that heals.
            Ok((online >= 7).then_some(()))
        })
    }
}

fn launch(folder: &Path) -> Result<Program, BenchError> {
    for (ours, _) in PLACES {
        std::fs::create_dir_all(folder.join(ours))?;
    }
    let volume = format!(
        "volume management\n type mgmt/glusterd\n option working-directory /var/lib/glusterd\n \
         option transport-type socket\n option transport.socket.listen-port {PORT}\n \
         option transport.socket.bind-address {HERE}\n option transport.socket.read-fail-log off\n \
         option glusterd-sockfile {}\n option ping-timeout 0\n option event-threads 1\n \
         option max-port 60999\nend-volume\n",
        folder.join("run/glusterd.sock").display()
    );
    let configuration = folder.join("glusterd.vol");
    std::fs::write(&configuration, volume)?;
    let binds: Vec<String> = PLACES
        .iter()
        .map(|(ours, theirs)| {
            format!("mkdir -p {theirs} && mount --bind '{}' {theirs} && ", folder.join(ours).display())
        })
        .collect();
    let script = format!("{}exec glusterd -N -f \"$0\" -l /var/log/glusterfs/glusterd.log", binds.concat());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(&configuration);
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
    Program::start(command, &folder.join("glusterd.log"))
}

impl System for Gluster {
    fn mount(&mut self, _: &mut Client, at: &Path) -> Result<(), BenchError> {
        std::fs::create_dir_all(at)?;
        self.mounts += 1;
        let log = self.folder.join(format!("log/mount-{}.log", self.mounts));
        let mut command = Command::new(processes::find("glusterfs"));
        command.args(["--no-daemon", "--volfile-server", HERE, "--volfile-id", VOLUME, "--log-file"]);
        command.arg(&log).arg(at);
        self.mount = Some(Mounted::by(command, &self.folder.join("mount.log"), at)?);
        // It is mounted before it has reached its bricks, and with four of six it would be degraded.
        stop::wait_for("all bricks", READY_LIMIT, || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            Ok((said.matches("attached to remote volume").count() >= 6).then_some(()))
        })
    }

    fn unmount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError> {
        leave(&mut self.mount, client, at)
    }
}
