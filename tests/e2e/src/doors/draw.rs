//! Draws steps from a seed: few names and small offsets, so that steps meet.

use super::step::{Allocating, Flag, Held, Kind, LockMode, LockOwned, LockRange, Place, Renaming, Step};
use crate::power::Door;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use suites::Random;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const ATTRIBUTES: [&str; 4] = ["user.a", "user.b", "user.c", "user.long-name-of-an-attribute"];
const HELD_MAX: usize = 8;
/// Folders below one another in which things are made.
const DEPTH_MAX: usize = 3;
const FILE_BYTES_MAX: u64 = 3 << 20;
/// Within stripes, chunks, blocks and what is small enough to travel with a command, and beside their edges.
const EDGES: [u64; 7] = [0, 4096, 8192, 16_384, 65_536, 131_072, 1 << 20];
const FILE_MODES: [u32; 6] = [0o644, 0o600, 0o755, 0o4755, 0o2755, 0o444];
const FOLDER_MODES: [u32; 4] = [0o755, 0o700, 0o2775, 0o1777];
const TIMES: [(i64, i64); 4] =
    [(1, 0), (999_999_999, 999_999_999), (946_684_800, 123_456_789), (-2, 500_000_000)];

/// Which of the locks that do not know of one another a file is used with. Through NFS, flock(2) is a lock on all
/// bytes of the file; through FUSE and on local file systems it is a world of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Locking {
    Ranges,
    Whole(Door),
}

#[derive(Clone, Debug)]
struct Open {
    reads: bool,
    writes: bool,
    kind: Kind,
    number: u64,
}

/// Draws steps for both doors.
#[derive(Debug)]
pub(crate) struct Draw {
    random: Random,
    /// The tree of the twins.
    reference: PathBuf,
    /// Whether NFS has what minor version 2 brought.
    has_minor_2: bool,
    open: [BTreeMap<Held, Open>; 2],
    locking: HashMap<u64, Locking>,
}

impl Draw {
    pub(crate) fn new(seed: u64, reference: &Path, has_minor_2: bool) -> Draw {
        Draw {
            random: Random::new(seed),
            reference: reference.to_owned(),
            has_minor_2,
            open: [BTreeMap::new(), BTreeMap::new()],
            locking: HashMap::new(),
        }
    }

    /// The next step, and whose it is.
    ///
    /// # Errors
    /// When the reference cannot be listed.
    pub(crate) fn next(&mut self) -> io::Result<(Door, Step)> {
        let there = everything(&self.reference)?;
        let door = self.random.pick(&[Door::Fuse, Door::Nfs]);
        loop {
            if let Some(step) = self.draw(door, &there) {
                return Ok((door, step));
            }
        }
    }

    /// A file is open: which one.
    pub(crate) fn opened(&mut self, door: Door, held: Held, flags: &[Flag], kind: Kind, number: u64) {
        let has = |flag| flags.contains(&flag);
        let open = Open { reads: has(Flag::Read), writes: has(Flag::Write), kind, number };
        self.open[index(door)].insert(held, open);
    }

    /// It is not any more.
    pub(crate) fn closed(&mut self, door: Door, held: Held) {
        self.open[index(door)].remove(&held);
    }

