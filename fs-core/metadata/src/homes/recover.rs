//! Carries the plan out: reads the homes, makes all of them equal, hands them to Raft.

use super::Homes;
use super::plan::{Ballot, Found, Place, Plan, plan};
use crate::roll::Roll;
use crate::{Home, MetadataError, ShardConfig};
use bytes::{Buf, BufMut, Bytes};
use drive::log::{LogError, LogRecord, LogWrite, Mark, ShardLog};
use std::sync::Arc;
use types::ShardId;

/// Bytes of entries copied to a home at once.
const COPY_BYTES: usize = 4 << 20;

/// Entries compared at once when two logs are matched.
const MATCH_ENTRIES: u64 = 256;

/// State of a home in its own mark.
const FILLING: u8 = 0;
const WHOLE: u8 = 1;

fn home_mark(incarnation: u128, state: u8) -> (Mark, Bytes) {
    let mut value = Vec::with_capacity(17);
    value.put_u128(incarnation);
    value.put_u8(state);
    (Mark::Home, value.into())
}

fn place(mut id: Bytes) -> Result<Place, MetadataError> {
    if id.len() != 16 {
        return Err(MetadataError::Damaged("a log id of a wrong length".to_owned()));
    }
    Ok(Place { term: id.get_u64(), index: id.get_u64() })
}

fn ballot(mut vote: Bytes) -> Result<Ballot, MetadataError> {
    if vote.len() != 17 {
        return Err(MetadataError::Damaged("a vote of a wrong length".to_owned()));
    }
    let (term, voter) = (vote.get_u64(), vote.get_u64());
    Ok(Ballot { term, voter, committed: vote.get_u8() != 0 })
}

fn vote(ballot: Ballot) -> (Mark, Bytes) {
    let mut value = Vec::with_capacity(17);
    value.put_u64(ballot.term);
    value.put_u64(ballot.voter);
    value.put_u8(u8::from(ballot.committed));
    (Mark::Vote, value.into())
}

/// Reads what `home` has; every entry is checked on the way, so that a home that cannot give
/// what it claims does not count.
fn find(home: &Home) -> Result<Found, MetadataError> {
    let counts = home.log.mark(Mark::Home)? == Some(home_mark(home.incarnation, WHOLE).1);
    let ballot = home.log.mark(Mark::Vote)?.map(ballot).transpose()?;
    let purged = home.log.mark(Mark::Purged)?.map(place).transpose()?;
    let mut last = purged;
    if let Some(bounds) = home.log.bounds() {
        let follows = purged.map_or(0, |p| p.index + 1);
        if bounds.first > follows {
            return Err(MetadataError::Damaged(format!(
                "the log begins at {} where {follows} should be",
                bounds.first
            )));
        }
        let mut next = bounds.first;
        while next <= bounds.last {
            for record in home.log.read(next, bounds.last + 1, COPY_BYTES)? {
                if last.is_some_and(|l| record.term < l.term && record.index > l.index) {
                    return Err(MetadataError::Damaged(format!("terms go back at entry {}", record.index)));
                }
                next = record.index + 1;
                last = last.max(Some(Place { term: record.term, index: record.index }));
            }
        }
    }
    Ok(Found { counts, ballot, last })
}

/// Why the first home that does not count does not.
struct Failed {
    shard: ShardId,
    first: Option<MetadataError>,
}

impl Failed {
    fn note(&mut self, error: impl Into<MetadataError>) {
        let error = error.into();
        tracing::error!(shard = self.shard.0, %error, "a home of the log does not count");
        self.first.get_or_insert(error);
    }

    fn or(self, too_few: MetadataError) -> MetadataError {
        self.first.unwrap_or(too_few)
    }
}

/// Opens the log of the voter: afterwards all homes that can be read and written are equal and whole. From then on
/// `needed` of them make a write durable.
pub(crate) async fn recover(
    config: &ShardConfig,
    needed: usize,
    roll: Arc<Roll>,
) -> Result<Homes, MetadataError> {
    let mut homes: Vec<&Home> = config.homes.iter().collect();
    let mut failed = Failed { shard: config.id, first: None };
    loop {
        let mut found = Vec::new();
        homes.retain(|home| {
            let state = find(home).map_err(|e| failed.note(e));
            found.extend(state.as_ref().ok());
            state.is_ok()
        });
        let decided = match plan(config.home_count, &found) {
            Ok(decided) => decided,
            Err(too_few) => return Err(failed.or(too_few)),
        };
        let equal = match decided {
            Plan::Create => begun(&homes, &mut failed).await,
            Plan::Recover { source, ballot } => {
                let Some(equal) = equalized(&homes, &found, (source, ballot), &mut failed).await else {
                    homes.remove(source);
                    continue;
                };
                equal
            }
        };
        if equal.len() < needed {
            return Err(failed.or(MetadataError::TooFewHomes { found: equal.len(), needed }));
        }
        return Ok(Homes::new(&equal, needed, roll));
    }
}

