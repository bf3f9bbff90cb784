//! What is done to processes while they work.

use std::time::{Duration, Instant};
use suites::Random;

/// Who is hit, and how.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fault {
    StopDaemon,
    KillDaemon,
    /// Of the daemon's disk, and so of the daemon.
    CutPower,
    StopMount(usize),
    KillMount(usize),
    StopWorker(usize),
    KillWorker(usize),
    StopGuest,
    KillGuest,
}

impl Fault {
    /// How a report calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::StopDaemon => "daemon stopped",
            Fault::KillDaemon => "daemon killed",
            Fault::CutPower => "power cut",
            Fault::StopMount(_) => "mount stopped",
            Fault::KillMount(_) => "mount killed",
            Fault::StopWorker(_) => "worker stopped",
            Fault::KillWorker(_) => "worker killed",
            Fault::StopGuest => "guest stopped",
            Fault::KillGuest => "guest killed",
        }
    }
}

/// Faults and moments that follow from a seed.
pub(super) struct Faults {
    random: Random,
    workers: usize,
    guest: bool,
    power: bool,
    next: Instant,
}

impl Faults {
    /// With a guest or without, with power cuts or without.
    pub(super) fn new(seed: u64, workers: usize, guest: bool, power: bool) -> Faults {
        let (random, next) = (Random::new(seed), Instant::now());
        let mut faults = Faults { random, workers, guest, power, next };
        faults.wait();
        faults
    }

    /// A moment between one and four seconds from now.
    fn wait(&mut self) {
        self.next = Instant::now() + Duration::from_millis(1000 + self.random.below(3000));
    }

    /// The next, if it is time.
    pub(super) fn due(&mut self) -> Option<Fault> {
        if Instant::now() < self.next {
            return None;
        }
        self.wait();
        let (mount, worker) =
            (self.random.below(2) as usize, self.random.below(self.workers as u64) as usize);
        Some(match self.random.below(if self.guest { 40 } else { 36 }) {
            0..6 => Fault::StopDaemon,
            6..14 if self.power && self.random.chance(50) => Fault::CutPower,
            6..14 => Fault::KillDaemon,
            14..20 => Fault::StopMount(mount),
            20..26 => Fault::KillMount(mount),
            26..30 => Fault::StopWorker(worker),
            30..36 => Fault::KillWorker(worker),
            36..39 => Fault::StopGuest,
            _ => Fault::KillGuest,
        })
    }

    /// How long who is stopped stands still: mostly short, at times longer than anybody trusts what he knows.
    pub(super) fn stop(&mut self) -> Duration {
        let longest = if self.random.chance(50) { 900 } else { 4900 };
        Duration::from_millis(100 + self.random.below(longest))
    }
}
