//! A client of a daemon within this process: the contract over the daemon's socket, without a kernel.

use remote::{Address, RemoteOptions, RemoteVfs};
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use types::{Cred, FileId, FsError, Mode, Name, SetAttr};
use vfs::{Ctx, Filesystem, FsResult, Mknod, NodeKind, Vfs};

/// Attaches to the daemon on `data`, and finds the root of its filesystem `default`.
///
/// # Errors
/// When the daemon does not answer, or says no.
pub async fn attach(data: &Path) -> io::Result<(RemoteVfs, FileId)> {
    // Nobody's session before, so that no reply is remembered for it.
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    let session = u128::from(SESSIONS.fetch_add(1, Ordering::Relaxed)) << 32 | u128::from(std::process::id());
    let address = Address::Folder(data.to_owned());
    let vfs = RemoteVfs::connect(address, RemoteOptions::new(session)).await.map_err(io::Error::other)?;
    let found = vfs.filesystem(&Ctx::new(Cred::root()), Filesystem { name: "default".to_owned() }).await;
    Ok((vfs, found.map_err(io::Error::other)?.root))
}

/// Makes an empty file.
///
/// # Errors
/// Those of the filesystem.
pub async fn make(vfs: &RemoteVfs, dir: FileId, text: &str) -> FsResult<FileId> {
    let name = Name::new(text.to_owned()).map_err(|_| FsError::Invalid)?;
    let (kind, mode, set) = (NodeKind::File, Mode(0o644), SetAttr::default());
    let made = vfs.mknod(&Ctx::new(Cred::root()), Mknod { dir, name, kind, mode, set }).await;
    made.map(|made| made.attr.file)
}

/// Runs `work` to its end, from a thread that has no runtime.
#[expect(clippy::expect_used, reason = "a machine that has no thread left runs no test")]
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(work)
}
