//! One worker: draws operations, does them, and says before and after each what it does.

use super::history::{Act, Kind, Line, Object, Outcome, now};
use super::models::NAMES;
use super::places::{How, Places, Way};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use suites::Random;

/// Files whose blocks are written; who enters with defaults only reads the first.
pub(super) const DATA: [&str; 2] = ["d0", "d1"];
pub(super) const SIZE: &str = "s";
pub(super) const CUT: &str = "c";
pub(super) const LOG: &str = "l";
pub(super) const COUNTER: &str = "n";
/// Blocks of a file that is written at random.
pub(super) const BLOCKS: u64 = 4;
/// A mount that is not there for so long does not come back.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);
/// Operations between two looks whether there is a next generation, or an end.
const LOOKS_EACH: u64 = 8;

/// What one worker does.
#[derive(Clone, Debug)]
pub struct CoherenceWorker {
    /// How it enters.
    pub way: Way,
    /// The root of the mount.
    pub root: PathBuf,
    /// Where it says what it does, with what others need to tell it: `gen-N` when the generation N begins, `stop` at
    /// the end.
    pub job: PathBuf,
    /// Below 65,536, and no other's; another one in each of its lives. Its log is called so.
    pub number: u32,
    /// Decides, with its number, what it does.
    pub seed: u64,
    /// Whether its log must outlive the kernel.
    pub synced: bool,
}

/// Where the worker of that number says what it does.
pub(super) fn log_of(job: &Path, number: u32) -> PathBuf {
    job.join(format!("{number}.log"))
}

struct Work<'a> {
    worker: &'a CoherenceWorker,
    log: File,
    random: Random,
    generation: u32,
    places: Places,
    /// Numbers what is written.
    next: u64,
}

impl CoherenceWorker {
    /// Works until it is told to stop.
    ///
    /// # Errors
    /// When it cannot: never because of what an operation says.
    pub fn run(&self) -> io::Result<()> {
        let flags = if self.synced { OFlags::SYNC } else { OFlags::empty() };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(log_of(&self.job, self.number))?;
        let generation = self.generation_after(0);
        let places = self.enter(generation)?;
        let random = Random::new(self.seed << 16 | u64::from(self.number));
        let mut work = Work { worker: self, log, random, generation, places, next: 0 };
        for count in 1.. {
            if count % LOOKS_EACH == 0 {
                if self.job.join("stop").exists() {
                    return Ok(());
                }
                let generation = self.generation_after(work.generation);
                if generation != work.generation {
                    work.places = self.enter(generation)?;
                    work.generation = generation;
                }
            }
            work.step()?;
        }
        Ok(())
    }

    fn generation_after(&self, mut generation: u32) -> u32 {
        while self.job.join(format!("gen-{}", generation + 1)).exists() {
            generation += 1;
        }
        generation
    }

