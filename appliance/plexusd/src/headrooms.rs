//! Looks after the headroom of all drives: gives it up bit by bit where a file system runs full, takes it back where
//! there is space again, and says what may still be done.

use drive::headroom::Headroom;
use frontend::Room;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What must be free of a file system, as a part of what is held of it: what logs and maps may write until more is
/// given up.
const SPARE: u64 = 4;
/// What is given up may be gone to others at once; so only so much, and so often, that who fills a file system
/// hears that it is full before all is gone.
const GIVEN: Duration = Duration::from_secs(1);
/// The time between two looks when nobody asks.
const PERIOD: Duration = Duration::from_millis(50);
/// How old a look may be that answers a question, at least, and in times that it took.
const FRESH: Duration = Duration::from_millis(1);
const FRESH_TIMES: u32 = 50;

/// Those of all drives of this daemon.
pub(crate) struct Headrooms(Mutex<State>);

struct State {
    of: Vec<Headroom>,
    /// When something was given up last, by file system.
    given: Given,
    seen: Seen,
    /// When a look is too old.
    until: Instant,
}

type Given = BTreeMap<u64, Instant>;
/// A headroom and what it holds.
type Holding<'a> = (&'a Headroom, u64);

/// What a look found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) room: Room,
    /// Bytes that logs and maps may still take on the fullest file system before only removing is possible.
    pub(crate) left: u64,
}

impl Headrooms {
    pub(crate) fn new(of: Vec<Headroom>) -> Headrooms {
        let mut given = Given::new();
        let (seen, until) = (look(&of, &mut given), Instant::now());
        Headrooms(Mutex::new(State { of, given, seen, until }))
    }

    /// As of a moment ago.
    pub(crate) fn seen(&self) -> Seen {
        let mut state = self.0.lock();
        if Instant::now() >= state.until {
            state.look();
        }
        state.seen
    }

    /// These are the drives now.
    fn update(&self, of: Vec<Headroom>) {
        let mut state = self.0.lock();
        state.of = of;
        state.look();
    }
}

impl State {
    fn look(&mut self) {
        let begin = Instant::now();
        let seen = look(&self.of, &mut self.given);
        if seen.room != self.seen.room {
            tracing::warn!(room = ?seen.room, "the room of logs and maps has changed");
        }
        self.seen = seen;
        self.until = begin + FRESH.max(begin.elapsed() * FRESH_TIMES);
    }
}

/// Looks now and then, also when nobody asks: the maps write when they like. `of` tells which drives there are.
pub(crate) async fn run(headrooms: Arc<Headrooms>, of: impl Fn() -> Vec<Headroom>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (headrooms, of) = (headrooms.clone(), of());
        // It may wait for a disk.
        if tokio::task::spawn_blocking(move || headrooms.update(of)).await.is_err() {
            return;
        }
    }
}

/// Before anything is opened in the data folder `path`: there must be space to open it.
pub(crate) fn make_way(path: &Path) -> io::Result<()> {
    let mut of = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.join(drive::headroom::FILE).exists() {
            of.push(Headroom::of(&path, 0));
        }
    }
    look(&of, &mut Given::new());
    Ok(())
}

/// Looks at the file systems, and changes what is held where that is needed.
fn look(of: &[Headroom], given: &mut Given) -> Seen {
    let mut on: BTreeMap<u64, (u64, Vec<Holding<'_>>)> = BTreeMap::new();
    for headroom in of {
        match headroom.left().and_then(|left| Ok((left, headroom.held()?))) {
            Ok((left, held)) => {
                let (free, drives) = on.entry(left.device).or_default();
                *free = left.bytes;
                drives.push((headroom, held));
            }
            // A drive that is gone has nothing that could be full.
            Err(error) => tracing::debug!(?headroom, %error, "not looked at"),
        }
    }
    let mut seen = Seen { room: Room::Ample, left: u64::MAX };
    for (device, (free, drives)) in on {
        let whole = drives.iter().map(|(headroom, _)| headroom.whole).sum();
        let held = drives.iter().map(|(_, held)| held).sum();
        let spare = whole / SPARE;
        let now = Instant::now();
        let mut wanted = wanted(free, held, whole, spare);
        if wanted < held.min(whole) {
            let just_now = given.get(&device).is_some_and(|given| now.duration_since(*given) < GIVEN);
            wanted = if just_now { held } else { wanted };
            given
                .entry(device)
                .and_modify(|given| *given = if just_now { *given } else { now })
                .or_insert(now);
        }
        if let Err(error) = hold(&drives, wanted) {
            tracing::debug!(%error, "the headroom of logs and maps is not as it should be");
        }
        let is = drives.iter().map(|(headroom, held)| headroom.held().unwrap_or(*held)).sum::<u64>();
        let free =
            drives.first().and_then(|(headroom, _)| headroom.left().ok()).map_or(free, |left| left.bytes);
        let room = room(free, is, whole, spare);
        let left = if room == Room::Ample { free - spare } else { 0 };
        seen = Seen { room: seen.room.min(room), left: seen.left.min(left) };
    }
    seen
}

/// What should be held of a file system.
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
        Room::Scarce
    } else {
        Room::None
    }
}

