//! A daemon of one test: its own folder, free ports, ended by its own process id.

use crate::programs::{free_listener, program};
use admin::{Client, S3KeyReport, Status};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const READY: &str = "plexus is ready";
const READY_LIMIT: Duration = Duration::from_secs(60);
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// How often a process that has been told to end is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Further lines of every daemon's configuration: any test can be run with `fabric.transport = "tcp"`.
const CONFIGURATION: &str = "PLEXUS_E2E_CONFIGURATION";

/// Why a daemon did not do what the test needs.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It ended before it was ready.
    #[error("plexusd ended with {status} before it was ready:\n{log}")]
    Ended {
        /// Its status.
        status: ExitStatus,
        /// The end of what it logged.
        log: String,
    },
    /// It was not ready in time.
    #[error("plexusd was not ready after {} s:\n{log}", READY_LIMIT.as_secs())]
    Late {
        /// The end of what it logged.
        log: String,
    },
    /// It did not end in time and was killed.
    #[error("plexusd did not end {} s after SIGTERM:\n{log}", DRAIN_LIMIT.as_secs())]
    Stuck {
        /// The end of what it logged.
        log: String,
    },
}

/// How to run it.
#[derive(Clone, Debug, Default)]
pub struct DaemonOptions {
    /// Further flags, such as `["--drives", "6", "--protection", "4+2"]`.
    pub flags: Vec<String>,
    /// Further lines of the configuration, with dotted keys: `nfs.lease = 5`.
    pub configuration: String,
    /// Where it logs what, as `PLEXUS_LOG` has it.
    pub log: Option<String>,
    /// Another program in the place of `plexusd`.
    pub program: Option<PathBuf>,
}

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    folder: PathBuf,
    options: DaemonOptions,
    nfs: SocketAddr,
    admin: SocketAddr,
    s3: SocketAddr,
}

impl Daemon {
    /// Starts `plexusd` on `folder/data` with free ports, and waits until it is ready. A folder that
    /// a former daemon left is taken over, with new ports.
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub fn start(folder: &Path, options: &DaemonOptions) -> Result<Daemon, DaemonError> {
        // All ports are held together, so that they differ; then given up for the daemon to take.
        let bind = || free_listener("127.0.0.1");
        let free = [bind()?, bind()?, bind()?];
        let [nfs, admin, s3] = [free[0].local_addr()?, free[1].local_addr()?, free[2].local_addr()?];
        drop(free);
        Daemon::start_at(folder, options, nfs, admin, s3)
    }

    fn start_at(
        folder: &Path,
        options: &DaemonOptions,
        nfs: SocketAddr,
        admin: SocketAddr,
        s3: SocketAddr,
    ) -> Result<Daemon, DaemonError> {
        std::fs::create_dir_all(folder)?;
        let configuration = folder.join("plexus.toml");
        let mut text = format!(
            "nfs.listen = \"{nfs}\"\nadmin.listen = \"{admin}\"\ns3.listen = \"{s3}\"\n{}\n",
            options.configuration
        );
        if let Ok(more) = std::env::var(CONFIGURATION) {
            text += &more;
        }
        std::fs::write(&configuration, text)?;
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let program = options.program.clone().map_or_else(|| program("plexusd"), Ok)?;
        let mut command = Command::new(program);
        command
            .arg("--data")
            .arg(folder.join("data"))
            .arg("--config")
            .arg(&configuration)
            .args(&options.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        if let Some(filter) = &options.log {
            command.env("PLEXUS_LOG", filter);
        }
        let mut child = command.spawn()?;
        let ready = ready(&mut child);
        let mut daemon =
            Daemon { child, folder: folder.to_owned(), options: options.clone(), nfs, admin, s3 };
        match ready.recv_timeout(READY_LIMIT) {
            Ok(()) => Ok(daemon),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(DaemonError::Late { log: daemon.log() }),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = daemon.child.wait()?;
                Err(DaemonError::Ended { status, log: daemon.log() })
            }
        }
    }

    /// Starts it again on the same folder and the same ports, after [`Daemon::kill`] or
    /// [`Daemon::stop`]; clients find it where it was.
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub fn restart(mut self) -> Result<Daemon, DaemonError> {
        self.revive()?;
        Ok(self)
    }

    /// As [`Daemon::restart`], in place.
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub fn revive(&mut self) -> Result<(), DaemonError> {
        self.kill()?;
        let (folder, options) = (self.folder.clone(), self.options.clone());
        *self = Daemon::start_at(&folder, &options, self.nfs, self.admin, self.s3)?;
        Ok(())
    }

    /// Where NFS clients of this machine reach it.
    #[must_use]
    pub fn nfs(&self) -> SocketAddr {
        self.nfs
    }

    /// Where S3 clients of this machine reach it.
    #[must_use]
    pub fn s3(&self) -> SocketAddr {
        self.s3
    }

    /// A new S3 access key of an account.
    ///
    /// # Errors
    /// When it gives none.
    pub fn s3_key(&self, account: &str, more: &[&str]) -> io::Result<S3KeyReport> {
        let output = self.plexus(&[&["--json", "s3", "key", "create", account], more].concat())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).map_err(|_| io::Error::other(said))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// KiB of memory that it has.
    ///
    /// # Errors
    /// What the system says of who is gone.
    pub fn resident(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Runs the command line against it.
    ///
    /// # Errors
    /// When `plexus` cannot be run.
    pub fn plexus(&self, arguments: &[&str]) -> io::Result<Output> {
        Command::new(program("plexus")?).args(arguments).env("PLEXUS_DATA", self.data()).output()
    }

    /// Its status.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> io::Result<Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Client::new(&self.data()).status()).map_err(io::Error::other)
    }

    /// SIGKILL: what a crash is to it.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// SIGHUP: it reads its configuration again.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn reload(&self) -> io::Result<()> {
        self.signal(Signal::HUP)
    }

    /// SIGTERM, and waits until it has drained.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<ExitStatus, DaemonError> {
        self.signal(Signal::TERM)?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > DRAIN_LIMIT {
                self.kill()?;
                return Err(DaemonError::Stuck { log: self.log() });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The end of what it logged.
    #[must_use]
    pub fn log(&self) -> String {
        tail(&self.folder.join("log"))
    }

    /// Has its process stand still.
    ///
    /// # Errors
    /// What the system says.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// What the system says.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or_else(|| io::Error::other("no process id"))?, signal)?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Reads the daemon's output to its end; tells when it is ready, hangs up when it ends before that.
fn ready(child: &mut Child) -> mpsc::Receiver<()> {
    let (tell, ready) = mpsc::sync_channel(1);
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if line.contains(READY) {
                    let _ = tell.try_send(());
                }
            }
        });
    }
    ready
}

/// The last lines of a file, whatever is in it.
pub(crate) fn tail(path: &Path) -> String {
    const LINES: usize = 40;
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
