//! For simulations: a log in memory, and a file system for the real one that loses power when told: content in
//! memory, names also in a real folder, because the engine lists that.
//!
//! Every operation is a step. At a chosen step the state is set aside as what the power cut left;
//! the running log goes on in vain: no later sync succeeds, so nothing later is acknowledged.
//! [`SimFiles::after_crash`] then makes what a restart finds, under a chosen [`Fate`].

mod memory;

pub use memory::{LogFaults, SimLog};

use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What becomes of changes that were not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// None reached the disk.
    Lost,
    /// All did.
    Kept,
    /// Some did, sector by sector, as this seed says.
    Torn(u64),
}

/// Unit in which a disk writes or does not.
const SECTOR: usize = 512;

/// Content of files by name. Clones are the same file system.
#[derive(Clone, Default)]
pub struct SimFiles(Arc<(Mutex<Disk>, Condvar)>);

#[derive(Default)]
struct Disk {
    live: State,
    steps: u64,
    crash_at: Option<u64>,
    /// What the power cut left.
    left: Option<State>,
    /// What there was before each step, if that is wanted.
    kept: Option<Vec<State>>,
    held: bool,
}

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<File>,
    unsynced_names: Vec<NameChange>,
}

#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone)]
enum NameChange {
    Created { name: String, file: usize },
    Deleted { name: String, file: usize },
    Renamed { from: String, to: String, file: usize },
}

impl NameChange {
    fn file(&self) -> usize {
        match self {
            NameChange::Created { file, .. }
            | NameChange::Deleted { file, .. }
            | NameChange::Renamed { file, .. } => *file,
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>, mut reaches: impl FnMut() -> bool) {
        match self {
            Change::Length(length) => {
                if reaches() {
                    content.resize(*length, 0);
                }
            }
            Change::Write { at, bytes } => {
                let mut done = 0;
                while done < bytes.len() {
                    let from = at + done;
                    let part = (SECTOR - from % SECTOR).min(bytes.len() - done);
                    if reaches() {
                        if content.len() < from + part {
                            content.resize(from + part, 0);
                        }
                        content[from..from + part].copy_from_slice(&bytes[done..done + part]);
                    }
                    done += part;
                }
            }
        }
    }
}

impl Disk {
    /// Counts an operation; whether the power is still on after it.
    fn step(&mut self) -> bool {
        if self.left.is_none() && self.crash_at == Some(self.steps) {
            self.left = Some(self.live.clone());
        }
        if let Some(kept) = &mut self.kept {
            kept.push(self.live.clone());
        }
        self.steps += 1;
        self.left.is_none()
    }

    fn change(&mut self, file: usize, change: Change) {
        self.step();
        let file = &mut self.live.files[file];
        change.apply(&mut file.now, || true);
        file.unsynced.push(change);
    }

    fn find(&self, path: &Path) -> Result<(String, usize)> {
        let name = name_of(path)?;
        let file = self.live.names.get(&name).copied().ok_or(ErrorKind::NotFound)?;
        Ok((name, file))
    }
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|n| n.to_str()).ok_or(ErrorKind::InvalidInput)?;
    Ok(name.to_owned())
}

