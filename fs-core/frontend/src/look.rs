//! Reading metadata: over several shards at one moment, and never what a transaction is about to change.

use crate::nodes::{Node, State};
use crate::{Frontend, Shards, ShardsView, Stripes};
use map::{Locked, MapError, OrderedMap, Recorder};
use metadata::Locking;
use namespace::queries::{Answer, QueryError};
use std::time::Duration;
use tokio::time::Instant;
use types::FsError;

/// Looks at several shards before a caller is asked to come again.
const LOOKS_MAX: usize = 1000;
/// How long a caller waits for transactions.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a caller waits for a shard that cannot be read: another copy of its map takes the place of one that has
/// failed.
const ABSENCE: Duration = Duration::from_secs(1);
/// Pause between two looks meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// Why there is no answer now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// For the caller.
    Fs(FsError),
    /// A transaction holds what is asked for: [`Frontend::unlocked`] waits for it.
    Locked(Locked),
    /// A shard cannot be read: [`Frontend::unlocked`] waits a moment.
    Away,
}

impl From<FsError> for Stop {
    fn from(error: FsError) -> Stop {
        Stop::Fs(error)
    }
}

/// What only the log should know is logged here.
fn stop(error: QueryError) -> Stop {
    match error {
        QueryError::Fs(error) => Stop::Fs(error),
        QueryError::Map(MapError::Locked(locked)) => Stop::Locked(locked),
        QueryError::Map(MapError::Away(why)) => {
            // Why it stopped it has said itself, and this comes again and again.
            tracing::debug!(%why, "shard cannot be read");
            Stop::Away
        }
        QueryError::Map(error) => {
            tracing::error!(%error, "metadata cannot be read");
            Stop::Fs(FsError::Io)
        }
    }
}

/// The error for a caller of a question that no transaction can be in the way of.
pub(crate) fn answer<T>(answer: Answer<T>) -> Result<T, FsError> {
    answer.map_err(|error| match stop(error) {
        Stop::Fs(error) => error,
        Stop::Locked(_) | Stop::Away => FsError::Delay,
    })
}

/// A look at shards that may take several tries, all over the same views.
pub(crate) struct Eyes<V> {
    views: V,
    /// Several shards are asked one after the other: the later views, in which what was read first must still be so.
    far: Option<V>,
    recorded: bool,
    /// What is missing is missing of the later ones.
    missing_far: bool,
}

impl<V: ShardsView> Eyes<V> {
    fn new(views: V, recorded: bool) -> Eyes<V> {
        Eyes { views, far: None, recorded, missing_far: false }
    }

    /// Fetches what was missing.
    async fn fetch(&self) -> Result<(), Stop> {
        let missing = self.far.as_ref().filter(|_| self.missing_far).unwrap_or(&self.views);
        missing.fetch().await.map_err(|error| stop(error.into()))
    }
}

/// What one try has shown.
enum Glance<T> {
    Found(T),
    /// Something has to be fetched first.
    Missing,
    /// What was read is of no one moment.
    Torn,
}

/// Asks a view until nothing of what is read has to be fetched any more. No lock is in the way, as views of
/// [`Locking::Nobody`] have none.
pub(crate) async fn read<T>(
    view: &impl ShardsView,
    query: impl Fn(&dyn OrderedMap) -> Answer<T>,
) -> Result<T, FsError> {
    loop {
        match query(view) {
            Err(QueryError::Map(MapError::Absent)) => {}
            found => return answer(found),
        }
        answer(view.fetch().await.map_err(QueryError::from))?;
    }
}

/// What waits of a file has changed when this has.
pub(crate) type Turn = fn(&State) -> u64;

impl<S: Shards, D: Stripes> Frontend<S, D> {
    fn eyes(&self, recorded: bool) -> Eyes<S::View> {
        Eyes::new(self.0.shards.view(Locking::AllOthers(None)), recorded)
    }

    /// One try, without waiting. An error of the query counts as an answer.
    fn glance<T>(
        &self,
        eyes: &mut Eyes<S::View>,
        query: impl Fn(&dyn OrderedMap) -> Answer<T>,
    ) -> Result<Glance<T>, Stop> {
        if !eyes.recorded {
            let hiding = self.0.removals.hide(&eyes.views);
            let found = query(&hiding);
            if hiding.is_undecided() {
                return Err(Stop::Away);
            }
            if let Err(QueryError::Map(MapError::Absent)) = found {
                eyes.missing_far = false;
                return Ok(Glance::Missing);
            }
            if eyes.views.asked() <= 1 {
                return found.map(Glance::Found).map_err(stop);
            }
            *eyes = self.eyes(true);
        }
        let recorder = Recorder::new(&eyes.views);
        let hiding = self.0.removals.hide(&recorder);
        let found = query(&hiding);
        if hiding.is_undecided() {
            return Err(Stop::Away);
        }
        match found {
            Err(QueryError::Map(MapError::Absent)) => {
                eyes.missing_far = false;
                return Ok(Glance::Missing);
            }
            Err(QueryError::Map(error @ MapError::Locked(_))) => return Err(stop(error.into())),
            _ => {}
        }
        let Some(older) = eyes.views.older(recorder.into_reads()) else {
            return found.map(Glance::Found).map_err(stop);
        };
        let later = eyes.far.get_or_insert_with(|| eyes.views.again());
        match older.hold_in(later) {
            Ok(true) => found.map(Glance::Found).map_err(stop),
            Ok(false) => Ok(Glance::Torn),
            Err(MapError::Absent) => {
                eyes.missing_far = true;
                Ok(Glance::Missing)
            }
            Err(error) => Err(stop(error.into())),
        }
    }

