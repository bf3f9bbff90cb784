//! JuiceFS: names in a Redis that syncs every change, data as files on the same disk.

use super::{Ground, Mounted, System, leave};
use crate::BenchError;
use crate::client::Client;
use crate::processes::{self, Program};
use e2e::free_port;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const READY_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Juicefs {
    // Dropped in this order: the mount first.
    mount: Option<Mounted>,
    _redis: Program,
    program: PathBuf,
    folder: PathBuf,
    names: String,
}

impl Juicefs {
    pub(super) fn start(ground: &Ground<'_>) -> Result<Juicefs, BenchError> {
        let (folder, disk) = (ground.folder.to_owned(), ground.disks.folder().to_owned());
        let port = free_port("127.0.0.1")?.to_string();
        let home = disk.join("redis");
        std::fs::create_dir_all(&home)?;
        let mut command = Command::new(processes::find("redis-server"));
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--daemonize", "no"]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(&home);
        let mut redis = Program::start(command, &folder.join("redis.log"))?;
        redis.wait_until("redis", READY_LIMIT, || {
            let said = processes::run_words(&["redis-cli", "-p", &port, "ping"]);
            said.is_ok_and(|said| said.trim() == "PONG")
        })?;
        let names = format!("redis://127.0.0.1:{port}/0");
        let program = ground.programs.juicefs.clone();
        let bucket = format!("{}/objects/", disk.display());
        let mut command = Command::new(&program);
        command.args(["format", "--no-update", "--storage", "file", "--bucket", &bucket]);
        processes::run(command.args(["--trash-days", "0", &names, "bench"]))?;
        Ok(Juicefs { mount: None, _redis: redis, program, folder, names })
    }
}

impl System for Juicefs {
    fn mount(&mut self, _: &mut Client, at: &Path) -> Result<(), BenchError> {
        std::fs::create_dir_all(at)?;
        let mut command = Command::new(&self.program);
        // Its cache would be a second copy of what it reads on the same disk: measured, it is faster without.
        command.args([
            "mount",
            "--no-usage-report",
            "--no-syslog",
            "--backup-meta",
            "0",
            "--cache-size",
            "0",
        ]);
        command.arg(&self.names).arg(at);
        self.mount = Some(Mounted::by(command, &self.folder.join("mount.log"), at)?);
        Ok(())
    }

    fn unmount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError> {
        leave(&mut self.mount, client, at)
    }
}