    /// Waits for a mount that was killed.
    fn enter(&self, generation: u32) -> io::Result<Places> {
        let start = Instant::now();
        loop {
            match Places::enter(self.way, &self.root, generation) {
                Ok(places) => return Ok(places),
                Err(error) if start.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

impl Work<'_> {
    fn say(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.log.write_all(&text)
    }

    fn step(&mut self) -> io::Result<()> {
        match self.random.below(100) {
            0..45 => self.on_block(),
            45..58 => self.on_size(),
            58..68 if self.worker.way != Way::Defaults => self.on_cut(),
            68..73 if self.worker.way != Way::Defaults => self.on_log(),
            73..76 => self.on_object(Kind::Counter, Act::Add, |places| places.add(COUNTER)),
            76..100 => self.on_names(),
            _ => self.on_block(),
        }
    }

    /// Does one operation, between what is said of it.
    fn on_object(
        &mut self,
        kind: Kind,
        act: Act,
        does: impl FnOnce(&mut Places) -> rustix::io::Result<Outcome>,
    ) -> io::Result<()> {
        let object = Object { generation: self.generation, kind };
        self.say(&Line::Began(now(), object, act))?;
        let outcome = does(&mut self.places);
        let at = now();
        let failed = outcome.as_ref().err().copied();
        let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(error.raw_os_error()));
        self.say(&Line::Ended(at, outcome))?;
        let is_usual = [Errno::NOENT, Errno::EXIST, Errno::STALE, Errno::AGAIN, Errno::ACCESS];
        if failed.is_some_and(|error| !is_usual.contains(&error)) {
            self.places = self.worker.enter(self.generation)?;
        }
        Ok(())
    }

    fn how(&mut self) -> How {
        match self.worker.way {
            Way::Fuse => self.random.pick(&[How::Pages, How::Pages, How::Direct, How::Synced]),
            Way::Strict => How::Direct,
            Way::Defaults => How::Pages,
        }
    }

    /// Never used before, nor later.
    fn tag(&mut self) -> u64 {
        self.next += 1;
        u64::from(self.worker.number) << 32 | self.next
    }

    fn on_block(&mut self) -> io::Result<()> {
        let (file, block) = (self.random.below(2) as u8, self.random.below(BLOCKS) as u8);
        let (kind, name, how) = (Kind::Block { file, block }, DATA[file as usize], self.how());
        let reads_only = self.worker.way == Way::Defaults && file == 0;
        if self.random.chance(5) {
            self.places.let_go(name);
        }
        if reads_only || self.random.chance(60) {
            return self
                .on_object(kind, Act::Read { block }, |places| places.read(name, how, block, reads_only));
        }
        let tag = self.tag();
        self.on_object(kind, Act::Write { block, tag }, |places| places.write(name, how, block, tag))
    }

    fn on_size(&mut self) -> io::Result<()> {
        if self.random.chance(60) {
            let stat = |places: &mut Places| places.size(SIZE).map(Outcome::Number);
            return self.on_object(Kind::Size, Act::Stat, stat);
        }
        // As unique as a tag, and no more than a file can have.
        let size = u64::from(self.worker.number) << 24 | (self.tag() & 0xff_ffff);
        self.on_object(Kind::Size, Act::Truncate { size }, |places| places.truncate(SIZE, size))
    }

    fn on_cut(&mut self) -> io::Result<()> {
        let (block, how) = (self.random.below(BLOCKS) as u8, self.how());
        match self.random.below(10) {
            0..4 => {
                self.on_object(Kind::Cut, Act::Read { block }, |places| places.read(CUT, how, block, false))
            }
            4..6 => self.on_object(Kind::Cut, Act::Stat, |places| places.size(CUT).map(Outcome::Number)),
            // An NFS client does not ask for a size that it believes the file to have.
            6..8 if self.worker.way == Way::Fuse => {
                let size = self.random.below(BLOCKS + 1) * super::history::BLOCK_BYTES as u64;
                self.on_object(Kind::Cut, Act::Truncate { size }, |places| places.truncate(CUT, size))
            }
            _ => {
                let tag = self.tag();
                let write = |places: &mut Places| places.write(CUT, how, block, tag);
                self.on_object(Kind::Cut, Act::Write { block, tag }, write)
            }
        }
    }

    fn on_log(&mut self) -> io::Result<()> {
        let (how, block) = (self.how(), self.random.below(2 * BLOCKS) as u8);
        match self.random.below(4) {
            // Where an NFS client appends it has asked before.
            0..2 if self.worker.way == Way::Fuse => {
                let tag = self.tag();
                let append = |places: &mut Places| places.append(LOG, how == How::Synced, tag);
                self.on_object(Kind::Log, Act::Append { tag }, append)
            }
            2 => self.on_object(Kind::Log, Act::Stat, |places| places.size(LOG).map(Outcome::Number)),
            _ => self.on_object(Kind::Log, Act::Read { block }, |places| places.read(LOG, how, block, false)),
        }
    }

    fn on_names(&mut self) -> io::Result<()> {
        let (name, to) = (self.random.below(NAMES as u64) as u8, self.random.below(NAMES as u64) as u8);
        match self.random.below(24) {
            0..5 => self.on_object(Kind::Names, Act::Create { name }, |places| places.create(name)),
            5..9 => self.on_object(Kind::Names, Act::Unlink { name }, |places| places.unlink(name)),
            9..13 => {
                self.on_object(Kind::Names, Act::Rename { from: name, to }, |places| places.rename(name, to))
            }
            13..16 => match self.places.find(name) {
                Ok((found, number)) => {
                    let link = |places: &mut Places| places.link(&found, to);
                    self.on_object(Kind::Names, Act::Link { number, to }, link)
                }
                Err(_) => Ok(()),
            },
            16..21 => self.on_object(Kind::Names, Act::Lookup { name }, |places| places.lookup(name)),
            _ => self.on_object(Kind::Names, Act::List, |places| places.list()),
        }
    }
}
