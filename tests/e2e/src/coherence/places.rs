//! The files of a generation, as a worker holds them open, and what is done to them.

use super::history::{BLOCK_BYTES, Outcome};
use super::models::NAMES;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, fcntl_lock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// What `statfs` says of a FUSE mount, and of one of NFS (linux/magic.h).
const FUSE: i64 = 0x6573_5546;
const NFS: i64 = 0x6969;
/// Between two tries for a lock that others want too.
const PAUSE: Duration = Duration::from_millis(3);
const TRIES: u32 = 200;

/// How the file system is entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
pub enum Way {
    /// A FUSE mount: pages and attributes are trusted as long as the daemon says so.
    Fuse,
    /// NFS with `actimeo=0,lookupcache=none`; data goes past the client's pages.
    Strict,
    /// NFS with defaults: files are opened for each operation.
    Defaults,
}

/// How a file is opened for an operation on its blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// Written, then synced.
    Pages,
    /// Past the kernel's pages.
    Direct,
    /// Each write is durable when it returns.
    Synced,
}

impl How {
    fn flags(self) -> OFlags {
        match self {
            How::Pages => OFlags::empty(),
            How::Direct => OFlags::DIRECT,
            How::Synced => OFlags::DSYNC,
        }
    }
}

type Result<T> = rustix::io::Result<T>;

/// Folders that a worker holds open, and the files that it has open in them.
pub(super) struct Places {
    way: Way,
    folder: OwnedFd,
    names: OwnedFd,
    held: Vec<(&'static str, How, File)>,
}

fn is_mounted(way: Way, root: BorrowedFd<'_>) -> Result<bool> {
    #[allow(clippy::unnecessary_cast, reason = "narrower on other machines")]
    let kind = rustix::fs::fstatfs(root)?.f_type as i64;
    Ok(kind == if way == Way::Fuse { FUSE } else { NFS })
}

fn folder_in(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    rustix::fs::openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// What a name is called.
fn called(name: u8) -> String {
    char::from(b'a' + name).to_string()
}

impl Places {
    /// Those of a generation below the mount at `root`, made if they are not there yet.
    pub(super) fn enter(way: Way, root: &Path, generation: u32) -> Result<Places> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        if !is_mounted(way, root.as_fd())? {
            return Err(Errno::NOTCONN);
        }
        let folder = folder_in(root.as_fd(), &format!("g{generation}"))?;
        let names = folder_in(folder.as_fd(), "names")?;
        Ok(Places { way, folder, names, held: Vec::new() })
    }

    fn open(&self, name: &str, flags: OFlags) -> Result<File> {
        let mode = Mode::from_bits_truncate(0o644);
        let flags = flags | OFlags::CREATE | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, name, flags, mode).map(File::from)
    }

    /// A file that stays open.
    pub(super) fn hold(&mut self, name: &'static str, how: How) -> Result<&File> {
        let at = match self.held.iter().position(|held| held.0 == name && held.1 == how) {
            Some(at) => at,
            None => {
                let file = self.open(name, OFlags::RDWR | how.flags())?;
                self.held.push((name, how, file));
                self.held.len() - 1
            }
        };
        Ok(&self.held[at].2)
    }

    /// Closes what is held of a file.
    pub(super) fn let_go(&mut self, name: &str) {
        self.held.retain(|held| held.0 != name);
    }

    pub(super) fn write(&mut self, name: &'static str, how: How, block: u8, tag: u64) -> Result<Outcome> {
        let bytes = tag.to_le_bytes().repeat(BLOCK_BYTES / 8);
        let offset = u64::from(block) * BLOCK_BYTES as u64;
        if self.way == Way::Defaults {
            let file = self.open(name, OFlags::WRONLY)?;
            write_all(&file, &bytes, offset)?;
            // What close(2) writes it reports only there.
            rustix::fs::fsync(&file)?;
            return Ok(Outcome::Done);
        }
        let file = self.hold(name, how)?;
        write_all(file, &bytes, offset)?;
        if how != How::Synced {
            rustix::fs::fdatasync(file)?;
        }
        Ok(Outcome::Done)
    }

    /// `alone`: nobody writes it through this client.
    pub(super) fn read(&mut self, name: &'static str, how: How, block: u8, alone: bool) -> Result<Outcome> {
        let offset = u64::from(block) * BLOCK_BYTES as u64;
        if self.way == Way::Defaults {
            let file = self.open(name, OFlags::RDONLY)?;
            if !alone {
                // A client takes all changes of a file that it has open for writing for its own, and its pages for true.
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
            }
            return block_of(&file, offset);
        }
        block_of(self.hold(name, how)?, offset)
    }

    pub(super) fn size(&mut self, name: &'static str) -> Result<u64> {
        if self.way == Way::Defaults {
            return Ok(rustix::fs::fstat(self.open(name, OFlags::RDONLY)?)?.st_size as u64);
        }
        let how = self.usual();
        Ok(rustix::fs::fstat(self.hold(name, how)?)?.st_size as u64)
    }

