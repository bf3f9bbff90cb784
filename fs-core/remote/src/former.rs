//! Whether a former life of the daemon has let anybody trust what it said: a file that outlives it.

use env::durable;
use std::path::PathBuf;
use std::{fs, io};
use tokio::sync::Mutex;

/// A file that is there while somebody may trust.
pub struct Former {
    path: PathBuf,
    trusted: bool,
    there: Mutex<bool>,
}

impl Former {
    /// Looks at `path`; the file itself is made when somebody comes who may be let trust.
    ///
    /// # Errors
    /// That it cannot be known whether the file is there.
    pub fn open(path: PathBuf) -> io::Result<Former> {
        let trusted = path.try_exists()?;
        Ok(Former { path, trusted, there: Mutex::new(trusted) })
    }

    /// Whether somebody may trust what a former life has said.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// From now on somebody may trust what this life says: durable when this returns.
    pub(crate) async fn note(&self) -> io::Result<()> {
        let mut there = self.there.lock().await;
        if !*there {
            let path = self.path.clone();
            off_runtime(move || durable::replace(&path, b"")).await?;
            *there = true;
        }
        Ok(())
    }

    /// Nobody trusts anything, if `nobody` says so.
    pub(crate) async fn clear(&self, nobody: impl FnOnce() -> bool) -> io::Result<()> {
        let mut there = self.there.lock().await;
        if *there && nobody() {
            let path = self.path.clone();
            off_runtime(move || fs::remove_file(path)).await?;
            *there = false;
        }
        Ok(())
    }
}

/// Does what blocks on a disk.
pub(crate) async fn off_runtime(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_life_knows() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Former::open(folder.path().join("trusted")).unwrap();
        let life = open();
        assert!(!life.is_trusted());
        life.note().await.unwrap();
        assert!(open().is_trusted());
        life.clear(|| false).await.unwrap();
        assert!(open().is_trusted(), "somebody does still");
        life.clear(|| true).await.unwrap();
        assert!(!open().is_trusted());
        life.note().await.unwrap();
        assert!(open().is_trusted(), "somebody came again");
    }
}
