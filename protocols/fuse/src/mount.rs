//! Mounting, waiting for the end, unmounting.

use crate::abandoned::Watched;
use crate::head::Head;
use crate::kernel;
use crate::options::MountOptions;
use fuser::{Config, MountOption, SessionACL, SessionUnmounter};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io, thread};
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::{Cred, FileId, Leased};
use vfs::{ClientId, Ctx, EndClient, Vfs};

/// Why mounting or unmounting failed.
#[derive(Debug, thiserror::Error)]
pub enum FuseError {
    /// The kernel refused the mount.
    #[error("cannot mount at {}: {source}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused to unmount; `EBUSY` while files are in use.
    #[error("cannot unmount {}: {source}", path.display())]
    Unmount {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The session ended with an error.
    #[error("the mount at {} has ended: {reason}", path.display())]
    Session {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A file system about to be mounted.
pub struct Mount<V> {
    vfs: Arc<V>,
    root: FileId,
    options: MountOptions,
    runtime: Handle,
}

impl<V: Vfs> Mount<V> {
    /// Prepares a mount of what is below `root`. Operations that wait run on `runtime`.
    #[must_use]
    pub fn new(vfs: Arc<V>, root: FileId, options: MountOptions, runtime: Handle) -> Mount<V> {
        Mount { vfs, root, options, runtime }
    }

    /// Mounts at the directory `path`. Who is not the superuser needs `fusermount3`, which allows neither
    /// setuid programs nor device nodes. Blocks for a moment: do not call it on a runtime thread that the
    /// file system needs.
    ///
    /// # Errors
    /// [`FuseError::Mount`] when the kernel says no.
    pub fn mount(self, path: &Path) -> Result<Session, FuseError> {
        let failed = |source| FuseError::Mount { path: path.to_owned(), source };
        let path = fs::canonicalize(path).map_err(failed)?;
        let config = config(&self.options);
        let acl = config.acl;
        let connection = kernel::mount_at(&path, &self.options).map_err(failed)?;
        let client = self.options.client;
        let readahead = self.options.readahead_kib;
        let (vfs, runtime) = (self.vfs.clone(), self.runtime.clone());
        let (head, orders) = Head::new(self.vfs, self.root, self.options, self.runtime);
        let (numbers, trusted) = (head.numbers, head.trusted.clone());
        let begun = match connection {
            Some(connection) => {
                let begun = fuser::Session::from_fd(head, connection, acl, config);
                begun.inspect_err(|_| kernel::take_away(&path))
            }
            None => fuser::Session::new(head, &path, &config),
        };
        let mut session = begun.map_err(failed)?;
        let unmounter = Mutex::new(session.unmount_callable());
        let notifier = session.notifier();
        let (attributes, names) =
            (session.as_fd().try_clone_to_owned(), session.as_fd().try_clone_to_owned());
        let (attributes, names) = (attributes.map_err(failed)?, names.map_err(failed)?);
        {
            let _entered = runtime.enter();
            let of_attributes =
                Arc::new(move |file| kernel::forget_attributes(&attributes, numbers.ino(file).0));
            let of_name = Arc::new(move |dir, name: &OsStr| kernel::expire(&names, numbers.ino(dir).0, name));
            vfs.listen(move |what| {
                let (trusted, of_attributes, of_name) =
                    (trusted.clone(), of_attributes.clone(), of_name.clone());
                async move {
                    match what {
                        Leased::Attributes(file) => {
                            trusted.end_attributes(file, |file| of_attributes(file)).await
                        }
                        Leased::Names(file) => trusted.end_names(file, of_name).await,
                    }
                }
            });
        }
        thread::Builder::new()
            .name("fuse-pages".to_owned())
            .spawn(move || orders.carry_out(|file| notifier.inval_inode(numbers.ino(file), 0, 0)))
            .map_err(failed)?;
        let (now, life) = watch::channel(Life::Mounted);
        let at = path.clone();
        thread::Builder::new()
            .name("fuse-session".to_owned())
            .spawn(move || {
                let result = session.run().map_err(|error| error.to_string());
                if result.is_err() {
                    kernel::take_away(&at);
                }
                now.send_replace(Life::Unmounted);
                runtime.block_on(say_farewell(&*vfs, client));
                now.send_replace(Life::Ended(result));
            })
            .map_err(failed)?;
        let device = fs::read_to_string("/proc/self/mountinfo").ok().and_then(|text| device_of(&text, &path));
        if let Some(device) = &device
            && readahead > 0
        {
            set_readahead(device, readahead);
        }
        let connection = device.and_then(|device| device.split_once(':')?.1.parse().ok());
        Ok(Session { path, connection, unmounter, life })
    }
}

async fn say_farewell<V: Vfs>(vfs: &V, client: ClientId) {
    let ctx = Ctx { client, ..Ctx::new(Cred::root()) };
    if let Err(error) = vfs.end_client(&ctx, EndClient { client }).await {
        tracing::warn!(%error, "opens and locks of an ended mount stay until their lease ends");
    }
}

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(options.source.clone()),
        MountOption::Subtype("plexus".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoAtime,
    ];
    if options.read_only {
        config.mount_options.push(MountOption::RO);
    }
    if !options.exec {
        config.mount_options.push(MountOption::NoExec);
    }
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(options.threads.max(1));
    config.clone_fd = true;
    config
}

/// The kernel offers FUSE no more than 128 KiB of readahead; the mount's backing device takes more.
fn set_readahead(device: &str, kib: u32) {
    if let Err(error) = fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), kib.to_string()) {
        tracing::debug!(%error, "readahead stays as the kernel has it");
    }
}

