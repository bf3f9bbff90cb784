//! Reading metadata: over several shards at one moment, and never what a transaction is about to change.

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
            tracing::error!(%why, "shard cannot be read");
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

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Asks all shards as they are at one moment, the newest that there is.
    pub(crate) fn look<T>(&self, query: impl Fn(&dyn OrderedMap) -> Answer<T>) -> Result<T, Stop> {
        let view = self.0.shards.view(Locking::AllOthers(None));
        let hiding = self.0.removals.hide(&view);
        let found = query(&hiding);
        if hiding.is_undecided() {
            return Err(Stop::Away);
        }
        if view.asked() <= 1 {
            return found.map_err(stop);
        }
        self.look_far(query)
    }

    /// As [`Self::look`] where one shard is asked, and what filesystems have that are being removed is seen too.
    pub(crate) fn look_behind<T>(&self, query: impl Fn(&dyn OrderedMap) -> Answer<T>) -> Result<T, Stop> {
        query(&self.0.shards.view(Locking::AllOthers(None))).map_err(stop)
    }

    /// As [`Self::look`], for what is likely to need several shards: they are asked one after the other, and what
    /// was read of the first must still be so when the last is asked, also where it led to an error.
    pub(crate) fn look_far<T>(&self, query: impl Fn(&dyn OrderedMap) -> Answer<T>) -> Result<T, Stop> {
        for _ in 0..LOOKS_MAX {
            let view = self.0.shards.view(Locking::AllOthers(None));
            let recorder = Recorder::new(&view);
            let hiding = self.0.removals.hide(&recorder);
            let found = query(&hiding);
            if hiding.is_undecided() {
                return Err(Stop::Away);
            }
            if let Err(QueryError::Map(error @ MapError::Locked(_))) = found {
                return Err(stop(error.into()));
            }
            if view.hold(recorder.into_reads()).map_err(|error| stop(error.into()))? {
                return found.map_err(stop);
            }
        }
        Err(FsError::Delay.into())
    }

    /// A view for counting and for looking for work: what it shows was true a moment ago, each shard for itself.
    pub(crate) fn past_view(&self) -> S::View {
        self.0.shards.view(Locking::Nobody)
    }

    /// As [`Self::past_view`], of all shards as they are now, and not when they are first asked.
    pub(crate) fn view_of_all(&self) -> Result<S::View, FsError> {
        let view = self.past_view();
        match view.ask_all() {
            Ok(()) => Ok(view),
            Err(error) => {
                tracing::error!(%error, "shard cannot be read");
                Err(FsError::Delay)
            }
        }
    }

    /// Looks until nothing of what is looked at is held by a transaction, nor away for a moment.
    pub(crate) async fn unlocked<T>(&self, look: impl Fn() -> Result<T, Stop>) -> Result<T, FsError> {
        let now = Instant::now();
        let (deadline, back) = (now + PATIENCE, now + ABSENCE);
        loop {
            match look() {
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
