//! JuiceFS: names in a Redis that syncs every change, data as files on the same disk.

use super::{Ground, MOUNT_LIMIT, System, free_port, unmount};
use crate::BenchError;
use crate::client::Client;
use crate::disk;
use crate::processes::{self, Program};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const READY_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Juicefs {
    // Dropped in this order: the mount first.
    mount: Option<(Program, PathBuf)>,
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
        let mut program = Program::start(command, &self.folder.join("mount.log"))?;
        program.wait_until("mounted", MOUNT_LIMIT, || disk::is_mounted(at))?;
        self.mount = Some((program, at.to_owned()));
        Ok(())
    }

    fn unmount(&mut self, client: &mut Client, at: &Path) -> Result<(), BenchError> {
        unmount(client, at)?;
        self.mount = None;
        Ok(())
    }
}

impl Drop for Juicefs {
    fn drop(&mut self) {
        if let Some((_, at)) = &self.mount
            && let Err(err) = disk::unmount(at)
        {
            eprintln!("bench: {err}");
        }
    }
}
