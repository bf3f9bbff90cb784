//! /etc/passwd and /etc/group, read again when they change.

use crate::Accounts;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A file of accounts of more bytes than this is refused; it bounds what is kept of it, too.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why accounts cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct IdentityError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Version {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(path: &Path) -> io::Result<Version> {
        let meta = std::fs::metadata(path)?;
        let changed = (meta.ctime(), meta.ctime_nsec());
        Ok(Version { inode: meta.ino(), size: meta.size(), changed })
    }
}

/// The accounts of this machine's files.
#[derive(Debug)]
pub struct LocalFiles {
    passwd: PathBuf,
    group: PathBuf,
    read: Mutex<Option<([Version; 2], Arc<Accounts>)>>,
}

impl LocalFiles {
    /// Those of the system.
    #[must_use]
    pub fn system() -> LocalFiles {
        LocalFiles::at(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    /// Those of two files.
    #[must_use]
    pub fn at(passwd: &Path, group: &Path) -> LocalFiles {
        LocalFiles { passwd: passwd.to_owned(), group: group.to_owned(), read: Mutex::new(None) }
    }

    /// The accounts as the files have them now; they are read again only when they have changed.
    /// Touches the disk: two stat(2) calls at least.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn accounts(&self) -> Result<Arc<Accounts>, IdentityError> {
        let versions = [self.version(&self.passwd)?, self.version(&self.group)?];
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, accounts)) = &*read
            && *then == versions
        {
            return Ok(Arc::clone(accounts));
        }
        let accounts = Arc::new(Accounts::parse(&text(&self.passwd)?, &text(&self.group)?));
        *read = Some((versions, Arc::clone(&accounts)));
        Ok(accounts)
    }

    /// The groups of a user; `None` for an unknown one.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn groups_of(&self, uid: u32) -> Result<Option<Arc<[u32]>>, IdentityError> {
        Ok(self.accounts()?.groups_of(uid))
    }

    fn version(&self, path: &Path) -> Result<Version, IdentityError> {
        Version::of(path).map_err(|source| IdentityError { path: path.to_owned(), source })
    }
}

fn text(path: &Path) -> Result<String, IdentityError> {
    let failed = |source| IdentityError { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "over 16 MiB")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (passwd, group) = (folder.path().join("passwd"), folder.path().join("group"));
        let files = LocalFiles::at(&passwd, &group);
        assert!(files.groups_of(1).unwrap_err().to_string().contains("passwd: No such file"));
        std::fs::write(&passwd, "ann:x:1:5::/:\n").unwrap();
        std::fs::write(&group, "a:x:5:\n").unwrap();
        assert_eq!(files.groups_of(1).unwrap().as_deref(), Some(&[5][..]));
        let before = files.accounts().unwrap();
        assert!(Arc::ptr_eq(&before, &files.accounts().unwrap()), "an unchanged file is not read again");
        std::fs::write(&group, "a:x:5:\nb:x:6:ann\n").unwrap();
        assert_eq!(files.groups_of(1).unwrap().as_deref(), Some(&[5, 6][..]));
    }
}