    fn draw(&mut self, door: Door, there: &[Thing]) -> Option<Step> {
        let weight = self.random.below(158);
        let extended = door == Door::Fuse || self.has_minor_2;
        Some(match weight {
            0..14 => return self.open(door, there),
            14..22 => Step::Close { held: self.held(door, |_| true)? },
            22..36 => {
                let (offset, length) = (self.offset(), self.length());
                Step::Read { held: self.held(door, |open| open.reads)?, offset, length }
            }
            36..51 => {
                let (offset, length, seed) = (self.offset(), self.length(), self.random.next());
                Step::Write { held: self.held(door, |open| open.writes)?, offset, length, seed }
            }
            51..55 => Step::Truncate { held: self.held(door, |open| open.writes)?, size: self.offset() },
            55..57 => {
                let size = self.offset();
                Step::TruncateAt { at: here(self.path(there, &[Kind::File, Kind::Symlink])), size }
            }
            57..60 => Step::Sync { held: self.held(door, |_| true)?, data_only: self.random.chance(50) },
            60..67 => Step::Stat { at: self.place(door, there, &[Kind::File]) },
            67..72 => Step::StatHeld { held: self.held(door, |_| true)? },
            72..76 => Step::List { at: self.place(door, there, &[Kind::Folder]) },
            76..81 => {
                Step::MakeFolder { at: self.fresh_place(door, there), mode: self.random.pick(&FOLDER_MODES) }
            }
            81..84 => Step::RemoveFolder { at: self.place(door, there, &[Kind::Folder]) },
            84..91 => Step::Unlink { at: self.place(door, there, &[Kind::File, Kind::Symlink, Kind::Fifo]) },
            91..100 => return self.rename(door, there),
            100..104 => {
                let from = self.place(door, there, &[Kind::File]);
                Step::Link { from, to: self.fresh_place(door, there) }
            }
            104..106 => {
                let target = if self.random.chance(70) { self.path(there, &[]) } else { ".".to_owned() };
                Step::Symlink { at: self.fresh_place(door, there), target }
            }
            106..108 => Step::ReadLink { at: self.place(door, there, &[Kind::Symlink]) },
            108..111 => {
                let mode = self.random.pick(&FILE_MODES);
                Step::Mode { at: self.place(door, there, &[Kind::File, Kind::Folder]), mode }
            }
            111 => Step::ModeHeld { held: self.held(door, |_| true)?, mode: self.random.pick(&FILE_MODES) },
            112..114 => {
                let ids = [None, Some(0), Some(1000), Some(1001)];
                let (uid, gid) = (self.random.pick(&ids), self.random.pick(&ids));
                // A change of nobody takes setuid away too, but an NFS client has nothing to ask for.
                let gid = if uid.is_none() { gid.or(Some(0)) } else { gid };
                Step::Owner { at: self.place(door, there, &[Kind::File, Kind::Folder]), uid, gid }
            }
            114..118 => {
                let (seconds, nanoseconds) = self.random.pick(&TIMES);
                Step::Modified { at: self.place(door, there, &[Kind::File]), seconds, nanoseconds }
            }
            118..126 if extended => self.attribute(there),
            126..130 if extended => {
                let (offset, length) = (self.offset(), self.length());
                Step::Allocate {
                    held: self.held(door, |open| open.writes)?,
                    how: self.allocating(door),
                    offset,
                    length,
                }
            }
            130..132 => {
                let (held, offset) =
                    (self.held(door, |open| open.reads && open.kind == Kind::File)?, self.offset());
                if self.random.chance(50) {
                    Step::SeekData { held, offset }
                } else {
                    Step::SeekHole { held, offset }
                }
            }
            132..136 => {
                let (from_offset, to_offset, length) = (self.offset(), self.offset(), self.length());
                // About a FIFO, kernels disagree on what is wrong with it first.
                let fits = |open: &Open| open.kind != Kind::Fifo;
                let from = self.held(door, |open| open.reads && fits(open))?;
                Step::Copy {
                    from,
                    from_offset,
                    to: self.held(door, |open| open.writes && fits(open))?,
                    to_offset,
                    length,
                }
            }
            136..152 => return self.lock(door),
            152..154 => return self.flock(door),
            154 => Step::MakeFifo { at: self.fresh_place(door, there), mode: self.random.pick(&FILE_MODES) },
            _ => return None,
        })
    }

    fn open(&mut self, door: Door, there: &[Thing]) -> Option<Step> {
        let used = &self.open[index(door)];
        let held = (0..HELD_MAX as Held).find(|held| !used.contains_key(held));
        let Some(held) = held else {
            return Some(Step::Close { held: self.held(door, |_| true)? });
        };
        if self.random.chance(12) {
            let at = self.place(door, there, &[Kind::Folder]);
            return Some(Step::Open { held, at, flags: vec![Flag::Read, Flag::Folder], mode: 0 });
        }
        let access = self.random.below(100);
        let mut flags = match access {
            0..60 => vec![Flag::Read, Flag::Write],
            60..85 => vec![Flag::Read],
            _ => vec![Flag::Write],
        };
        let at = if self.random.chance(40) {
            flags.push(Flag::Create);
            self.fresh_place(door, there)
        } else {
            self.place(door, there, &[Kind::File])
        };
        let writes = flags.contains(&Flag::Write);
        for (flag, percent, fits) in [
            (Flag::Exclusive, 20, flags.contains(&Flag::Create)),
            (Flag::Truncate, 12, writes),
            (Flag::Append, 20, writes),
            (Flag::NoFollow, 10, true),
            (Flag::Sync, 10, writes),
        ] {
            if fits && self.random.chance(percent) {
                flags.push(flag);
            }
        }
        // Folders know no way past a cache, and an NFS client refuses to append past it.
        let file = at.from.is_none() && !self.reference.join(&at.path).is_dir();
        if file && !flags.contains(&Flag::Append) && self.random.chance(10) {
            flags.push(Flag::Direct);
        }
        // What two processes of one machine have open at both ends, clients of a server have not.
        if at.from.is_none() && fs::metadata(self.reference.join(&at.path)).is_ok_and(|meta| is_fifo(&meta)) {
            return None;
        }
        Some(Step::Open { held, at, flags, mode: self.random.pick(&FILE_MODES) })
    }