/// Marks empty homes as whole; those that took it.
async fn begun<'a>(homes: &[&'a Home], failed: &mut Failed) -> Vec<&'a Home> {
    let mut begun = Vec::new();
    for home in homes {
        let marks = vec![home_mark(home.incarnation, WHOLE)];
        match home.log.write_durably(LogWrite { marks, ..LogWrite::default() }).await {
            Ok(()) => begun.push(*home),
            Err(e) => failed.note(e),
        }
    }
    begun
}

/// Makes all homes what `source` is, with the vote; those that took it, or nothing if the source cannot be read.
async fn equalized<'a>(
    homes: &[&'a Home],
    found: &[Found],
    (source, ballot): (usize, Option<Ballot>),
    failed: &mut Failed,
) -> Option<Vec<&'a Home>> {
    let mut equal = Vec::new();
    for (home, state) in homes.iter().zip(found) {
        let same = state.counts && state.last == found[source].last;
        let filled = if same { Ok(()) } else { fill(&homes[source].log, home, *state).await };
        let written = match filled {
            Ok(()) if same && state.ballot == ballot => Ok(()),
            Ok(()) => {
                let marks = ballot.map(vote).into_iter().chain([home_mark(home.incarnation, WHOLE)]);
                let marks = marks.collect();
                home.log
                    .write_durably(LogWrite { marks, ..LogWrite::default() })
                    .await
                    .map_err(Broken::target)
            }
            Err(e) => Err(e),
        };
        match written {
            Ok(()) => equal.push(*home),
            Err(Broken::Target(e)) => failed.note(e),
            Err(Broken::Source(e)) => {
                failed.note(e);
                return None;
            }
        }
    }
    Some(equal)
}

/// Which end of a copy failed.
enum Broken {
    Source(MetadataError),
    Target(MetadataError),
}

impl Broken {
    fn source(e: impl Into<MetadataError>) -> Broken {
        Broken::Source(e.into())
    }

    fn target(e: impl Into<MetadataError>) -> Broken {
        Broken::Target(e.into())
    }
}

/// Makes the entries of `target` those of `source`. Of a home that counts, only what `source`
/// has not is taken away, so it goes on counting if this is cut short.
async fn fill(source: &ShardLog, target: &Home, found: Found) -> Result<(), Broken> {
    let purged = source.mark(Mark::Purged).map_err(Broken::source)?;
    let purged_to = purged.clone().map(place).transpose().map_err(Broken::source)?;
    let Some(bounds) = source.bounds() else {
        return replace(target, found, purged).await;
    };
    let log = &target.log;
    let common = if found.counts { matched(source, log)? } else { None };
    let mut next = match common {
        Some(common) => {
            if log.bounds().is_some_and(|b| b.last > common) {
                let cut = LogWrite { cut_from: Some(common + 1), ..LogWrite::default() };
                log.write_durably(cut).await.map_err(Broken::target)?;
            }
            common + 1
        }
        None => {
            replace(target, found, purged).await?;
            purged_to.map_or(bounds.first, |p| p.index + 1)
        }
    };
    while next <= bounds.last {
        let entries = source.read(next, bounds.last + 1, COPY_BYTES).map_err(Broken::source)?;
        next = entries.last().map_or(bounds.last, |e| e.index) + 1;
        log.write_durably(LogWrite { entries, ..LogWrite::default() }).await.map_err(Broken::target)?;
    }
    Ok(())
}

/// Empties `target` up to where the source's log begins.
async fn replace(target: &Home, found: Found, purged: Option<Bytes>) -> Result<(), Broken> {
    let mut marks: Vec<(Mark, Bytes)> = purged.map(|p| (Mark::Purged, p)).into_iter().collect();
    if !found.counts {
        marks.push(home_mark(target.incarnation, FILLING));
    }
    let purge_to = target.log.bounds().map(|b| b.last);
    let write = LogWrite { marks, purge_to, ..LogWrite::default() };
    target.log.write_durably(write).await.map_err(Broken::target)
}

/// The last entry that both logs have: where index and term are equal, all before is equal.
fn matched(source: &ShardLog, target: &ShardLog) -> Result<Option<u64>, Broken> {
    let (Some(in_a), Some(in_b)) = (source.bounds(), target.bounds()) else { return Ok(None) };
    let first = in_a.first.max(in_b.first);
    let mut end = in_a.last.min(in_b.last) + 1;
    while first < end {
        let from = first.max(end.saturating_sub(MATCH_ENTRIES));
        let left = span(source, from, end).map_err(Broken::source)?;
        let right = span(target, from, end).map_err(Broken::target)?;
        let same = left.iter().zip(&right).rev().find(|(l, r)| l.index == r.index && l.term == r.term);
        if let Some((l, _)) = same {
            return Ok(Some(l.index));
        }
        end = from;
    }
    Ok(None)
}

/// All entries `from..to`, which must be there.
fn span(log: &ShardLog, from: u64, to: u64) -> Result<Vec<LogRecord>, LogError> {
    let mut all = Vec::new();
    let mut next = from;
    while next < to {
        let read = log.read(next, to, COPY_BYTES)?;
        next = read.last().map_or(to, |e| e.index) + 1;
        all.extend(read);
    }
    Ok(all)
}
