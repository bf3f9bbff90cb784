//! Looks after the headroom of all drives: gives it up bit by bit where a file system runs full, takes it back where
//! there is space again, and says what may still be done.
//!
//! A file system may take minutes to answer. So each drive has a thread that looks, and whoever asks hears what it has
//! seen last; of a drive that does not answer nothing is heard any more, as if it were not there.

use drive::headroom::Headroom;
use frontend::Room;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use types::DriveId;

/// What must be free of a file system, as a part of what is held of it: what logs and maps may write until more is
/// given up.
const SPARE: u64 = 4;
/// What is given up may be gone to others at once; so only so much, and so often, that who fills a file system
/// hears that it is full before all is gone.
const GIVEN: Duration = Duration::from_secs(1);
/// The time between two looks when nobody asks.
const PERIOD: Duration = Duration::from_millis(50);
/// How old a look may be before a question brings about the next, at least, and in times that it took.
const FRESH: Duration = Duration::from_millis(1);
const FRESH_TIMES: u32 = 50;
/// Bytes in a millisecond: nothing fills a file system faster, so a look at one with much left is good for longer.
const FILLS: u64 = 10 << 20;
/// A drive that was not looked at for so long is left out.
const LATE: Duration = Duration::from_secs(3);
/// The time between two looks which drives there are.
const CHANGES: Duration = Duration::from_millis(250);

/// Those of all drives of this daemon.
pub(crate) struct Headrooms {
    watches: Mutex<BTreeMap<DriveId, Watch>>,
    shares: Arc<Shares>,
    late: Duration,
}

/// What a look found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) room: Room,
    /// Bytes that logs and maps may still take on the fullest file system before only removing is possible.
    pub(crate) left: u64,
}

impl Seen {
    /// A drive that is gone has nothing that could be full.
    const NOTHING: Seen = Seen { room: Room::Ample, left: u64::MAX };

    /// For how long nothing can have changed that matters.
    fn lasts(self) -> Duration {
        Duration::from_millis(self.left / FILLS).min(PERIOD)
    }

    fn and(self, other: Seen) -> Seen {
        Seen { room: self.room.min(other.room), left: self.left.min(other.left) }
    }
}