    fn rename(&mut self, door: Door, there: &[Thing]) -> Option<Step> {
        let kinds = if self.random.chance(75) { [Kind::File, Kind::Symlink] } else { [Kind::Folder; 2] };
        let from = self.place(door, there, &kinds);
        let to = if self.random.chance(50) {
            self.fresh_place(door, there)
        } else {
            self.place(door, there, &kinds)
        };
        // An NFS client refuses all flags (RFC 8881 knows none).
        let how = match door {
            Door::Fuse => self.random.pick(&[
                Renaming::Plain,
                Renaming::Plain,
                Renaming::Plain,
                Renaming::NoReplace,
                Renaming::Exchange,
            ]),
            Door::Nfs => Renaming::Plain,
        };
        // An NFS client keeps what it has open and renames onto under a name of its own, `.nfs` and a number.
        let onto = self.number(door, &to, there);
        let in_use = |number| self.open[index(door)].values().any(|open| open.number == number);
        if door == Door::Nfs && onto.is_some_and(in_use) {
            return None;
        }
        Some(Step::Rename { from, to, how })
    }

    /// Which inode of the reference is at a name.
    fn number(&self, door: Door, place: &Place, there: &[Thing]) -> Option<u64> {
        let path = match place.from {
            None => place.path.clone(),
            Some(held) => {
                let number = self.open[index(door)].get(&held)?.number;
                let folder = there.iter().find(|thing| thing.number == number)?;
                inside(&folder.path, &place.path)
            }
        };
        there.iter().find(|thing| thing.path == path).map(|thing| thing.number)
    }

    fn attribute(&mut self, there: &[Thing]) -> Step {
        let path = self.path(there, &[Kind::File, Kind::Folder]);
        let name = self.random.pick(&ATTRIBUTES).to_owned();
        match self.random.below(8) {
            0..4 => {
                let (length, seed) = (self.random.below(200), self.random.next());
                let (create, replace) =
                    self.random.pick(&[(false, false), (false, false), (true, false), (false, true)]);
                Step::SetAttribute { path, name, length, seed, create, replace }
            }
            4 | 5 => Step::Attribute { path, name },
            6 => Step::Attributes { path },
            _ => Step::RemoveAttribute { path, name },
        }
    }

    /// NFS has no more than two of them (RFC 7862).
    fn allocating(&mut self, door: Door) -> Allocating {
        match door {
            Door::Nfs => self.random.pick(&[Allocating::Plain, Allocating::Punch]),
            Door::Fuse => self.random.pick(&[
                Allocating::Plain,
                Allocating::Punch,
                Allocating::KeepSize,
                Allocating::Zero,
                Allocating::ZeroKeepSize,
            ]),
        }
    }

    fn lock(&mut self, door: Door) -> Option<Step> {
        let held = self.held_for(door, Locking::Ranges)?;
        let owned = self.random.pick(&[LockOwned::Process, LockOwned::Process, LockOwned::OpenFile]);
        let start = self.random.pick(&[0, 1, 5, 10, 15, i64::MAX - 4]);
        let length = self.random.pick(&[0, 1, 4, 5, 5, 10]).min(i64::MAX - start);
        let range = LockRange { start, length };
        if self.random.chance(30) {
            let mode = self.random.pick(&[LockMode::Shared, LockMode::Exclusive]);
            return Some(Step::TestLock { held, owned, mode, range });
        }
        let mode =
            self.random.pick(&[LockMode::Shared, LockMode::Exclusive, LockMode::Exclusive, LockMode::Unlock]);
        Some(Step::Lock { held, owned, mode, range })
    }

    fn flock(&mut self, door: Door) -> Option<Step> {
        let held = self.held_for(door, Locking::Whole(door))?;
        let mode = self.random.pick(&[LockMode::Shared, LockMode::Exclusive, LockMode::Unlock]);
        Some(Step::Flock { held, mode })
    }