/// `major:minor` of the last mount at `path` (proc(5), mountinfo).
fn device_of(mountinfo: &str, path: &Path) -> Option<String> {
    let wanted = escape(path.to_str()?);
    let mut lines = mountinfo.lines().rev().map(|line| line.split(' '));
    lines.find_map(|mut fields| {
        let device = fields.nth(2)?;
        (fields.nth(1)? == wanted).then(|| device.to_owned())
    })
}

fn escape(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

/// How far a mount is.
enum Life {
    Mounted,
    /// The kernel has nothing of it any more.
    Unmounted,
    /// The file system knows.
    Ended(Result<(), String>),
}

/// A mounted file system. Dropping it leaves the mount; end it with [`Session::unmount`].
pub struct Session {
    path: PathBuf,
    connection: Option<u32>,
    unmounter: Mutex<SessionUnmounter>,
    life: watch::Receiver<Life>,
}

impl Session {
    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// This mount, to be watched by another process; `None` where its connection is not known.
    #[must_use]
    pub fn watched(&self) -> Option<Watched> {
        let process = std::process::id();
        self.connection.map(|connection| Watched { process, connection, path: self.path.clone() })
    }

    /// Waits until the kernel has nothing of it any more. What was written may still be on its way.
    pub async fn unmounted(&self) {
        let mut life = self.life.clone();
        // Without its thread it has no kernel either.
        let _ = life.wait_for(|life| !matches!(life, Life::Mounted)).await;
    }

    /// Waits until somebody has unmounted it and the file system knows.
    ///
    /// # Errors
    /// [`FuseError::Session`] when it has ended in another way.
    pub async fn wait(&self) -> Result<(), FuseError> {
        let mut life = self.life.clone();
        let gone = |reason| FuseError::Session { path: self.path.clone(), reason };
        let ended = life.wait_for(|life| matches!(life, Life::Ended(_))).await;
        match &*ended.map_err(|_| gone("its thread is gone".to_owned()))? {
            Life::Ended(Err(reason)) => Err(gone(reason.clone())),
            _ => Ok(()),
        }
    }

    /// Unmounts while nothing is in use; [`Session::wait`] then returns. Blocks until the kernel is done.
    ///
    /// # Errors
    /// [`FuseError::Unmount`] while files are in use.
    pub fn unmount(&self) -> Result<(), FuseError> {
        use rustix::mount::{UnmountFlags, unmount};
        match unmount(&self.path, UnmountFlags::empty()) {
            Ok(()) => Ok(()),
            // Not ours any more, or not the superuser: the helper knows.
            Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(rustix::io::Errno::PERM) => self.by_helper(),
            Err(error) => Err(FuseError::Unmount { path: self.path.clone(), source: error.into() }),
        }
    }

    /// Takes the mount out of the tree at once; it ends when its last file is closed.
    ///
    /// # Errors
    /// [`FuseError::Unmount`] when the kernel says no.
    pub fn detach(&self) -> Result<(), FuseError> {
        use rustix::mount::{UnmountFlags, unmount};
        match unmount(&self.path, UnmountFlags::DETACH) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(rustix::io::Errno::PERM) => self.by_helper(),
            Err(error) => Err(FuseError::Unmount { path: self.path.clone(), source: error.into() }),
        }
    }

    fn by_helper(&self) -> Result<(), FuseError> {
        let mut unmounter = self.unmounter.lock().unwrap_or_else(PoisonError::into_inner);
        unmounter.unmount().map_err(|source| FuseError::Unmount { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_of_a_mount_is_found() {
        let text = "30 1 0:26 / /mnt/a rw - ext4 /dev/x rw\n31 1 0:27 / /mnt/b\\040c rw - fuse.x x rw\n";
        assert_eq!(device_of(text, Path::new("/mnt/b c")).as_deref(), Some("0:27"));
        assert_eq!(device_of(text, Path::new("/mnt")), None);
    }
}