impl SimFiles {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.disk().steps
    }

    /// Cuts the power right before the operation with this number, counted from 0.
    pub fn crash_at(&self, step: u64) {
        self.disk().crash_at = Some(step);
    }

    /// Makes every sync wait until [`SimFiles::release`]: a drive that does not answer.
    pub fn hold(&self) {
        self.disk().held = true;
    }

    /// Lets the syncs go that wait.
    pub fn release(&self) {
        self.disk().held = false;
        self.0.1.notify_all();
    }

    /// From now on keeps what there is before each step.
    pub fn keep_all(&self) {
        self.disk().kept = Some(Vec::new());
    }

    /// What a power cut would have found before each step since [`SimFiles::keep_all`], and would find now.
    #[must_use]
    pub fn take_all(&self) -> Vec<SimFiles> {
        let mut disk = self.disk();
        let mut kept = disk.kept.take().unwrap_or_default();
        kept.push(disk.live.clone());
        let files = |live| SimFiles(Arc::new((Mutex::new(Disk { live, ..Disk::default() }), Condvar::new())));
        kept.into_iter().map(files).collect()
    }

    /// Whether there is anything that was not synced.
    #[must_use]
    pub fn is_unsynced(&self) -> bool {
        let live = &self.disk().live;
        !live.unsynced_names.is_empty() || live.files.iter().any(|file| !file.unsynced.is_empty())
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.disk().left.is_some()
    }

    /// What a restart finds in the empty folder `dir`. Without a crash so far, the power goes now.
    ///
    /// # Errors
    /// Those of making names in `dir`.
    pub fn after_crash(&self, dir: &Path, fate: Fate) -> Result<SimFiles> {
        let left = {
            let disk = self.disk();
            disk.left.clone().unwrap_or_else(|| disk.live.clone())
        };
        let mut seed = match fate {
            Fate::Torn(seed) => seed,
            Fate::Lost | Fate::Kept => 0,
        };
        let mut reaches = move || match fate {
            Fate::Lost => false,
            Fate::Kept => true,
            Fate::Torn(_) => {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed >> 63 == 1
            }
        };
        let mut names = left.names;
        for change in left.unsynced_names.iter().rev() {
            if reaches() {
                continue;
            }
            match change {
                NameChange::Created { name, file } => {
                    names.retain(|n, f| n != name || f != file);
                }
                NameChange::Deleted { name, file } => {
                    names.entry(name.clone()).or_insert(*file);
                }
                NameChange::Renamed { from, to, file } => {
                    if names.get(to) == Some(file) {
                        names.remove(to);
                        names.entry(from.clone()).or_insert(*file);
                    }
                }
            }
        }
        let mut after = State::default();
        for (name, file) in names {
            let mut content = left.files[file].synced.clone();
            for change in &left.files[file].unsynced {
                change.apply(&mut content, &mut reaches);
            }
            std::fs::write(dir.join(&name), b"")?;
            after.names.insert(name, after.files.len());
            after.files.push(File { synced: content.clone(), now: content, unsynced: Vec::new() });
        }
        let disk = Disk { live: after, ..Disk::default() };
        Ok(SimFiles(Arc::new((Mutex::new(disk), Condvar::new()))))
    }

    /// Flips a bit of a file's content; for tests of what a bad disk does.
    pub fn flip(&self, name: &str, byte: usize) {
        let mut disk = self.disk();
        if let Some(file) = disk.live.names.get(name).copied() {
            for content in [true, false] {
                let file = &mut disk.live.files[file];
                let content = if content { &mut file.now } else { &mut file.synced };
                if let Some(byte) = content.get_mut(byte) {
                    *byte ^= 0x10;
                }
            }
        }
    }

    /// The names and sizes of files.
    #[must_use]
    pub fn list(&self) -> Vec<(String, usize)> {
        let disk = self.disk();
        let size = |file: &usize| disk.live.files[*file].now.len();
        disk.live.names.iter().map(|(name, file)| (name.clone(), size(file))).collect()
    }
}

/// An open file.
pub struct SimHandle {
    files: SimFiles,
    file: usize,
}

/// A place in an open file.
pub struct SimCursor {
    files: SimFiles,
    file: usize,
    at: usize,
}

impl Handle for SimHandle {
    fn truncate(&self, offset: usize) -> Result<()> {
        self.files.disk().change(self.file, Change::Length(offset));
        Ok(())
    }

    fn file_size(&self) -> Result<usize> {
        Ok(self.files.disk().live.files[self.file].now.len())
    }