    /// Asks all shards as they are at one moment, the newest that there is.
    pub(crate) fn look<T>(
        &self,
        query: impl Fn(&dyn OrderedMap) -> Answer<T>,
    ) -> impl Future<Output = Result<T, Stop>> {
        self.look_through(false, query)
    }

    /// As [`Self::look`] where one shard is asked, and what filesystems have that are being removed is seen too.
    pub(crate) async fn look_behind<T>(
        &self,
        query: impl Fn(&dyn OrderedMap) -> Answer<T>,
    ) -> Result<T, Stop> {
        let view = self.0.shards.view(Locking::AllOthers(None));
        loop {
            match query(&view) {
                Err(QueryError::Map(MapError::Absent)) => {}
                found => return found.map_err(stop),
            }
            view.fetch().await.map_err(|error| stop(error.into()))?;
        }
    }

    /// As [`Self::look`], for what is likely to need several shards: they are asked one after the other, and what
    /// was read of the first must still be so when the last is asked, also where it led to an error.
    pub(crate) fn look_far<T>(
        &self,
        query: impl Fn(&dyn OrderedMap) -> Answer<T>,
    ) -> impl Future<Output = Result<T, Stop>> {
        self.look_through(true, query)
    }

    async fn look_through<T>(
        &self,
        far: bool,
        query: impl Fn(&dyn OrderedMap) -> Answer<T>,
    ) -> Result<T, Stop> {
        let (mut looks, mut eyes) = (0, self.eyes(far));
        while looks < LOOKS_MAX {
            match self.glance(&mut eyes, &query)? {
                Glance::Found(found) => return Ok(found),
                Glance::Missing => eyes.fetch().await?,
                Glance::Torn => {
                    looks += 1;
                    eyes = self.eyes(true);
                }
            }
        }
        Err(FsError::Delay.into())
    }

    /// As [`Self::look`], together with what waits of the file: what is done with both is done while that stands
    /// still. Where something had to be fetched, and `turn` tells that what waits is not any more as it was before
    /// the look, it is in vain.
    pub(crate) async fn look_with<T, U>(
        &self,
        node: &Node,
        turn: Turn,
        query: impl Fn(&dyn OrderedMap, &State) -> Answer<T>,
        then: impl FnOnce(T, &mut State) -> Result<U, Stop>,
    ) -> Result<U, Stop> {
        let (mut looks, mut begun) = (0, None);
        while looks < LOOKS_MAX {
            let eyes = {
                let mut state = node.state.lock();
                let now = turn(&state);
                let mut eyes = match begun.take() {
                    Some((eyes, turn)) if turn == now => eyes,
                    _ => self.eyes(false),
                };
                match self.glance(&mut eyes, |map| query(map, &state))? {
                    Glance::Found(found) => return then(found, &mut state),
                    Glance::Torn => None,
                    Glance::Missing => Some((eyes, now)),
                }
            };
            looks += 1;
            if let Some((eyes, now)) = eyes {
                eyes.fetch().await?;
                begun = Some((eyes, now));
            }
        }
        Err(FsError::Delay.into())
    }

    /// A view for counting and for looking for work: what it shows was true a moment ago, each shard for itself.
    pub(crate) fn past_view(&self) -> S::View {
        self.0.shards.view(Locking::Nobody)
    }

    /// Asks a [past view](Self::past_view).
    pub(crate) async fn past<T>(&self, query: impl Fn(&dyn OrderedMap) -> Answer<T>) -> Result<T, FsError> {
        read(&self.past_view(), query).await
    }

    /// As [`Self::past_view`], of all shards as they are now, and not when they are first asked.
    pub(crate) async fn view_of_all(&self) -> Result<S::View, FsError> {
        let view = self.past_view();
        match view.ask_all().await {
            Ok(()) => Ok(view),
            Err(error) => {
                tracing::error!(%error, "shard cannot be read");
                Err(FsError::Delay)
            }
        }
    }

    /// Looks until nothing of what is looked at is held by a transaction, nor away for a moment.
    pub(crate) async fn unlocked<T, F>(&self, look: impl Fn() -> F) -> Result<T, FsError>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        let now = Instant::now();
        let (deadline, back) = (now + PATIENCE, now + ABSENCE);
        loop {
            match look().await {
                Ok(found) => return Ok(found),
                Err(Stop::Fs(error)) => return Err(error),
                Err(Stop::Locked(_)) if Instant::now() > deadline => return Err(FsError::Delay),
                Err(Stop::Away) if Instant::now() > back => return Err(FsError::Delay),
                Err(Stop::Away) => tokio::time::sleep(PAUSE).await,
                Err(Stop::Locked(locked)) => self.0.shards.unlocked(locked).await,
            }
        }
    }
}
