//! Where in its data folder a daemon says how mounts reach it through TCP.
//!
//! The file has three lines: `plexus-vfs 1`, address and port, the token in 64 hexadecimal digits. It is readable by
//! its owner alone, and true for one life of the daemon.

use crate::SOCKET;
use fabric::{Address, Token};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const NAME: &str = "vfs.tcp";
const FIRST_LINE: &str = "plexus-vfs 1";
const BYTES_MAX: u64 = 1024;

/// The daemon listens at a TCP port, for as long as this is kept.
pub struct TcpDoor(PathBuf);

impl TcpDoor {
    /// Says in `folder` that the daemon listens at `address`, and knows `token`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(folder: &Path, address: SocketAddr, token: &Token) -> io::Result<TcpDoor> {
        let (path, staged) = (folder.join(NAME), folder.join(format!("{NAME}.new")));
        absent_is_fine(fs::remove_file(&staged))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
        file.write_all(format!("{FIRST_LINE}\n{address}\n{}\n", token.text()).as_bytes())?;
        fs::rename(&staged, &path)?;
        Ok(TcpDoor(path))
    }

    /// Takes back what a former life of the daemon has said.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn none(folder: &Path) -> io::Result<()> {
        absent_is_fine(fs::remove_file(folder.join(NAME)))
    }
}

impl Drop for TcpDoor {
    fn drop(&mut self) {
        if let Err(error) = absent_is_fine(fs::remove_file(&self.0)) {
            tracing::warn!(path = %self.0.display(), %error, "mounts will look for this daemon in vain");
        }
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where the daemon of a data folder listens.
pub(crate) fn of(folder: &Path) -> io::Result<Address> {
    let mut text = String::new();
    match File::open(folder.join(NAME)) {
        Ok(file) => file.take(BYTES_MAX).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Address::Unix(folder.join(SOCKET)));
        }
        Err(error) => return Err(error),
    };
    parse(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{NAME} is not of this version")))
}

fn parse(text: &str) -> Option<Address> {
    let rest = text.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?;
    let (address, token) = rest.strip_suffix('\n')?.split_once('\n')?;
    Some(Address::Tcp(address.parse().ok()?, Token::from_text(token)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn mounts_find_the_door_that_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let found = || of(folder.path());
        assert!(matches!(found().unwrap(), Address::Unix(path) if path == folder.path().join(SOCKET)));
        let (address, token) = ("127.0.0.1:7".parse().unwrap(), Token::new([0xa5; 32]));
        let door = TcpDoor::open(folder.path(), address, &token).unwrap();
        let mode = fs::metadata(folder.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            matches!(found().unwrap(), Address::Tcp(at, known) if at == address && known.text() == token.text())
        );
        let text = fs::read_to_string(folder.path().join(NAME)).unwrap();
        for wrong in
            [text.replace(" 1\n", " 2\n"), text.replace("a5\n", "a\n"), text.replace(":7", ""), String::new()]
        {
            fs::write(folder.path().join(NAME), wrong).unwrap();
            assert!(found().is_err());
        }
        drop(door);
        assert!(matches!(found().unwrap(), Address::Unix(_)));
    }
}
