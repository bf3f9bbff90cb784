//! What fallocate(2) promises on a file system that is then filled, through the system call: run in a mount at either door.

use clap::Parser;
use e2e::Door;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// What each file has reserved.
const RESERVED: u64 = 4 * MIB;
/// How long what was removed may take to be free again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a size may take to be right again after a write was refused.
const SOON: Duration = Duration::from_secs(10);

/// Reserves, fills the file system, and writes into what was reserved
#[derive(Parser)]
struct Arguments {
    /// NFS has no words for some of what FUSE has
    door: Door,
    /// An empty folder of the file system
    folder: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { door, folder } = Arguments::parse();
    match run(door, &folder) {
        Ok(filler) => {
            println!("reserved, filled with {} MiB, kept", filler / MIB);
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("reserve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(door: Door, folder: &Path) -> io::Result<u64> {
    let create =
        |name: &str| OpenOptions::new().read(true).write(true).create_new(true).open(folder.join(name));
    let plain = create("plain")?;
    must("reserve", fallocate(&plain, FallocateFlags::empty(), 0, RESERVED))?;
    same("size after reserving", plain.metadata()?.len(), RESERVED)?;
    let kept = create("kept")?;
    let keep = fallocate(&kept, FallocateFlags::KEEP_SIZE, 0, RESERVED);
    match door {
        Door::Fuse => must("reserve and keep the size", keep)?,
        Door::Nfs => same("reserve and keep the size", keep, Err(Errno::OPNOTSUPP))?,
    }
    same("size that was to be kept", kept.metadata()?.len(), 0)?;

    let filler = fill(folder)?;
    full("a write into a new file", write(&create("new")?, 0, 256 << 10, 1))?;
    full(
        "to reserve more",
        fallocate(&plain, FallocateFlags::empty(), RESERVED, RESERVED).map_err(Into::into),
    )?;
    full("a write behind what was reserved", write(&plain, RESERVED, MIB, 4))?;
    same_soon("size after what was refused", || Ok(plain.metadata()?.len()), RESERVED)?;
    for at in (0..RESERVED).step_by(MIB as usize) {
        must("write into what was reserved", write(&plain, at, MIB, 2))?;
    }
    holds(&plain, 0, RESERVED, 2)?;
    if door == Door::Fuse {
        must("write into what was reserved beyond the end", write(&kept, 0, RESERVED, 3))?;
        holds(&kept, 0, RESERVED, 3)?;
    }

    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    must("punch", fallocate(&plain, punch, MIB / 2, MIB))?;
    holds(&plain, 0, MIB / 2, 2)?;
    holds(&plain, MIB / 2, MIB, 0)?;
    holds(&plain, MIB * 3 / 2, RESERVED - MIB * 3 / 2, 2)?;
    let zero = fallocate(&plain, FallocateFlags::ZERO_RANGE, 2 * MIB, MIB);
    match door {
        Door::Fuse => {
            must("zero", zero)?;
            holds(&plain, 2 * MIB, MIB, 0)?;
        }
        Door::Nfs => same("zero", zero, Err(Errno::OPNOTSUPP))?,
    }
    let collapse = fallocate(&plain, FallocateFlags::COLLAPSE_RANGE, 0, MIB);
    same("collapse", collapse, Err(Errno::OPNOTSUPP))?;
    same("size after punching", plain.metadata()?.len(), RESERVED)?;

    fs::remove_file(folder.join("filler"))?;
    let (begun, new) = (Instant::now(), create("after")?);
    while let Err(error) = write(&new, 0, RESERVED, 5) {
        if begun.elapsed() > PATIENCE {
            return must("write when there is space again", Err::<(), _>(error)).map(|()| 0);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    holds(&new, 0, RESERVED, 5)?;
    Ok(filler)
}

/// Writes until nothing more goes in; how many bytes went in.
fn fill(folder: &Path) -> io::Result<u64> {
    let mut end = 0;
    for step in [MIB, 64 << 10, 4096] {
        // A client that has told of an error may tell of it again on the same descriptor.
        let file = OpenOptions::new().create(true).append(true).open(folder.join("filler"))?;
        end = file.metadata()?.len();
        let file = OpenOptions::new().write(true).open(folder.join("filler"))?;
        loop {
            match write(&file, end, step, 9) {
                Ok(()) => end += step,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return must("fill", Err(error)).map(|()| 0),
            }
        }
        file.set_len(end)?;
    }
    Ok(end)
}

/// Durable on return.
fn write(file: &File, at: u64, bytes: u64, byte: u8) -> io::Result<()> {
    file.write_all_at(&vec![byte; bytes as usize], at)?;
    file.sync_all()
}

/// Reads what the server has, not what this machine remembers.
fn holds(file: &File, at: u64, bytes: u64, byte: u8) -> io::Result<()> {
    fadvise(file, 0, None, Advice::DontNeed)?;
    let mut found = vec![!byte; bytes as usize];
    file.read_exact_at(&mut found, at)?;
    match found.iter().position(|other| *other != byte) {
        None => Ok(()),
        Some(n) => Err(io::Error::other(format!("byte {} is {}, not {byte}", at + n as u64, found[n]))),
    }
}

fn must<T, E: Into<io::Error>>(what: &str, done: Result<T, E>) -> io::Result<T> {
    done.map_err(|error| io::Error::other(format!("{what}: {}", error.into())))
}

fn full<T>(what: &str, done: io::Result<T>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        Err(error) => must(what, Err(error)),
        Ok(_) => Err(io::Error::other(format!("{what} was not refused"))),
    }
}

/// A client that is delegated the file takes the size it wanted for the true one, until it has given that back.
fn same_soon<T: PartialEq + std::fmt::Debug>(
    what: &str,
    find: impl Fn() -> io::Result<T>,
    expected: T,
) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let found = find()?;
        if found == expected || begun.elapsed() > SOON {
            return same(what, found, expected);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> io::Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("{what}: {found:?}, not {expected:?}")))
}