    pub(super) fn truncate(&mut self, name: &'static str, size: u64) -> Result<Outcome> {
        let how = self.usual();
        rustix::fs::ftruncate(self.hold(name, how)?, size).map(|()| Outcome::Done)
    }

    fn usual(&self) -> How {
        if self.way == Way::Strict { How::Direct } else { How::Pages }
    }

    pub(super) fn append(&mut self, name: &'static str, synced: bool, tag: u64) -> Result<Outcome> {
        let more = if synced { OFlags::DSYNC } else { OFlags::empty() };
        let file = self.open(name, OFlags::WRONLY | OFlags::APPEND | more)?;
        let bytes = tag.to_le_bytes().repeat(BLOCK_BYTES / 8);
        if rustix::io::write(&file, &bytes)? != bytes.len() {
            return Err(Errno::IO);
        }
        if !synced {
            rustix::fs::fdatasync(&file)?;
        }
        Ok(Outcome::Done)
    }

    /// Counts up under a lock; what was there before.
    pub(super) fn add(&mut self, name: &'static str) -> Result<Outcome> {
        let file = self.hold(name, How::Pages)?;
        let mut tries = 0;
        loop {
            match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::AGAIN | Errno::ACCESS) if tries < TRIES => std::thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
            tries += 1;
        }
        let mut bytes = [0; 8];
        let counted = match file.read_at(&mut bytes, 0).map_err(errno)? {
            0 => 0,
            8 => u64::from_le_bytes(bytes),
            length => return Ok(Outcome::Torn(format!("a number of {length} bytes"))),
        };
        write_all(file, &(counted + 1).to_le_bytes(), 0)?;
        rustix::fs::fsync(file)?;
        fcntl_lock(file, FlockOperation::Unlock)?;
        Ok(Outcome::Number(counted))
    }

    pub(super) fn create(&self, name: u8) -> Result<Outcome> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&self.names, called(name), flags, Mode::from_bits_truncate(0o644))?;
        Ok(Outcome::Number(rustix::fs::fstat(made)?.st_ino))
    }

    pub(super) fn unlink(&self, name: u8) -> Result<Outcome> {
        rustix::fs::unlinkat(&self.names, called(name), AtFlags::empty()).map(|()| Outcome::Done)
    }

    pub(super) fn rename(&self, from: u8, to: u8) -> Result<Outcome> {
        rustix::fs::renameat(&self.names, called(from), &self.names, called(to)).map(|()| Outcome::Done)
    }

    /// The inode that a name leads to, and its number.
    pub(super) fn find(&self, name: u8) -> Result<(OwnedFd, u64)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::openat(&self.names, called(name), flags, Mode::empty())?;
        let number = rustix::fs::fstat(&found)?.st_ino;
        Ok((found, number))
    }

    pub(super) fn link(&self, found: &OwnedFd, to: u8) -> Result<Outcome> {
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        rustix::fs::linkat(rustix::fs::CWD, path, &self.names, called(to), AtFlags::SYMLINK_FOLLOW)
            .map(|()| Outcome::Done)
    }

    pub(super) fn lookup(&self, name: u8) -> Result<Outcome> {
        match rustix::fs::statat(&self.names, called(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Outcome::Number(stat.st_ino)),
            Err(Errno::NOENT) => Ok(Outcome::Number(0)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn list(&self) -> Result<Outcome> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.names)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            match name.as_bytes() {
                [one] if (b'a'..b'a' + NAMES as u8).contains(one) => found.push((one - b'a', entry.ino())),
                // An NFS client keeps what it has open under such a name when it is removed.
                other if other.starts_with(b".") => {}
                _ => return Ok(Outcome::Torn(format!("the name {name}"))),
            }
        }
        found.sort_unstable();
        Ok(Outcome::Names(found))
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn write_all(file: &File, bytes: &[u8], offset: u64) -> Result<()> {
    match rustix::io::pwrite(file, bytes, offset)? {
        count if count == bytes.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

fn block_of(file: &File, offset: u64) -> Result<Outcome> {
    let mut bytes = vec![0; BLOCK_BYTES];
    let mut filled = 0;
    while filled < BLOCK_BYTES {
        match rustix::io::pread(file, &mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    if filled == 0 {
        return Ok(Outcome::Tag(None));
    }
    let words: Vec<u64> = bytes[..filled]
        .chunks_exact(8)
        .map(|word| word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        .collect();
    if filled == BLOCK_BYTES && words.iter().all(|word| *word == words[0]) {
        return Ok(Outcome::Tag(Some(words[0])));
    }
    let mut tags = words;
    tags.dedup();
    Ok(Outcome::Torn(format!("{filled} bytes of {tags:x?}")))
}
