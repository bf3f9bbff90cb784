//! Work that a server which dies and comes back must not disturb: no step may fail, no lock may be held twice, no
//! open file may be lost.

use crate::workload::{WorkloadError, content, failed};
use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Blocks that an unlinked file grows to before another takes its place.
const ORPHAN_BLOCKS: u64 = 60;
const BLOCK_BYTES: u64 = 700;
/// Between two tries for a lock that others want too.
const PAUSE: Duration = Duration::from_millis(3);

/// What to do again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// Adds one to the number in the file `counter`, under a lock: with several workers every step counts once.
    Count,
    /// Makes, links, renames and removes, each of which fails when it is done twice.
    Names,
    /// Writes to and reads from an open file that has no name.
    Orphan,
    /// Holds a lock on the file `held` from the first step to the last.
    Hold,
    /// Asks for the lock on `held`, and must not get it.
    Probe,
}

/// Does the step of this number.
type Step<'a> = Box<dyn FnMut(u64) -> Result<(), WorkloadError> + 'a>;

/// One worker.
#[derive(Clone, Debug)]
pub struct Steady {
    /// What it does.
    pub task: Task,
    /// Where; workers of one folder count together.
    pub folder: PathBuf,
    /// Gets two bytes for each step that is done.
    pub log: PathBuf,
    /// Tells names of this worker from those of others in the folder.
    pub name: String,
    /// It ends when this is there.
    pub until: PathBuf,
}

impl Steady {
    /// Works until told to end.
    ///
    /// # Errors
    /// The first step that fails: none should.
    pub fn run(&self) -> Result<(), WorkloadError> {
        fs::create_dir_all(&self.folder).map_err(failed(self.folder.display()))?;
        let flags = i32::try_from(OFlags::SYNC.bits()).unwrap_or_default();
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .custom_flags(flags)
            .open(&self.log)
            .map_err(failed(self.log.display()))?;
        let mut step = self.begin()?;
        for number in 0.. {
            if self.until.exists() {
                return Ok(());
            }
            step(number)?;
            log.write_all(b"A\n").map_err(failed(self.log.display()))?;
        }
        Ok(())
    }

    fn begin(&self) -> Result<Step<'_>, WorkloadError> {
        let path = |name: &str| self.folder.join(name);
        Ok(match self.task {
            Task::Count => {
                let file = open(&path("counter"))?;
                Box::new(move |_| count(&file))
            }
            Task::Names => Box::new(|number| self.names(number)),
            Task::Orphan => {
                let mut orphan: Option<(File, u64)> = None;
                Box::new(move |number| {
                    let (file, born) = match orphan.take() {
                        Some(orphan) => orphan,
                        None => (self.orphan(number)?, number),
                    };
                    grow(&file, number - born, born)?;
                    orphan = (number - born < ORPHAN_BLOCKS).then_some((file, born));
                    Ok(())
                })
            }
            Task::Hold => {
                let file = open(&path("held"))?;
                fcntl_lock(&file, FlockOperation::LockExclusive).map_err(of_lock("hold"))?;
                Box::new(move |number| grow(&file, number % 8, number - number % 8))
            }
            Task::Probe => {
                let file = open(&path("held"))?;
                Box::new(move |_| match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Err(Errno::AGAIN | Errno::ACCESS) => Ok(()),
                    Err(error) => Err(of_lock("probe")(error)),
                    Ok(()) => Err(WorkloadError::Wrong("a lock that is held was granted".to_owned())),
                })
            }
        })
    }

    fn names(&self, number: u64) -> Result<(), WorkloadError> {
        let path = |what: &str| self.folder.join(format!("{}-{what}-{number}", self.name));
        let (made, linked, moved, folder) = (path("made"), path("linked"), path("moved"), path("folder"));
        let file = OpenOptions::new().write(true).create_new(true).open(&made).map_err(failed("create"))?;
        file.write_all_at(b"x", 0).map_err(failed("write"))?;
        drop(file);
        fs::create_dir(&folder).map_err(failed("mkdir"))?;
        fs::hard_link(&made, &linked).map_err(failed("link"))?;
        fs::rename(&linked, folder.join("moved")).map_err(failed("rename into"))?;
        fs::rename(folder.join("moved"), &moved).map_err(failed("rename out of"))?;
        std::os::unix::fs::symlink("x", folder.join("symlink")).map_err(failed("symlink"))?;
        fs::remove_file(folder.join("symlink")).map_err(failed("unlink of a symlink"))?;
        fs::remove_file(&made).map_err(failed("unlink"))?;
        fs::remove_file(&moved).map_err(failed("unlink of the last name"))?;
        fs::remove_dir(&folder).map_err(failed("rmdir"))
    }

    fn orphan(&self, number: u64) -> Result<File, WorkloadError> {
        let path = self.folder.join(format!("{}-orphan-{number}", self.name));
        let file = open(&path)?;
        fs::remove_file(path).map_err(failed("unlink of an open file"))?;
        Ok(file)
    }
}

/// The number that counting workers have reached.
///
/// # Errors
/// When it cannot be read.
pub fn counted(folder: &Path) -> io::Result<u64> {
    number_in(&File::open(folder.join("counter"))?)
}

fn open(path: &Path) -> Result<File, WorkloadError> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    options.map_err(failed(path.display()))
}

fn of_lock(what: &'static str) -> impl Fn(Errno) -> WorkloadError {
    move |error| failed(what)(error.into())
}

fn number_in(file: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    match file.read_at(&mut bytes, 0)? {
        0 => Ok(0),
        8 => Ok(u64::from_le_bytes(bytes)),
        n => Err(io::Error::other(format!("a number of {n} bytes"))),
    }
}

fn count(file: &File) -> Result<(), WorkloadError> {
    // An NFS client that waits in the kernel asks so seldom that the others would starve it.
    loop {
        match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::AGAIN | Errno::ACCESS) => std::thread::sleep(PAUSE),
            Err(error) => return Err(of_lock("lock")(error)),
        }
    }
    let number = number_in(file).map_err(failed("read under a lock"))?;
    file.write_all_at(&(number + 1).to_le_bytes(), 0).map_err(failed("write under a lock"))?;
    file.sync_all().map_err(failed("sync under a lock"))?;
    fcntl_lock(file, FlockOperation::Unlock).map_err(of_lock("unlock"))?;
    std::thread::sleep(PAUSE);
    Ok(())
}

/// Adds block number `at` of the content of `seed`, and reads all that is there.
fn grow(file: &File, at: u64, seed: u64) -> Result<(), WorkloadError> {
    let expected = content(seed, (at + 1) * BLOCK_BYTES);
    let offset = at * BLOCK_BYTES;
    file.write_all_at(&expected[offset as usize..], offset).map_err(failed("write"))?;
    file.sync_all().map_err(failed("sync"))?;
    let mut found = vec![0; expected.len()];
    file.read_exact_at(&mut found, 0).map_err(failed("read"))?;
    if found != expected {
        return Err(WorkloadError::Wrong(format!("block {at} of {seed} is not what was written")));
    }
    Ok(())
}
