//! The copies of a shard's map: one that commands are applied to and read from, and P further ones that
//! follow it, off the path.
//!
//! The log is purged only behind what every copy that takes part has made durable, so any one of them,
//! with the log, is the shard. A copy that fails or takes nothing for [`STALLED`] is out until the shard
//! is opened again; when it is the primary, a follower takes its place before anything else is answered.

mod copy;
mod feed;
mod fill;
mod open;
mod plan;

pub(crate) use copy::Copy;
pub(crate) use open::{Opened, open};

use crate::MetadataError;
use crate::raft::{Mark, Progress};
use crate::roll::{MapStanding, MapState, Roll};
use drive::map::MapSnapshot;
use env::Workers;
use feed::{Feed, Work};
use map::WriteSet;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a copy may take nothing while the path waits for it.
const STALLED: Duration = Duration::from_secs(5);

/// How long a copy may take to become durable.
const PERSISTED: Duration = Duration::from_secs(120);

/// What all who use the map share.
pub(crate) struct Shared {
    primary: RwLock<Copy>,
    roll: Arc<Roll>,
    /// A primary that could not be read.
    suspect: Mutex<Option<u128>>,
    suspected: Notify,
    fill_bytes: usize,
    workers: Workers,
}

impl Shared {
    /// The copy that commands are applied to.
    pub(crate) fn primary(&self) -> Copy {
        // Nothing that is done under the lock panics.
        self.primary.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The map as it is now, and whose copy it is read from.
    pub(crate) fn snapshot(&self) -> (MapSnapshot, u128) {
        let primary = self.primary.read().unwrap_or_else(PoisonError::into_inner);
        (primary.map.snapshot(), primary.incarnation)
    }

    fn progress(&self) -> Result<Progress, MetadataError> {
        let mark = self.primary().map.mark()?;
        mark.map_or_else(|| Ok(Progress::default()), |mark| Mark::decode(&mark).map(|mark| mark.progress))
    }

    /// A copy could not be read; if it is the primary, another one should be. Whether there is another.
    pub(crate) fn suspect(&self, incarnation: u128) -> bool {
        *self.suspect.lock().unwrap_or_else(PoisonError::into_inner) = Some(incarnation);
        self.suspected.notify_one();
        self.primary().incarnation != incarnation || self.roll.maps_whole() > 1
    }
}

/// All copies, for those who write to them.
pub(crate) struct Maps {
    shared: Arc<Shared>,
    feeds: Mutex<Vec<Feed>>,
}

impl Maps {
    /// Starts the followers of `opened`, `fill_bytes` at once to those that are filled.
    pub(crate) fn start(opened: Opened, roll: Arc<Roll>, fill_bytes: usize, workers: Workers) -> Maps {
        let Opened { primary, progress, followers, filling, out } = opened;
        let standing = |copy: &Copy, state| MapStanding { incarnation: copy.incarnation, state };
        let mut maps = vec![standing(&primary, MapState::Primary)];
        maps.extend(followers.iter().map(|copy| standing(copy, MapState::Whole)));
        maps.extend(filling.iter().map(|copy| standing(copy, MapState::Filling)));
        maps.extend(out.iter().map(|&incarnation| MapStanding { incarnation, state: MapState::Out }));
        roll.set_maps(maps);
        let primary = RwLock::new(primary);
        let (suspect, suspected) = (Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { primary, roll, suspect, suspected, fill_bytes, workers });
        let works = followers.into_iter().map(|copy| (copy, Work::Follow));
        let works = works.chain(filling.into_iter().map(|copy| (copy, Work::Fill(progress.clone()))));
        let mut feeds = Vec::new();
        for (copy, work) in works {
            let incarnation = copy.incarnation;
            match Feed::start(shared.clone(), copy, work) {
                Ok(feed) => feeds.push(feed),
                Err(e) => shared.roll.map_out(incarnation, &e),
            }
        }
        Maps { shared, feeds: Mutex::new(feeds) }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    pub(crate) fn primary(&self) -> Copy {
        self.shared.primary()
    }

    fn feeds(&self) -> MutexGuard<'_, Vec<Feed>> {
        // Nothing that is done under the lock panics.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands what the primary has committed to the followers.
    pub(crate) async fn feed(&self, changes: Arc<WriteSet>, progress: &Progress) {
        let feeds = self.feeds().clone();
        if feeds.is_empty() {
            return;
        }
        let size = |(key, change): (&[u8], &map::Change)| key.len() + change.as_ref().map_or(0, |v| v.len());
        let bytes = changes.iter().map(size).sum();
        for feed in feeds {
            if let Err(e) = feed.apply(changes.clone(), bytes, progress.clone()).await {
                self.drop_follower(feed.incarnation, &e);
            }
        }
    }

    /// Gives a follower up, unless it leads by now.
    fn drop_follower(&self, incarnation: u128, why: &MetadataError) {
        self.feeds().retain(|feed| feed.incarnation != incarnation);
        if self.primary().incarnation != incarnation {
            self.shared.roll.map_out(incarnation, why);
        }
    }

    /// Puts a follower in the place of the primary, which failed with `why`. It has everything that was
    /// committed.
    ///
    /// # Errors
    /// `why`: there is none.
    pub(crate) async fn promote(&self, why: MetadataError) -> Result<(), MetadataError> {
        let failed = self.primary().incarnation;
        loop {
            let next = {
                let mut feeds = self.feeds();
                let whole = |feed: &Feed| self.shared.roll.map(feed.incarnation) == Some(MapState::Whole);
                feeds.iter().position(whole).map(|at| feeds.remove(at))
            };
            let Some(feed) = next else { return Err(why) };
            let incarnation = feed.incarnation;
            match feed.hand_over().await {
                Ok(copy) => {
                    *self.shared.primary.write().unwrap_or_else(PoisonError::into_inner) = copy;
                    self.shared.roll.set_map(incarnation, MapState::Primary);
                    self.shared.roll.map_out(failed, &why);
                    return Ok(());
                }
                Err(e) => self.shared.roll.map_out(incarnation, &e),
            }
        }
    }

    /// Waits until a primary cannot be read; its incarnation.
    pub(crate) async fn suspected(&self) -> u128 {
        loop {
            self.shared.suspected.notified().await;
            let suspect = self.shared.suspect.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(incarnation) = suspect {
                return incarnation;
            }
        }
    }

    /// Makes all copies durable that take part. Whether what was committed before is durable in every one
    /// of them; a follower that fails is out.
    ///
    /// # Errors
    /// [`MetadataError`]: it is durable in none.
    pub(crate) async fn persist(&self) -> Result<bool, MetadataError> {
        let takes_part = |feed: &Feed| {
            let state = self.shared.roll.map(feed.incarnation);
            matches!(state, Some(MapState::Whole | MapState::Joining))
        };
        let feeds: Vec<Feed> = self.feeds().iter().filter(|feed| takes_part(feed)).cloned().collect();
        let mut asked = Vec::new();
        for feed in feeds {
            match feed.persist().await {
                Ok(answer) => asked.push((feed.incarnation, answer)),
                Err(e) => self.drop_follower(feed.incarnation, &e),
            }
        }
        let deadline = tokio::time::Instant::now() + PERSISTED;
        let primary = self.primary();
        let own = primary.clone();
        let own = self.shared.workers.blocking(move || own.map.persist()).await;
        let own = own.map_err(|e| MetadataError::Stopped(e.to_string())).and_then(|p| Ok(p?));
        let mut durable = BTreeSet::new();
        for (incarnation, answer) in asked {
            let late = || MetadataError::Stopped(format!("not durable after {} s", PERSISTED.as_secs()));
            let gone = |_| Err(MetadataError::Stopped("its worker has ended".to_owned()));
            let answer = tokio::time::timeout_at(deadline, answer).await;
            match answer.map_or_else(|_| Err(late()), |answer| answer.unwrap_or_else(gone)) {
                Ok(()) => drop(durable.insert(incarnation)),
                Err(e) => self.drop_follower(incarnation, &e),
            }
        }
        match own {
            Ok(()) => drop(durable.insert(primary.incarnation)),
            Err(e) if durable.is_empty() && self.primary().incarnation == primary.incarnation => {
                return Err(e);
            }
            Err(e) => {
                tracing::error!(error = %e, "the primary copy of the map cannot be made durable");
                self.shared.suspect(primary.incarnation);
            }
        }
        // Not so when another one has taken the primary's place meanwhile.
        Ok(durable.contains(&self.primary().incarnation))
    }

    /// Lets all followers go, and waits until they are gone.
    pub(crate) async fn end(&self) {
        let feeds = std::mem::take(&mut *self.feeds());
        for feed in feeds {
            feed.end().await;
        }
    }
}