    /// An open file that is used with these locks, or from now on.
    fn held_for(&mut self, door: Door, locking: Locking) -> Option<Held> {
        // Through NFS, a lock of the kind asked for needs an open of that kind, also with flock(2).
        let fits = |open: &Open| {
            open.kind == Kind::File && (locking == Locking::Ranges || (open.reads && open.writes))
        };
        let held = self.held(door, fits)?;
        let number = self.open[index(door)].get(&held)?.number;
        (*self.locking.entry(number).or_insert(locking) == locking).then_some(held)
    }

    fn held(&mut self, door: Door, fits: impl Fn(&Open) -> bool) -> Option<Held> {
        let open = self.open[index(door)].iter();
        let fitting: Vec<Held> = open.filter(|(_, open)| fits(open)).map(|(held, _)| *held).collect();
        if fitting.is_empty() { None } else { Some(self.random.pick(&fitting)) }
    }

    /// A path, mostly to something of these kinds; to anything when there are none.
    fn path(&mut self, there: &[Thing], kinds: &[Kind]) -> String {
        let chance = self.random.below(100);
        let wanted = |kind: Kind| kinds.is_empty() || chance >= 90 || kinds.contains(&kind);
        let paths: Vec<&String> =
            there.iter().filter(|thing| wanted(thing.kind)).map(|thing| &thing.path).collect();
        if chance < 8 || paths.is_empty() { self.fresh(there) } else { self.random.pick(&paths).clone() }
    }

    /// A name in a folder, which may be there already.
    fn fresh(&mut self, there: &[Thing]) -> String {
        let shallow = |path: &str| path == "." || path.split('/').count() < DEPTH_MAX;
        let folders = there.iter().filter(|thing| thing.kind == Kind::Folder && shallow(&thing.path));
        let folders: Vec<&str> = folders.map(|thing| thing.path.as_str()).collect();
        let name = self.random.pick(&NAMES);
        inside(self.random.pick(&folders), name)
    }

    fn place(&mut self, door: Door, there: &[Thing], kinds: &[Kind]) -> Place {
        self.in_held_folder(door).unwrap_or_else(|| here(self.path(there, kinds)))
    }

    fn fresh_place(&mut self, door: Door, there: &[Thing]) -> Place {
        self.in_held_folder(door).unwrap_or_else(|| here(self.fresh(there)))
    }

    /// Now and then, a name in a folder that is open.
    fn in_held_folder(&mut self, door: Door) -> Option<Place> {
        if !self.random.chance(15) {
            return None;
        }
        let from = self.held(door, |open| open.kind == Kind::Folder)?;
        Some(Place { from: Some(from), path: self.random.pick(&NAMES).to_owned() })
    }

    fn offset(&mut self) -> u64 {
        match self.random.below(100) {
            0..30 => self.random.below(100),
            30..60 => self.random.below(20_000),
            60..90 => {
                self.random.pick(&EDGES).saturating_add_signed(self.random.below(5) as i64 - 2).min(1 << 21)
            }
            90..97 => self.random.below(200_000),
            _ => self.random.below(FILE_BYTES_MAX / 2),
        }
    }

    fn length(&mut self) -> u64 {
        match self.random.below(100) {
            0..30 => 1 + self.random.below(64),
            30..65 => 1 + self.random.below(5000),
            65..85 => (self.random.pick(&EDGES[1..5]) + self.random.below(5)).saturating_sub(2),
            85..97 => 1 + self.random.below(200_000),
            _ => 1 + self.random.below(1_200_000),
        }
    }
}

fn index(door: Door) -> usize {
    match door {
        Door::Fuse => 0,
        Door::Nfs => 1,
    }
}

fn here(path: String) -> Place {
    Place { from: None, path }
}

fn is_fifo(meta: &fs::Metadata) -> bool {
    meta.file_type().is_fifo()
}

fn inside(folder: &str, name: &str) -> String {
    if folder == "." { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Something in the reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Thing {
    path: String,
    kind: Kind,
    number: u64,
}

/// All that is in a folder, itself as ".", by path.
fn everything(root: &Path) -> io::Result<Vec<Thing>> {
    let number = fs::metadata(root)?.ino();
    let mut found = vec![Thing { path: ".".to_owned(), kind: Kind::Folder, number }];
    let mut folders = vec![".".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = inside(&folder, &entry.file_name().to_string_lossy());
            let kind = match entry.file_type()? {
                kind if kind.is_dir() => Kind::Folder,
                kind if kind.is_symlink() => Kind::Symlink,
                kind if kind.is_file() => Kind::File,
                _ => Kind::Fifo,
            };
            if kind == Kind::Folder {
                folders.push(path.clone());
            }
            found.push(Thing { path, kind, number: entry.ino() });
        }
    }
    found.sort();
    Ok(found)
}
