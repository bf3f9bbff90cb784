//! Folding: small writes that are kept with the metadata go into stripes, many of them into one.
//!
//! A stripe is written first; the command that lets extents point into it moves only what is still as it was
//! seen, so that nobody has to wait for this and this waits for nobody.

use crate::{Frontend, Inner, Purpose, Room, Shards, StripeError, Stripes};
use bytes::{Bytes, BytesMut};
use namespace::Move;
use namespace::queries::accounts;
use namespace::queries::unfolded::{Look, Run, runs};
use std::collections::HashMap;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use types::limits::INLINE_WRITE_BYTES_MAX;
use types::{FileId, FsError, FsId, Slot, Time};

/// Time between two looks for slots with enough to fold.
const PERIOD: Duration = Duration::from_secs(1);
/// With so many bytes to be folded in all, none is too young.
const UNFOLDED_MAX: u64 = 256 << 20;
/// Extents looked at in one step.
const LOOK: usize = 128;
/// Moves of one command, and extents that they replace. A machine accepts ten times as many; but for 5 ms, which that takes,
/// everybody else would wait.
pub(super) const MOVES: usize = 12;
const EXTENTS: usize = 320;
/// Pause after an error.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause after a stripe.
const REST_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>, age: Duration) {
    let mut ticks = tokio::time::interval((age / 4).clamp(PERIOD / 10, PERIOD));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked: HashMap<Slot, Duration> = HashMap::new();
    loop {
        ticks.tick().await;
        let Some(inner) = weak.upgrade() else { return };
        if let Err(error) = Frontend(inner).fold_due(&mut looked).await {
            match error {
                FsError::NoSpace => tracing::debug!("no room to fold small writes into stripes"),
                error => tracing::warn!(%error, "small writes not folded; it is tried again"),
            }
            tokio::time::sleep(PATIENCE).await;
        }
    }
}

/// What became of an attempt to fold.
enum Folded {
    Done,
    /// Only shorter stripes are taken now.
    Narrow(usize),
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Folds what has not changed for `age`, in every slot that has enough of it for a stripe. It is also done
    /// without being asked.
    ///
    /// # Errors
    /// Those of reading the metadata and of writing stripes; what was folded before stays so.
    pub async fn fold(&self, age: Duration) -> Result<(), FsError> {
        for slot in self.with_ledger(|sums| sums.slots.keys().copied().collect::<Vec<_>>()).await? {
            self.fold_slot(slot, age).await?;
        }
        Ok(())
    }

    /// Folds in the slots whose turn it is: where much waits at once, else when it was not looked at for a while.
    async fn fold_due(&self, looked: &mut HashMap<Slot, Duration>) -> Result<(), FsError> {
        if self.0.stripes.metadata_room() < Room::Scarce {
            return Ok(());
        }
        let (age, many) = (self.0.options.fold_age, self.0.options.fold_bytes);
        let (enough, now) = (self.0.stripes.stripe_bytes_full() as u64, self.0.clock.monotonic());
        let due = self.with_ledger(|sums| {
            let all = sums.total.unfolded_bytes >= UNFOLDED_MAX;
            looked.retain(|slot, _| sums.slots.contains_key(slot));
            let with = sums.slots.iter().filter(|(_, account)| account.unfolded_bytes >= enough);
            let turn = |slot: &Slot| looked.get(slot).is_none_or(|at| now.saturating_sub(*at) >= age);
            with.filter_map(|(slot, account)| match all || account.unfolded_bytes >= many {
                true => Some((*slot, Duration::ZERO)),
                false => turn(slot).then_some((*slot, age)),
            })
            .collect::<Vec<_>>()
        });
        for (slot, age) in due.await? {
            looked.insert(slot, now);
            self.fold_slot(slot, age).await?;
        }
        Ok(())
    }

    async fn fold_slot(&self, slot: Slot, age: Duration) -> Result<(), FsError> {
        let filesystems = self.past(|map| accounts::filesystems_in(map, slot)).await?;
        for fs in filesystems.into_iter().filter(|fs| self.0.removals.of(*fs).is_none()) {
            self.fold_part(fs, slot, age).await?;
        }
        Ok(())
    }

