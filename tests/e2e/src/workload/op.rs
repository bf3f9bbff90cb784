//! The steps: as words of a log, and done.

use super::{XATTR, content};
use rustix::fs::{FallocateFlags, XattrFlags, fallocate, fsync};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Op {
    /// Overwrites from the start, making the file when it is not there.
    Put {
        name: String,
        seed: u64,
        bytes: u64,
    },
    Append {
        name: String,
        seed: u64,
        bytes: u64,
    },
    /// Anywhere in the file or behind it, which leaves a hole.
    Write {
        name: String,
        at: u64,
        seed: u64,
        bytes: u64,
    },
    /// Makes a hole.
    Punch {
        name: String,
        at: u64,
        bytes: u64,
    },
    Truncate {
        name: String,
        bytes: u64,
    },
    Unlink {
        name: String,
    },
    Rename {
        name: String,
        to: String,
    },
    Link {
        name: String,
        to: String,
    },
    Symlink {
        name: String,
        to: String,
    },
    Mkdir {
        name: String,
    },
    Rmdir {
        name: String,
    },
    Xattr {
        name: String,
        seed: u64,
    },
}

impl Op {
    pub(super) fn text(&self) -> String {
        match self {
            Op::Put { name, seed, bytes } => format!("put {name} {seed} {bytes}"),
            Op::Append { name, seed, bytes } => format!("append {name} {seed} {bytes}"),
            Op::Write { name, at, seed, bytes } => format!("write {name} {at} {seed} {bytes}"),
            Op::Punch { name, at, bytes } => format!("punch {name} {at} {bytes}"),
            Op::Truncate { name, bytes } => format!("truncate {name} {bytes}"),
            Op::Unlink { name } => format!("unlink {name}"),
            Op::Rename { name, to } => format!("rename {name} {to}"),
            Op::Link { name, to } => format!("link {name} {to}"),
            Op::Symlink { name, to } => format!("symlink {name} {to}"),
            Op::Mkdir { name } => format!("mkdir {name}"),
            Op::Rmdir { name } => format!("rmdir {name}"),
            Op::Xattr { name, seed } => format!("xattr {name} {seed}"),
        }
    }

    pub(super) fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Op> {
        let kind = words.next()?;
        let name = words.next()?.to_owned();
        let mut number = || words.next()?.parse().ok();
        Some(match kind {
            "put" => Op::Put { name, seed: number()?, bytes: number()? },
            "append" => Op::Append { name, seed: number()?, bytes: number()? },
            "write" => Op::Write { name, at: number()?, seed: number()?, bytes: number()? },
            "punch" => Op::Punch { name, at: number()?, bytes: number()? },
            "truncate" => Op::Truncate { name, bytes: number()? },
            "xattr" => Op::Xattr { name, seed: number()? },
            "unlink" => Op::Unlink { name },
            "mkdir" => Op::Mkdir { name },
            "rmdir" => Op::Rmdir { name },
            "rename" => Op::Rename { name, to: words.next()?.to_owned() },
            "link" => Op::Link { name, to: words.next()?.to_owned() },
            "symlink" => Op::Symlink { name, to: words.next()?.to_owned() },
            _ => return None,
        })
    }

    /// Whether data may be half there when it was cut off.
    pub(super) fn data_of(&self) -> Option<&str> {
        match self {
            Op::Put { name, .. }
            | Op::Append { name, .. }
            | Op::Write { name, .. }
            | Op::Punch { name, .. }
            | Op::Truncate { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Does it, and makes it durable.
    pub(super) fn perform(&self, tree: &Path, sync_names: bool) -> io::Result<()> {
        let path = |name: &str| tree.join(name);
        let mut names: Vec<&str> = Vec::new();
        match self {
            Op::Put { name, seed, bytes } => {
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(path(name))?;
                file.write_all_at(&content(*seed, *bytes), 0)?;
                file.sync_all()?;
                names.push(name);
            }
            Op::Append { name, seed, bytes } => {
                let mut file = OpenOptions::new().append(true).open(path(name))?;
                file.write_all(&content(*seed, *bytes))?;
                file.sync_all()?;
            }
            Op::Write { name, at, seed, bytes } => {
                let file = OpenOptions::new().write(true).open(path(name))?;
                file.write_all_at(&content(*seed, *bytes), *at)?;
                file.sync_all()?;
            }
            Op::Punch { name, at, bytes } => {
                let file = OpenOptions::new().write(true).open(path(name))?;
                fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, *at, *bytes)?;
                file.sync_all()?;
            }
            Op::Truncate { name, bytes } => {
                let file = OpenOptions::new().write(true).open(path(name))?;
                file.set_len(*bytes)?;
                file.sync_all()?;
            }
            Op::Xattr { name, seed } => {
                rustix::fs::setxattr(path(name), XATTR, &content(*seed, 64), XattrFlags::empty())?;
                File::open(path(name))?.sync_all()?;
            }
            Op::Unlink { name } => {
                fs::remove_file(path(name))?;
                names.push(name);
            }
            Op::Rename { name, to } => {
                fs::rename(path(name), path(to))?;
                names.extend([name.as_str(), to]);
            }
            Op::Link { name, to } => {
                fs::hard_link(path(name), path(to))?;
                names.push(to);
            }
            Op::Symlink { name, to } => {
                symlink(to, path(name))?;
                names.push(name);
            }
            Op::Mkdir { name } => {
                fs::create_dir(path(name))?;
                names.push(name);
            }
            Op::Rmdir { name } => {
                fs::remove_dir(path(name))?;
                names.push(name);
            }
        }
        if sync_names {
            for name in names {
                sync_folder(path(name).parent().unwrap_or(tree))?;
            }
        }
        Ok(())
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    Ok(fsync(File::open(folder)?)?)
}