/// Holds `wanted` in all.
fn hold(drives: &[Holding<'_>], wanted: u64) -> io::Result<()> {
    let bytes: Vec<_> = drives.iter().map(|(headroom, held)| (headroom.whole, *held)).collect();
    for ((headroom, held), share) in drives.iter().zip(shares(&bytes, wanted)) {
        if share != *held {
            headroom.hold(share)?;
        }
    }
    Ok(())
}

/// What each holds then, of those that hold and may hold so much: none takes while others give.
fn shares(drives: &[(u64, u64)], wanted: u64) -> Vec<u64> {
    let held: u64 = drives.iter().map(|(_, held)| held).sum();
    let (mut less, mut more) = (held.saturating_sub(wanted), wanted.saturating_sub(held));
    let share = |&(whole, held): &(u64, u64)| {
        let (gives, takes) = (less.min(held), more.min(whole.saturating_sub(held)));
        (less, more) = (less - gives, more - takes);
        held - gives + takes
    };
    drives.iter().map(share).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const M: u64 = 1 << 20;

    #[test]
    fn what_is_held_goes_where_it_is_needed_and_comes_back() {
        // Free, held: wanted, and what may be done then.
        for (free, held, then, may) in [
            (1000, 64, 64, Room::Ample),
            (16, 64, 64, Room::Ample),
            (10, 64, 58, Room::Scarce),
            (0, 64, 48, Room::Scarce),
            (0, 10, 0, Room::Scarce),
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

    proptest! {
        #[test]
        fn none_takes_while_others_give(
            drives in prop::collection::vec((0..40u64, 0..40u64), 1..5), wanted in 0..160u64,
        ) {
            let drives: Vec<_> = drives.into_iter().map(|(whole, held)| (whole, held.min(whole))).collect();
            let sum = |part: fn(&(u64, u64)) -> u64| drives.iter().map(part).sum::<u64>();
            let (whole, held) = (sum(|drive| drive.0), sum(|drive| drive.1));
            let shares = shares(&drives, wanted.min(whole));
            prop_assert_eq!(shares.iter().sum::<u64>(), wanted.min(whole));
            for (share, drive) in shares.iter().zip(&drives) {
                prop_assert!(*share <= drive.0);
                let one_way = if wanted < held { *share <= drive.1 } else { *share >= drive.1 };
                prop_assert!(one_way);
            }
        }
    }

    #[test]
    fn a_drive_holds_its_headroom_and_a_folder_makes_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drive-0");
        std::fs::create_dir(&path).unwrap();
        let headroom = Headroom::of(&path, 64 << 20);
        let headrooms = Headrooms::new(vec![headroom.clone()]);
        assert_eq!(headroom.held().unwrap(), headroom.whole);
        let seen = headrooms.seen();
        assert!(seen.room == Room::Ample && seen.left > 0, "{seen:?}");
        make_way(dir.path()).unwrap();
        assert_eq!(headroom.held().unwrap(), headroom.whole, "there was no need");
        std::fs::remove_dir_all(&path).unwrap();
        assert_eq!(
            look(&[headroom], &mut Given::new()).room,
            Room::Ample,
            "a drive that is gone is not full"
        );
    }
}
