//! A client that does single steps in a tree as it is told.

use super::step::{
    Allocating, Answer, BLOCK_BYTES, CLOCKS_FROM, Entry, Flag, Held, Kind, LINE_BYTES_MAX, LockMode,
    LockOwned, LockRange, Place, Renaming, Seen, Step,
};
use crate::workload::content;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{
    AtFlags, Dir, FallocateFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, SeekFrom, Stat,
    Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Bytes of an attribute, and of all names of a list.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
/// Bytes that are looked at in one read.
const LOOK_BYTES: usize = 1 << 20;

/// Serves the master at `address`, which knows us by `name`, below the folder `root` until it hangs up. Through an NFS
/// client, what it does not ask the server for has to be forgotten.
///
/// # Errors
/// When the master or the folder cannot be reached, or the master says what is no step.
pub fn serve(address: &str, name: &str, root: &Path, nfs: bool) -> io::Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut steps = BufReader::new(stream.try_clone()?);
    let mut answers = stream;
    let mut hand = Hand::new(root, nfs)?;
    answers.write_all(format!("{name}\n").as_bytes())?;
    loop {
        let mut line = String::new();
        if steps.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = hand.carry_out(&serde_json::from_str(&line)?);
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        answers.write_all(&line)?;
    }
}

struct Hand {
    below: PathBuf,
    path: PathBuf,
    root: OwnedFd,
    held: HashMap<Held, OwnedFd>,
    /// Files that are open for writing.
    written: HashMap<Held, u64>,
    nfs: bool,
}

type Outcome = rustix::io::Result<Answer>;

impl Hand {
    fn new(root: &Path, nfs: bool) -> io::Result<Hand> {
        rustix::process::umask(Mode::empty());
        Ok(Hand {
            below: root.to_owned(),
            path: root.to_owned(),
            root: open_folder(root)?,
            held: HashMap::new(),
            written: HashMap::new(),
            nfs,
        })
    }

    fn begin(&mut self, tree: &str, make: bool) -> Outcome {
        self.held.clear();
        self.written.clear();
        self.path = self.below.join(tree);
        if make {
            rustix::fs::mkdir(&self.path, Mode::from_bits_truncate(0o755))?;
        }
        self.root = open_folder(&self.path)?;
        Ok(Answer::Done)
    }

    fn carry_out(&mut self, step: &Step) -> Answer {
        let outcome = match step {
            Step::Open { held, at, flags, mode } => self.open(*held, at, flags, *mode),
            Step::Begin { tree, make } => self.begin(tree, *make),
            Step::Close { held } => {
                self.written.remove(held);
                self.held.remove(held).map(|_| Answer::Done).ok_or(Errno::BADF)
            }
            _ => self.without_change_of_hands(step),
        };
        outcome
            .unwrap_or_else(|errno| Answer::Failed(errno.raw_os_error(), io::Error::from(errno).to_string()))
    }

    fn without_change_of_hands(&self, step: &Step) -> Outcome {
        match step {
            Step::Begin { .. } | Step::Open { .. } | Step::Close { .. } => Err(Errno::INVAL),
            Step::Read { .. }
            | Step::Write { .. }
            | Step::Truncate { .. }
            | Step::TruncateAt { .. }
            | Step::Sync { .. }
            | Step::Allocate { .. }
            | Step::SeekData { .. }
            | Step::SeekHole { .. }
            | Step::Copy { .. }
            | Step::FirstData { .. }
            | Step::Show { .. } => self.data(step),
            Step::Lock { held, owned, mode, range } => {
                set_lock(self.fd(*held)?, *owned, *mode, *range).map(|()| Answer::Done)
            }
            Step::TestLock { held, owned, mode, range } => {
                test_lock(self.fd(*held)?, *owned, *mode, *range).map(Answer::InTheWay)
            }
            Step::Flock { held, mode } => {
                let operation = match mode {
                    LockMode::Shared => FlockOperation::NonBlockingLockShared,
                    LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
                    LockMode::Unlock => FlockOperation::Unlock,
                };
                rustix::fs::flock(self.fd(*held)?, operation).map(|()| Answer::Done)
            }
            Step::SetAttribute { .. }
            | Step::Attribute { .. }
            | Step::Attributes { .. }
            | Step::RemoveAttribute { .. } => self.attributes(step),
            _ => self.names(step),
        }
    }