    fn sync(&self) -> Result<()> {
        let mut disk = self.files.disk();
        while disk.held {
            disk = self.files.0.1.wait(disk).unwrap_or_else(PoisonError::into_inner);
        }
        if !disk.step() {
            return Err(Error::other("the power is gone"));
        }
        let id = self.file;
        let file = &mut disk.live.files[id];
        file.synced = file.now.clone();
        file.unsynced.clear();
        // As file systems do: a file that was synced also has its name.
        disk.live.unsynced_names.retain(|change| change.file() != id);
        Ok(())
    }
}

impl Read for SimCursor {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let disk = self.files.disk();
        let content = disk.live.files[self.file].now.get(self.at..).unwrap_or_default();
        let count = content.len().min(buf.len());
        buf[..count].copy_from_slice(&content[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for SimCursor {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        let change = Change::Write { at: self.at, bytes: buf.to_vec() };
        self.files.disk().change(self.file, change);
        self.at += buf.len();
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Seek for SimCursor {
    fn seek(&mut self, pos: SeekFrom) -> Result<u64> {
        let length = self.files.disk().live.files[self.file].now.len();
        let at = match pos {
            SeekFrom::Start(at) => i64::try_from(at).ok(),
            SeekFrom::Current(by) => i64::try_from(self.at).ok().and_then(|a| a.checked_add(by)),
            SeekFrom::End(by) => i64::try_from(length).ok().and_then(|l| l.checked_add(by)),
        };
        self.at = at.and_then(|at| usize::try_from(at).ok()).ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at as u64)
    }
}

impl WriteExt for SimCursor {
    fn truncate(&mut self, offset: usize) -> Result<()> {
        self.files.disk().change(self.file, Change::Length(offset));
        self.at = offset;
        Ok(())
    }

    fn allocate(&mut self, offset: usize, size: usize) -> Result<()> {
        let mut disk = self.files.disk();
        let length = disk.live.files[self.file].now.len().max(offset + size);
        disk.change(self.file, Change::Length(length));
        Ok(())
    }
}

impl FileSystem for SimFiles {
    type Handle = SimHandle;
    type Reader = SimCursor;
    type Writer = SimCursor;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<SimHandle> {
        let name = name_of(path.as_ref())?;
        std::fs::write(path, b"")?;
        let mut disk = self.disk();
        disk.step();
        let file = match disk.live.names.get(&name) {
            Some(file) => *file,
            None => {
                let file = disk.live.files.len();
                disk.live.files.push(File::default());
                disk.live.names.insert(name.clone(), file);
                disk.live.unsynced_names.push(NameChange::Created { name, file });
                file
            }
        };
        Ok(SimHandle { files: self.clone(), file })
    }

    fn open<P: AsRef<Path>>(&self, path: P, _perm: Permission) -> Result<SimHandle> {
        let (_, file) = self.disk().find(path.as_ref())?;
        Ok(SimHandle { files: self.clone(), file })
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        let mut disk = self.disk();
        let (name, file) = disk.find(path.as_ref())?;
        disk.step();
        disk.live.names.remove(&name);
        disk.live.unsynced_names.push(NameChange::Deleted { name, file });
        std::fs::remove_file(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        let mut disk = self.disk();
        let (name, file) = disk.find(from.as_ref())?;
        let new = name_of(to.as_ref())?;
        disk.step();
        disk.live.names.remove(&name);
        disk.live.names.insert(new.clone(), file);
        disk.live.unsynced_names.push(NameChange::Renamed { from: name, to: new, file });
        std::fs::rename(from, to)
    }

    fn new_reader(&self, handle: Arc<SimHandle>) -> Result<SimCursor> {
        Ok(SimCursor { files: self.clone(), file: handle.file, at: 0 })
    }

    fn new_writer(&self, handle: Arc<SimHandle>) -> Result<SimCursor> {
        Ok(SimCursor { files: self.clone(), file: handle.file, at: 0 })
    }
}