/// The thread of a drive, which ends some time after this.
struct Watch {
    thread: Thread,
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` before the first look.
    last: Mutex<Option<Last>>,
    over: AtomicBool,
}

#[derive(Clone, Copy)]
struct Last {
    seen: Seen,
    at: Instant,
    /// When it is too old.
    until: Instant,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl Watch {
    /// Looks again and again.
    fn start(mut look: impl FnMut() -> Seen + Send + 'static) -> io::Result<Watch> {
        let shared = Arc::new(Shared { last: Mutex::new(None), over: AtomicBool::new(false) });
        let here = shared.clone();
        let watching = move || {
            while !here.over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let (seen, at) = (look(), Instant::now());
                let until = at + FRESH.max((at - begin) * FRESH_TIMES).max(seen.lasts());
                *here.last.lock() = Some(Last { seen, at, until });
                thread::park_timeout(PERIOD.max(until - at));
                // Whoever asks meanwhile wakes it early.
                while Instant::now() < until && !here.over.load(Ordering::Relaxed) {
                    thread::park_timeout(until.saturating_duration_since(Instant::now()));
                }
            }
        };
        let thread = thread::Builder::new().name("headroom".to_owned()).spawn(watching)?.thread().clone();
        Ok(Watch { thread, shared })
    }

    /// As of a moment ago; `None` when it was not looked for a time of `late`.
    fn seen(&self, late: Duration) -> Option<Seen> {
        let last = (*self.shared.last.lock())?;
        let now = Instant::now();
        if now >= last.until {
            self.thread.unpark();
        }
        (now.duration_since(last.at) < late).then_some(last.seen)
    }
}

impl Headrooms {
    /// Of these drives; comes back when all have been looked at that answer.
    pub(crate) fn new(of: BTreeMap<DriveId, Headroom>) -> Headrooms {
        let headrooms = Headrooms { watches: Mutex::default(), shares: Arc::default(), late: LATE };
        headrooms.update(of);
        let begin = Instant::now();
        let looked_at = || headrooms.watches.lock().values().all(|watch| watch.shared.last.lock().is_some());
        while !looked_at() && begin.elapsed() < LATE {
            thread::sleep(FRESH);
        }
        headrooms
    }

    /// As of a moment ago.
    pub(crate) fn seen(&self) -> Seen {
        let watches = self.watches.lock();
        watches.values().filter_map(|watch| watch.seen(self.late)).fold(Seen::NOTHING, Seen::and)
    }

    /// These are the drives now.
    fn update(&self, of: BTreeMap<DriveId, Headroom>) {
        let mut watches = self.watches.lock();
        watches.retain(|drive, _| of.contains_key(drive));
        self.shares.0.lock().retain(|drive, _| of.contains_key(drive));
        for (drive, headroom) in of {
            if watches.contains_key(&drive) {
                continue;
            }
            self.shares.add(drive, headroom.whole);
            match Watch::start(watching(drive, headroom, self.shares.clone())) {
                Ok(watch) => drop(watches.insert(drive, watch)),
                Err(error) => tracing::warn!(drive = drive.0, %error, "no look at the room of logs and maps"),
            }
        }
    }
}

/// Hears which drives there are now and then: `of` tells.
pub(crate) async fn run(headrooms: Arc<Headrooms>, of: impl Fn() -> BTreeMap<DriveId, Headroom>) {
    let mut ticks = tokio::time::interval(CHANGES);
    loop {
        ticks.tick().await;
        headrooms.update(of());
    }
}

/// How much each drive may have of the file system that it is on, if there is enough.
#[derive(Default)]
struct Shares(Mutex<BTreeMap<DriveId, Share>>);

#[derive(Clone, Copy)]
struct Share {
    /// `None` before it is known: then it may be any.
    device: Option<u64>,
    whole: u64,
}

impl Shares {
    fn add(&self, drive: DriveId, whole: u64) {
        self.0.lock().insert(drive, Share { device: None, whole });
    }

    /// What all those have together that may be on the file system that `drive` is on.
    fn all(&self, drive: DriveId, device: u64) -> u64 {
        let mut shares = self.0.lock();
        if let Some(share) = shares.get_mut(&drive) {
            share.device = Some(device);
        }
        let here = shares.values().filter(|share| share.device.is_none_or(|on| on == device));
        here.map(|share| share.whole).sum()
    }
}

/// Looks at the headroom of a drive, and says what is new.
fn watching(drive: DriveId, headroom: Headroom, shares: Arc<Shares>) -> impl FnMut() -> Seen + Send {
    let (mut given, mut before) = (None, Room::Ample);
    move || {
        let seen = look(&headroom, |device| shares.all(drive, device), &mut given);
        let seen = seen.unwrap_or_else(|error| {
            tracing::debug!(drive = drive.0, %error, "not looked at");
            Seen::NOTHING
        });
        if seen.room != before {
            tracing::warn!(drive = drive.0, room = ?seen.room, "the room of logs and maps has changed");
        }
        before = seen.room;
        seen
    }
}

/// Before anything is opened in the data folder `path`: there must be space to open it. No more is given up than that
/// takes.
pub(crate) fn make_way(path: &Path) -> io::Result<()> {
    let mut of = BTreeMap::new();
    for (number, entry) in (0..).zip(std::fs::read_dir(path)?) {
        let path = entry?.path();
        if path.join(drive::headroom::FILE).exists() {
            let mut headroom = Headroom::of(&path, 0);
            headroom.whole = headroom.whole.max(headroom.held()?);
            of.insert(DriveId(number), headroom);
        }
    }
    let shares = Shares::default();
    for (drive, headroom) in &of {
        shares.add(*drive, headroom.whole);
    }
    for (drive, headroom) in &of {
        look(headroom, |device| shares.all(*drive, device), &mut None)?;
    }
    Ok(())
}

/// Looks at the file system of a drive, and changes what is held where that is needed. `all` says what all drives that
/// are on it have together, `given` when something was given up last.
fn look(headroom: &Headroom, all: impl FnOnce(u64) -> u64, given: &mut Option<Instant>) -> io::Result<Seen> {
    let (left, held) = (headroom.left()?, headroom.held()?);
    let (whole, now) = (headroom.whole, Instant::now());
    let (all, spare) = (all(left.device).max(whole).max(1), whole / SPARE);
    // Not more than `free`.
    let share = |free: u64| (u128::from(free) * u128::from(whole) / u128::from(all)) as u64;
    let mut wanted = wanted(share(left.bytes), held, whole, spare);
    if wanted < held.min(whole) {
        match given {
            Some(at) if now.duration_since(*at) < GIVEN => wanted = held,
            _ => *given = Some(now),
        }
    }
    if wanted != held
        && let Err(error) = headroom.hold(wanted)
    {
        tracing::debug!(?headroom, %error, "the headroom of log and map is not as it should be");
    }
    let (free, held) = (headroom.left()?.bytes, headroom.held()?);
    let room = room(share(free), held, whole, spare);
    let left = if room == Room::Ample { free.saturating_sub(all / SPARE) } else { 0 };
    Ok(Seen { room, left })
}

/// What should be held of a part of a file system of which so much is free.
fn wanted(free: u64, held: u64, whole: u64, spare: u64) -> u64 {
    if free < spare {
        held.saturating_sub(spare - free)
    } else if held > whole {
        whole
    } else {
        // Not the last of it: others would get it back at once.
        whole.min(held + free.saturating_sub(spare * 2))
    }
}

fn room(free: u64, held: u64, whole: u64, spare: u64) -> Room {
    if held >= whole && free >= spare {
        Room::Ample
    } else if free >= spare / 4 {
        // The lower half is for what frees space.
        if held + free.min(spare) >= whole / 2 { Room::Scarce } else { Room::Freeing }
    } else {
        Room::None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::mpsc;

    const M: u64 = 1 << 20;

    #[test]
    fn what_is_held_goes_where_it_is_needed_and_comes_back() {
        // Free, held: wanted, and what may be done then.
        for (free, held, then, may) in [
            (1000, 64, 64, Room::Ample),
            (16, 64, 64, Room::Ample),
            (10, 64, 58, Room::Scarce),
            (0, 64, 48, Room::Scarce),
            (0, 17, 1, Room::Freeing),
            (0, 10, 0, Room::Freeing),
            (0, 32, 16, Room::Scarce),
            (0, 2, 0, Room::None),
            (20, 30, 30, Room::Scarce),
            (40, 30, 38, Room::Scarce),
            (100, 30, 64, Room::Ample),
        ] {
            let wanted = wanted(free * M, held * M, 64 * M, 16 * M);
            assert_eq!(wanted, then * M, "{free} {held}");
            assert_eq!(room((free + held) * M - wanted, wanted, 64 * M, 16 * M), may, "{free} {held}");
        }
    }

    proptest! {
        #[test]
        fn it_never_takes_the_last_and_never_keeps_what_is_needed(
            free in 0..200u64, held in 0..80u64, whole in 16..64u64, spare in 1..32u64,
        ) {
            let wanted = wanted(free, held, whole, spare);
            let after = free + held - wanted;
            prop_assert!(wanted <= held.max(whole));
            prop_assert!(after >= spare.min(free + held), "{wanted} are kept of what is needed");
            prop_assert!(wanted <= held || after >= spare * 2, "the last is taken");
        }
    }

    #[test]
    fn a_drive_holds_its_headroom_and_a_folder_makes_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drive-0");
        std::fs::create_dir(&path).unwrap();
        // More than the least.
        let headroom = Headroom::of(&path, 2 << 30);
        let headrooms = Headrooms::new(BTreeMap::from([(DriveId(0), headroom.clone())]));
        assert_eq!(headroom.held().unwrap(), headroom.whole);
        let seen = headrooms.seen();
        assert!(seen.room == Room::Ample && seen.left > 0, "{seen:?}");
        drop(headrooms);
        make_way(dir.path()).unwrap();
        assert_eq!(headroom.held().unwrap(), headroom.whole, "there was no need");
        std::fs::remove_dir_all(&path).unwrap();
        let seen = watching(DriveId(0), headroom, Arc::default())();
        assert_eq!(seen, Seen::NOTHING, "a drive that is gone is not full");
    }

    #[test]
    fn drives_on_one_file_system_have_their_shares_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        paths.iter().for_each(|path| std::fs::create_dir(path).unwrap());
        let of: BTreeMap<_, _> =
            (0..).map(DriveId).zip(paths.iter().map(|path| Headroom::of(path, 0))).collect();
        let headrooms = Headrooms::new(of.clone());
        assert_eq!(headrooms.shares.0.lock().len(), 2);
        let device = of[&DriveId(0)].left().unwrap().device;
        assert_eq!(headrooms.shares.all(DriveId(0), device), 64 * M);
        headrooms.update(BTreeMap::from([(DriveId(1), of[&DriveId(1)].clone())]));
        assert_eq!(headrooms.shares.all(DriveId(1), device), 32 * M);
    }

    #[test]
    fn with_much_left_nobody_looks_at_every_question() {
        let looks = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = looks.clone();
        let left = Seen { room: Room::Ample, left: FILLS * 1000 };
        let watch = Watch::start(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            left
        })
        .unwrap();
        let begin = Instant::now();
        while begin.elapsed() < PERIOD * 4 {
            watch.seen(LATE);
            thread::yield_now();
        }
        let most = begin.elapsed().as_nanos() / PERIOD.as_nanos() + 1;
        assert!(u128::from(looks.load(Ordering::Relaxed)) <= most);
        assert_eq!(Seen { left: 0, ..left }.lasts(), Duration::ZERO);
        assert_eq!(Seen { left: FILLS * 7, ..left }.lasts(), Duration::from_millis(7));
    }

    /// As a device does that is about to die. Whoever asks does not wait for it, and in the end it does not count.
    #[test]
    fn a_file_system_that_hangs_stops_nobody() {
        let (answer, answers) = mpsc::sync_channel(1);
        let watch = Watch::start(move || answers.recv().unwrap_or(Seen::NOTHING)).unwrap();
        let headrooms = Headrooms {
            watches: Mutex::new(BTreeMap::from([(DriveId(0), watch)])),
            shares: Arc::default(),
            late: Duration::from_millis(300),
        };
        assert_eq!(headrooms.seen(), Seen::NOTHING);
        let full = Seen { room: Room::None, left: 0 };
        answer.send(full).unwrap();
        let wait = |seen: Seen| {
            while headrooms.seen() != seen {
                thread::yield_now();
            }
        };
        wait(full);
        wait(Seen::NOTHING);
        // It was only slow.
        answer.send(full).unwrap();
        wait(full);
        drop(answer);
    }
}