    fn fd(&self, held: Held) -> rustix::io::Result<BorrowedFd<'_>> {
        self.held.get(&held).map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    fn base(&self, place: &Place) -> rustix::io::Result<BorrowedFd<'_>> {
        place.from.map_or(Ok(self.root.as_fd()), |held| self.fd(held))
    }

    fn open(&mut self, held: Held, at: &Place, flags: &[Flag], mode: u32) -> Outcome {
        let has = |flag| flags.contains(&flag);
        // A FIFO must not keep us.
        let mut wanted = OFlags::CLOEXEC | OFlags::NONBLOCK;
        wanted |= match (has(Flag::Read), has(Flag::Write)) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        for (flag, bit) in [
            (Flag::Create, OFlags::CREATE),
            (Flag::Exclusive, OFlags::EXCL),
            (Flag::Truncate, OFlags::TRUNC),
            (Flag::Append, OFlags::APPEND),
            (Flag::NoFollow, OFlags::NOFOLLOW),
            (Flag::Folder, OFlags::DIRECTORY),
            (Flag::Sync, OFlags::SYNC),
            (Flag::Direct, OFlags::DIRECT),
        ] {
            wanted.set(bit, has(flag));
        }
        // An NFS client does not ask for a size that the file has, and its time stays.
        if has(Flag::Truncate) {
            let empty = rustix::fs::statat(self.base(at)?, &at.path, AtFlags::empty())
                .is_ok_and(|stat| stat.st_size == 0);
            wanted.set(OFlags::TRUNC, !empty);
        }
        let opened = rustix::fs::openat(self.base(at)?, &at.path, wanted, Mode::from_bits_truncate(mode))?;
        if has(Flag::Write) {
            self.written.insert(held, rustix::fs::fstat(&opened)?.st_ino);
        }
        self.held.insert(held, opened);
        Ok(Answer::Done)
    }

    /// An NFS client takes all changes of a file that it has open for writing for its own, and its pages for true.
    fn forget(&self, fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
        if !self.nfs {
            return Ok(());
        }
        let stat = rustix::fs::fstat(fd)?;
        if self.written.values().any(|number| *number == stat.st_ino) {
            rustix::fs::fadvise(fd, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        Ok(())
    }

    /// As many bytes as there are, up to `length`.
    fn read(&self, fd: BorrowedFd<'_>, offset: u64, length: usize) -> rustix::io::Result<Vec<u8>> {
        self.forget(fd)?;
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match rustix::io::pread(fd, &mut bytes[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn data(&self, step: &Step) -> Outcome {
        match *step {
            Step::Read { held, offset, length } => {
                let bytes = self.read(self.fd(held)?, offset, length as usize)?;
                Ok(Answer::Bytes(bytes.len() as u64, bytes.chunks(BLOCK_BYTES).map(hash).collect()))
            }
            Step::Show { held, offset, length } => {
                Ok(Answer::Text(format!("{:02x?}", self.read(self.fd(held)?, offset, length as usize)?)))
            }
            Step::Write { held, offset, length, seed } => {
                let (fd, bytes) = (self.fd(held)?, content(seed, length));
                // An NFS client writes whole pages where it believes to know the bytes around ours.
                self.forget(fd)?;
                rustix::io::pwrite(fd, &bytes, offset).map(|count| Answer::Count(count as u64))
            }
            Step::Truncate { held, size } => {
                let fd = self.fd(held)?;
                // As above.
                if rustix::fs::fstat(fd)?.st_size as u64 == size {
                    return Ok(Answer::Count(size));
                }
                rustix::fs::ftruncate(fd, size).map(|()| Answer::Done)
            }
            Step::TruncateAt { ref at, size } => {
                rustix::fs::statat(self.base(at)?, &at.path, AtFlags::empty())?;
                let path = match at.from {
                    None => self.path.join(&at.path),
                    Some(_) => return Err(Errno::INVAL),
                };
                nix::unistd::truncate(&path, size as i64).map_err(errno)?;
                Ok(Answer::Done)
            }
            Step::Sync { held, data_only: true } => {
                rustix::fs::fdatasync(self.fd(held)?).map(|()| Answer::Done)
            }
            Step::Sync { held, .. } => rustix::fs::fsync(self.fd(held)?).map(|()| Answer::Done),
            Step::Allocate { held, how, offset, length } => {
                let flags = match how {
                    Allocating::Plain => FallocateFlags::empty(),
                    Allocating::KeepSize => FallocateFlags::KEEP_SIZE,
                    Allocating::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    Allocating::Zero => FallocateFlags::ZERO_RANGE,
                    Allocating::ZeroKeepSize => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
                };
                rustix::fs::fallocate(self.fd(held)?, flags, offset, length).map(|()| Answer::Done)
            }
            Step::SeekData { held, offset } => {
                rustix::fs::seek(self.fd(held)?, SeekFrom::Data(offset)).map(Answer::Count)
            }
            Step::SeekHole { held, offset } => {
                rustix::fs::seek(self.fd(held)?, SeekFrom::Hole(offset)).map(Answer::Count)
            }
            Step::Copy { from, mut from_offset, to, mut to_offset, length } => {
                let (from, to) = (self.fd(from)?, self.fd(to)?);
                self.forget(from)?;
                self.forget(to)?;
                // Linux ends a copy at the size that it knows, and does not ask for it.
                rustix::fs::fstat(from)?;
                let mut left = length;
                while left > 0 {
                    let (at, onto) = (Some(&mut from_offset), Some(&mut to_offset));
                    match rustix::fs::copy_file_range(from, at, to, onto, left as usize) {
                        Ok(0) => break,
                        Ok(count) => left -= count as u64,
                        Err(errno) if left == length => return Err(errno),
                        Err(_) => break,
                    }
                }
                Ok(Answer::Count(length - left))
            }
            Step::FirstData { held, offset } => {
                let fd = self.fd(held)?;
                let mut at = offset;
                loop {
                    let bytes = self.read(fd, at, LOOK_BYTES)?;
                    if let Some(first) = bytes.iter().position(|&byte| byte != 0) {
                        return Ok(Answer::Count(at + first as u64));
                    }
                    if bytes.len() < LOOK_BYTES {
                        return Err(Errno::NXIO);
                    }
                    at += bytes.len() as u64;
                }
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn names(&self, step: &Step) -> Outcome {
        let done = |()| Answer::Done;
        match step {
            Step::StatHeld { held } => {
                rustix::fs::fstat(self.fd(*held)?).map(|stat| Answer::Stat(seen(&stat)))
            }
            Step::Number { held } => {
                rustix::fs::fstat(self.fd(*held)?).map(|stat| Answer::Count(stat.st_ino))
            }
            Step::Where { held } => {
                let link = format!("/proc/self/fd/{}", self.fd(*held)?.as_raw_fd());
                let path = std::fs::read_link(link).map_err(|_| Errno::NOENT)?;
                let path = path.strip_prefix(&self.path).map_err(|_| Errno::NOENT)?;
                Ok(Answer::Text(path.to_string_lossy().into_owned()))
            }
            Step::Links { held } => {
                rustix::fs::fstat(self.fd(*held)?).map(|stat| Answer::Count(links(&stat)))
            }
            Step::Stat { at } => {
                let stat = rustix::fs::statat(self.base(at)?, &at.path, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(Answer::Stat(seen(&stat)))
            }
            Step::List { at } => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let folder = rustix::fs::openat(self.base(at)?, &at.path, flags, Mode::empty())?;
                let names = list(&folder)?.into_iter().map(|(name, stat)| (name, seen(&stat).kind));
                Ok(Answer::Names(names.collect()))
            }
            Step::MakeFolder { at, mode } => {
                rustix::fs::mkdirat(self.base(at)?, &at.path, Mode::from_bits_truncate(*mode)).map(done)
            }
            Step::MakeFifo { at, mode } => {
                let mode = Mode::from_bits_truncate(*mode);
                rustix::fs::mknodat(self.base(at)?, &at.path, FileType::Fifo, mode, 0).map(done)
            }
            Step::RemoveFolder { at } => {
                rustix::fs::unlinkat(self.base(at)?, &at.path, AtFlags::REMOVEDIR).map(done)
            }
            Step::Unlink { at } => rustix::fs::unlinkat(self.base(at)?, &at.path, AtFlags::empty()).map(done),
            Step::Rename { from, to, how } => {
                let flags = match how {
                    Renaming::Plain => RenameFlags::empty(),
                    Renaming::NoReplace => RenameFlags::NOREPLACE,
                    Renaming::Exchange => RenameFlags::EXCHANGE,
                };
                let (from_fd, to_fd) = (self.base(from)?, self.base(to)?);
                let rename = || rustix::fs::renameat_with(from_fd, &from.path, to_fd, &to.path, flags);
                let renamed = rename();
                if renamed != Err(Errno::STALE) {
                    return renamed.map(done);
                }
                // Linux does not find a folder that was moved behind it while it renames between folders.
                for (fd, path) in [(from_fd, &from.path), (to_fd, &to.path)] {
                    let _ = rustix::fs::statat(fd, path, AtFlags::SYMLINK_NOFOLLOW);
                }
                rename().map(done)
            }
            Step::Link { from, to } => {
                let (from_fd, to_fd) = (self.base(from)?, self.base(to)?);
                rustix::fs::linkat(from_fd, &from.path, to_fd, &to.path, AtFlags::empty()).map(done)
            }
            Step::Symlink { at, target } => {
                rustix::fs::symlinkat(target.as_str(), self.base(at)?, &at.path).map(done)
            }
            Step::ReadLink { at } => {
                let target = rustix::fs::readlinkat(self.base(at)?, &at.path, Vec::new())?;
                Ok(Answer::Text(target.to_string_lossy().into_owned()))
            }
            Step::Mode { at, mode } => {
                let mode = Mode::from_bits_truncate(*mode);
                rustix::fs::chmodat(self.base(at)?, &at.path, mode, AtFlags::empty()).map(done)
            }
            Step::ModeHeld { held, mode } => {
                rustix::fs::fchmod(self.fd(*held)?, Mode::from_bits_truncate(*mode)).map(done)
            }
            Step::Owner { at, uid, gid } => {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                rustix::fs::chownat(self.base(at)?, &at.path, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map(done)
            }
            Step::Modified { at, seconds, nanoseconds } => {
                let times = Timestamps {
                    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
                    last_modification: Timespec { tv_sec: *seconds, tv_nsec: *nanoseconds },
                };
                rustix::fs::utimensat(self.base(at)?, &at.path, &times, AtFlags::SYMLINK_NOFOLLOW).map(done)
            }
            Step::Tree { path } => self.tree(path).map(Answer::Tree),
            _ => Err(Errno::INVAL),
        }
    }

    fn attributes(&self, step: &Step) -> Outcome {
        match step {
            Step::SetAttribute { path, name, length, seed, create, replace } => {
                let mut flags = XattrFlags::empty();
                flags.set(XattrFlags::CREATE, *create);
                flags.set(XattrFlags::REPLACE, *replace);
                let value = content(*seed, *length);
                let path = self.path.join(path);
                rustix::fs::lsetxattr(path, name.as_str(), &value, flags).map(|()| Answer::Done)
            }
            Step::Attribute { path, name } => {
                let value = attribute(&self.path.join(path), name)?;
                Ok(Answer::Bytes(value.len() as u64, vec![hash(&value)]))
            }
            Step::Attributes { path } => Ok(Answer::Text(attributes(&self.path.join(path))?.join(" "))),
            Step::RemoveAttribute { path, name } => {
                rustix::fs::lremovexattr(self.path.join(path), name.as_str()).map(|()| Answer::Done)
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// All below `path`, by path.
    fn tree(&self, path: &str) -> rustix::io::Result<Vec<Entry>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let fd = rustix::fs::openat(&self.root, &folder, flags, Mode::empty())?;
            for (name, stat) in list(&fd)? {
                let path = format!("{folder}/{name}");
                if seen(&stat).kind == Kind::Folder {
                    folders.push(path.clone());
                }
                found.insert(path, stat);
            }
        }
        let mut first_paths = HashMap::new();
        for (path, stat) in &found {
            first_paths.entry(stat.st_ino).or_insert_with(|| path.clone());
        }
        let entry = |(path, stat): (&String, &Stat)| {
            let seen = seen(stat);
            let content = match seen.kind {
                Kind::File => Some(self.hash_of(path)?),
                Kind::Symlink => {
                    let target = rustix::fs::readlinkat(&self.root, path, Vec::new())?;
                    Some(target.to_string_lossy().into_owned())
                }
                _ => None,
            };
            let attributes = if matches!(seen.kind, Kind::File | Kind::Folder) {
                let at = self.path.join(path);
                let value = |name: String| attribute(&at, &name).map(|value| (name, hash(&value)));
                attributes(&at).map_or(Ok(Vec::new()), |names| names.into_iter().map(value).collect())?
            } else {
                Vec::new()
            };
            let same_as = first_paths[&stat.st_ino].clone();
            Ok(Entry { path: path.clone(), seen, content, attributes, same_as })
        };
        found.iter().map(entry).collect()
    }

    fn hash_of(&self, path: &str) -> rustix::io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.root, path, flags, Mode::empty())?;
        let mut hasher = DefaultHasher::new();
        let mut at = 0;
        loop {
            let bytes = self.read(file.as_fd(), at, LOOK_BYTES)?;
            bytes.hash(&mut hasher);
            at += bytes.len() as u64;
            if bytes.len() < LOOK_BYTES {
                return Ok(format!("{at} bytes, {:016x}", hasher.finish()));
            }
        }
    }
}

fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What is in a folder, by name.
fn list(folder: &OwnedFd) -> rustix::io::Result<Vec<(String, Stat)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "." || name == ".." {
            continue;
        }
        let stat = rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        let said = entry.file_type();
        if said != FileType::Unknown && said != FileType::from_raw_mode(stat.st_mode) {
            return Err(Errno::PROTO);
        }
        entries.push((name, stat));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

#[allow(clippy::unnecessary_cast, reason = "narrower on other machines")]
fn links(stat: &Stat) -> u64 {
    stat.st_nlink as u64
}

#[allow(clippy::unnecessary_cast, reason = "of another sign on other machines")]
fn seen(stat: &Stat) -> Seen {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        _ => Kind::Other,
    };
    Seen {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: matches!(kind, Kind::File | Kind::Symlink).then_some(stat.st_size as u64),
        links: (kind != Kind::Folder).then_some(links(stat)),
        modified: (stat.st_mtime < CLOCKS_FROM).then_some((stat.st_mtime, stat.st_mtime_nsec as u64)),
    }
}

fn attribute(path: &Path, name: &str) -> rustix::io::Result<Vec<u8>> {
    let mut value = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
    value.truncate(length);
    Ok(value)
}

/// The names of the attributes that users set, sorted.
fn attributes(path: &Path) -> rustix::io::Result<Vec<String>> {
    let mut names = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = rustix::fs::llistxattr(path, &mut names[..])?;
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    let mut names: Vec<String> =
        names.split('\0').filter(|name| name.starts_with("user.")).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

fn errno(errno: nix::Error) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

fn flock_of(mode: LockMode, range: LockRange) -> libc::flock {
    let kind = match mode {
        LockMode::Shared => libc::F_RDLCK,
        LockMode::Exclusive => libc::F_WRLCK,
        LockMode::Unlock => libc::F_UNLCK,
    };
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: range.start,
        l_len: range.length,
        l_pid: 0,
    }
}

fn set_lock(
    fd: BorrowedFd<'_>,
    owned: LockOwned,
    mode: LockMode,
    range: LockRange,
) -> rustix::io::Result<()> {
    let wanted = flock_of(mode, range);
    let call = match owned {
        LockOwned::Process => FcntlArg::F_SETLK(&wanted),
        LockOwned::OpenFile => FcntlArg::F_OFD_SETLK(&wanted),
    };
    match fcntl(fd, call) {
        Ok(_) => Ok(()),
        // Both mean that a lock is in the way (fcntl(2)).
        Err(nix::Error::EACCES) => Err(Errno::AGAIN),
        Err(other) => Err(errno(other)),
    }
}

fn test_lock(
    fd: BorrowedFd<'_>,
    owned: LockOwned,
    mode: LockMode,
    range: LockRange,
) -> rustix::io::Result<Option<(bool, LockRange)>> {
    let mut wanted = flock_of(mode, range);
    let call = match owned {
        LockOwned::Process => FcntlArg::F_GETLK(&mut wanted),
        LockOwned::OpenFile => FcntlArg::F_OFD_GETLK(&mut wanted),
    };
    fcntl(fd, call).map_err(errno)?;
    if i32::from(wanted.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    let found = LockRange { start: wanted.l_start, length: wanted.l_len };
    Ok(Some((i32::from(wanted.l_type) == libc::F_RDLCK, found)))
}
