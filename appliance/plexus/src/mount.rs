//! Mounting a filesystem here through FUSE.

use crate::mount_options::Options;
use crate::run::Failure;
use env::{Random, SystemRandom};
use fuse::{Mount, MountOptions, Session, Watched};
use remote::{Address, RemoteOptions, RemoteVfs};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use types::Cred;
use vfs::{Ctx, Filesystem, Vfs};

/// Where messages of a mount in the background go that nobody asked for: whoever started it has gone.
const NOWHERE: &str = "/dev/null";

/// How often a mount that has ended looks whether there is still a daemon to wait for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What to mount, and how.
pub(crate) struct Request {
    /// The daemon's data folder.
    pub(crate) data: PathBuf,
    pub(crate) filesystem: String,
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    /// Where messages go once it is mounted.
    pub(crate) log: Option<PathBuf>,
}

/// Mounts, and returns when it is unmounted.
pub(crate) async fn mount(request: &Request) -> Result<(), Failure> {
    telemetry::init().map_err(|error| Failure::Mount(error.to_string()))?;
    let Request { data, filesystem, folder, .. } = request;
    let mut session = [0; 16];
    SystemRandom.fill(&mut session);
    let options = RemoteOptions::new(u128::from_be_bytes(session));
    let client = options.client();
    let vfs = Arc::new(RemoteVfs::connect(Address::Folder(data.clone()), options).await?);
    let name = filesystem.clone();
    let found = vfs.filesystem(&Ctx::new(Cred::root()), Filesystem { name }).await;
    let root = found.map_err(|error| Failure::Mount(format!("filesystem {filesystem}: {error}")))?.root;
    let options = MountOptions {
        source: format!("plexus:{filesystem}"),
        client,
        read_only: request.options.read_only,
        suid: !request.options.no_suid,
        dev: !request.options.no_dev,
        exec: !request.options.no_exec,
        ..MountOptions::default()
    };
    let mount = Mount::new(vfs.clone(), root, options, Handle::current());
    let target = folder.clone();
    let session = tokio::task::spawn_blocking(move || mount.mount(&target)).await;
    let session = session.map_err(|error| Failure::Mount(error.to_string()))??;
    if let Some(mount) = session.watched()
        && let Err(error) = watch(&mount)
    {
        eprintln!("plexus: nobody watches the mount, if it is killed others may wait for it: {error}");
    }
    println!("{filesystem} is mounted at {}", session.path().display());
    std::io::stdout().flush()?;
    if let Some(log) = &request.log {
        telemetry::into_file(log)?;
    }
    let mut signals = Signals::new()?;
    until_unmounted(&session, &mut signals).await;
    let unwritten = |why: &str| Failure::Mount(format!("data were not written: {why}"));
    let written = async {
        let ended = session.wait().await;
        vfs.flush().await.map_err(|error| unwritten(&error.to_string()))?;
        Ok(ended?)
    };
    tokio::select! {
        written = written => written,
        () = signals.next() => Err(unwritten("told to stop before the daemon had them")),
        () = until_gone(data) => Err(unwritten("the daemon is gone, and its data folder with it")),
    }
}

/// Has a process of its own watch `mount`.
fn watch(mount: &Watched) -> std::io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("watch-mount").args([mount.process, mount.connection].map(|number| number.to_string()));
    command.arg(&mount.path).current_dir("/").process_group(0);
    // It outlives this one, or ends with it.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}

/// Those that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// No daemon will come back where there is no folder any more.
async fn until_gone(data: &Path) {
    while !matches!(std::fs::metadata(data), Err(error) if error.kind() == ErrorKind::NotFound) {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Ends with the mount; a signal unmounts.
async fn until_unmounted(session: &Session, signals: &mut Signals) {
    loop {
        tokio::select! {
            () = session.unmounted() => return,
            () = signals.next() => {}
        }
        // A busy mount stays; the next signal tries again.
        if let Err(error) = session.unmount() {
            eprintln!("plexus: {error}");
        }
    }
}

/// Runs the same in a process of its own, and returns when that has mounted.
pub(crate) fn in_background(request: &Request) -> Result<(), Failure> {
    let Request { data, filesystem, folder, options, log } = request;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--data").arg(data).arg("mount").arg(filesystem).arg(folder);
    let log = log.as_deref().unwrap_or(Path::new(NOWHERE));
    command.args(["-o", &options.list(), "--log"]).arg(log).process_group(0);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let mut line = String::new();
    if let Some(output) = output {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.is_empty() {
        let mut why = String::new();
        if let Some(mut errors) = errors {
            errors.read_to_string(&mut why)?;
        }
        child.wait()?;
        return Err(Failure::Mount(why.trim_end().trim_start_matches("plexus: ").to_owned()));
    }
    print!("{line}");
    Ok(())
}