    async fn fold_part(&self, fs: FsId, slot: Slot, age: Duration) -> Result<(), FsError> {
        let enough = self.0.stripes.stripe_bytes_full();
        let mut most = self.0.stripes.stripe_bytes_max();
        let (mut taken, mut bytes, mut from, mut begin) = (Vec::new(), 0, None, None);
        loop {
            let now = self.0.clock.now();
            let changing = (!age.is_zero()).then(|| (before(now, age), now));
            let look = Look { fs, slot, bytes: most - bytes, extents: LOOK, changing };
            let (found, next) = self.past(|map| runs(map, &look, from)).await?;
            tokio::task::yield_now().await;
            bytes += found.iter().map(Run::length).sum::<usize>();
            taken.extend(found);
            let full = bytes + INLINE_WRITE_BYTES_MAX > most;
            if (full || next.is_none()) && bytes >= enough {
                let start = self.0.clock.monotonic();
                match self.fold_runs(fs, &taken).await? {
                    Folded::Done => {}
                    Folded::Narrow(narrow) if narrow < most && narrow >= enough => {
                        (most, from) = (narrow, begin);
                        (taken, bytes) = (Vec::new(), 0);
                        continue;
                    }
                    Folded::Narrow(_) => return Err(FsError::NoSpace),
                }
                self.rest(self.0.clock.monotonic().saturating_sub(start)).await;
            }
            if full {
                (taken, bytes, begin) = (Vec::new(), 0, next);
            }
            match next {
                Some(_) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// Writes a stripe of the runs and lets their files point into it.
    async fn fold_runs(&self, fs: FsId, runs: &[Run]) -> Result<Folded, FsError> {
        let Some(first) = runs.first() else { return Ok(Folded::Done) };
        let laid = self.stripe_id(FileId { fs, ino: first.ino }).await?;
        // What waits in memory goes first.
        let length = runs.iter().map(Run::length).sum();
        let _taking = self.room_to_fold(length).ok_or(FsError::NoSpace)?;
        let place = match self.0.stripes.write(Purpose::Ordinary, fs, laid.stripe, joined(runs)).await {
            Ok(place) => place,
            Err(StripeError::Narrow { bytes_max }) => return Ok(Folded::Narrow(bytes_max)),
            Err(error) => return Err(crate::flush::data_error(error)),
        };
        let moved = self.relocate(fs, place, commands(runs, &self.0.fold_key)).await;
        self.0.progress.folded.fetch_add(moved.bytes, Ordering::Relaxed);
        moved.result.map(|()| Folded::Done)
    }

    /// The foreground has the drives for as long as this had them, and for longer when it is busy.
    pub(super) async fn rest(&self, took: Duration) {
        let busy = self.0.dirty_bytes.load(Ordering::Relaxed) > self.0.options.dirty_bytes_max / 2;
        match took * if busy { 4 } else { 1 } {
            Duration::ZERO => tokio::task::yield_now().await,
            rest => tokio::time::sleep(rest.min(REST_MAX)).await,
        }
    }
}

fn before(now: Time, age: Duration) -> Time {
    let borrow = i64::from(now.nanoseconds < age.subsec_nanos());
    let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    // Either part is below 10^9.
    let nanoseconds = now.nanoseconds + (borrow as u32) * 1_000_000_000 - age.subsec_nanos();
    Time { seconds: now.seconds.saturating_sub(seconds).saturating_sub(borrow), nanoseconds }
}

fn joined(runs: &[Run]) -> Bytes {
    let mut data = BytesMut::with_capacity(runs.iter().map(Run::length).sum());
    runs.iter().flat_map(|run| &run.parts).for_each(|part| data.extend_from_slice(part));
    data.freeze()
}

/// The moves of runs that lie one after the other in a stripe, as many as fit one command together.
fn commands(runs: &[Run], key: &[u8; 16]) -> Vec<Vec<Move>> {
    let mut commands: Vec<Vec<Move>> = Vec::new();
    let (mut at, mut extents) = (0, 0);
    for run in runs {
        // A stripe is at most 16 MiB long.
        let length = run.length() as u32;
        let moved = Move { ino: run.ino, offset: run.offset, length, seen: run.seen(key), at };
        at += length;
        extents += run.parts.len();
        match commands.last_mut() {
            Some(last) if last.len() < MOVES && extents <= EXTENTS => last.push(moved),
            _ => {
                commands.push(vec![moved]);
                extents = run.parts.len();
            }
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::InodeId;

    #[test]
    fn a_moment_ago_is_before_now() {
        let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
        assert_eq!(before(time(10, 5), Duration::new(3, 6)), time(6, 999_999_999));
        assert_eq!(before(time(10, 6), Duration::new(3, 6)), time(7, 0));
        assert_eq!(before(time(0, 0), Duration::from_nanos(1)), time(-1, 999_999_999));
    }

    #[test]
    fn commands_take_what_a_machine_accepts_and_nothing_is_left_out() {
        let run = |n: usize| {
            let parts = vec![Bytes::from_static(b"ab"); n];
            Run { ino: InodeId(n as u64), offset: 7, parts }
        };
        for runs in [vec![run(1); 300], vec![run(100); 10], vec![run(320), run(1), run(319), run(320)]] {
            let mut end = 0;
            for command in commands(&runs, &[1; 16]) {
                let replaced = command.iter().map(|m| m.length as usize / 2).sum::<usize>();
                assert!(command.len() <= MOVES && replaced <= EXTENTS);
                for moved in command {
                    assert_eq!(moved.at, end);
                    end += moved.length;
                }
            }
            assert_eq!(end as usize, joined(&runs).len());
        }
    }
}
