//! Mounting a filesystem here through FUSE.

use crate::run::Failure;
use env::{Random, SystemRandom};
use fuse::{Mount, MountOptions, Session};
use remote::{Address, RemoteOptions, RemoteVfs};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use types::Cred;
use vfs::{Ctx, Filesystem, Vfs};

/// Mounts `filesystem` of the daemon of `data` at `folder`, and returns when it is unmounted, or at
/// once when it is mounted and `background` is set.
pub(crate) async fn mount(
    data: &Path,
    filesystem: &str,
    folder: &Path,
    background: bool,
) -> Result<(), Failure> {
    if background {
        return in_background(data, filesystem, folder);
    }
    let mut session = [0; 16];
    SystemRandom.fill(&mut session);
    let options = RemoteOptions::new(u128::from_be_bytes(session));
    let client = options.client();
    let vfs = Arc::new(RemoteVfs::connect(Address::Unix(data.join(remote::SOCKET)), options).await?);
    let name = filesystem.to_owned();
    let found = vfs.filesystem(&Ctx::new(Cred::root()), Filesystem { name }).await;
    let root = found.map_err(|error| Failure::Mount(format!("filesystem {filesystem}: {error}")))?.root;
    let options = MountOptions { source: format!("plexus:{filesystem}"), client, ..MountOptions::default() };
    let mount = Mount::new(vfs.clone(), root, options, Handle::current());
    let target = folder.to_owned();
    let session = tokio::task::spawn_blocking(move || mount.mount(&target)).await;
    let session = session.map_err(|error| Failure::Mount(error.to_string()))??;
    println!("{filesystem} is mounted at {}", session.path().display());
    std::io::stdout().flush()?;
    let ended = until_unmounted(&session).await;
    vfs.flush().await.map_err(|error| Failure::Mount(format!("data were not written: {error}")))?;
    ended
}

/// Ends with the mount; a signal unmounts.
async fn until_unmounted(session: &Session) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            ended = session.wait() => return Ok(ended?),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // A busy mount stays; the next signal tries again.
        if let Err(error) = session.unmount() {
            eprintln!("plexus: {error}");
        }
    }
}

/// Runs the same in a process of its own, and returns when that has mounted.
fn in_background(data: &Path, filesystem: &str, folder: &Path) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let mut child = Command::new(program)
        .arg("--data")
        .args([data.as_os_str(), "mount".as_ref(), filesystem.as_ref(), folder.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.is_empty() {
        let status = child.wait()?;
        return Err(Failure::Mount(format!("the mount ended at once ({status})")));
    }
    print!("{line}");
    Ok(())
}
