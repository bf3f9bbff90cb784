//! Opening the copies of the map: finds what is at the seats, brings up what can be, begins anew what cannot.

use super::copy::Copy;
use super::plan::{Fate, Found, Unfit, plan};
use crate::raft::{LogId, Mark, Progress, RaftLog, catch_up};
use crate::{MapSeat, MetadataError, ShardConfig};
use drive::map::ShardMap;

/// The copies that the shard runs on.
pub(crate) struct Opened {
    pub(crate) primary: Copy,
    /// How far the primary is.
    pub(crate) progress: Progress,
    /// Have what the primary has.
    pub(crate) followers: Vec<Copy>,
    /// Empty.
    pub(crate) filling: Vec<Copy>,
    /// Of copies that cannot be used, also not to be filled.
    pub(crate) out: Vec<u128>,
}

/// A seat as it was found.
struct Looked {
    found: Found<LogId>,
    progress: Progress,
    map: Option<ShardMap>,
}

/// Opens the copies at the seats of `config` over `log`, which is recovered. Blocks on the disks.
///
/// # Errors
/// [`MetadataError::Damaged`] when no copy and the log belong together.
pub(crate) async fn open(config: &ShardConfig, log: &RaftLog) -> Result<Opened, MetadataError> {
    let (purged, last) = log.ends();
    let mut looked = Vec::new();
    for seat in &config.maps {
        looked.push(look(config, seat, log)?);
    }
    let found: Vec<Found<LogId>> = looked.iter().map(|seat| seat.found).collect();
    let fates = plan(&found, purged, last).map_err(|unfit| misfit(unfit, purged, last))?;
    // A run has a term of its own, and what is begun before its vote is durable is counted on from.
    let newest = looked.iter().filter_map(|seat| Some(seat.map.as_ref()?.generation())).max().unwrap_or(0);
    let generation = log.term().max(newest) + 1;
    let mut primary = None;
    let (mut followers, mut filling, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for ((seat, found), fate) in config.maps.iter().zip(looked).zip(fates) {
        let progress = found.progress.clone();
        match (make(config, seat, found, fate, generation), fate) {
            (Ok(copy), Fate::Primary) => primary = Some((copy, progress)),
            (Err(e), Fate::Primary) => return Err(e),
            (Ok(copy), Fate::Follow) => followers.push((copy, progress)),
            (Ok(copy), Fate::Fill) => filling.push(copy),
            (Err(e), _) => {
                tracing::error!(shard = config.id.0, error = %e, "a copy of the map cannot be used");
                out.push(seat.incarnation);
            }
        }
    }
    let none = || MetadataError::Config("a shard without a map".to_owned());
    let (primary, progress) = primary.ok_or_else(none)?;
    let followers = bring_up(config, log, &progress, followers, &mut out).await;
    Ok(Opened { primary, progress, followers, filling, out })
}

fn look(config: &ShardConfig, seat: &MapSeat, log: &RaftLog) -> Result<Looked, MetadataError> {
    let useless = |map, why: &dyn std::fmt::Display| {
        tracing::warn!(shard = config.id.0, %why, "a copy of the map is of no use, it will be filled anew");
        Looked { found: Found::Useless, progress: Progress::default(), map }
    };
    let blank = |map| Looked { found: Found::Blank, progress: Progress::default(), map };
    let map = match seat.map.newest(config.id) {
        Ok(Some(map)) => map,
        Ok(None) => return Ok(blank(None)),
        Err(e) => return Ok(useless(None, &e)),
    };
    let mark = match map.mark() {
        Ok(Some(mark)) => Mark::decode(&mark)?,
        Ok(None) => return Ok(blank(Some(map))),
        Err(e) => return Ok(useless(Some(map), &e)),
    };
    if mark.incarnation != seat.incarnation {
        return Ok(useless(Some(map), &"it was made for a former seat"));
    }
    if !mark.is_whole {
        return Ok(useless(Some(map), &"it was not filled to the end"));
    }
    let (purged, last) = log.ends();
    let Some(at) = mark.progress.at() else { return Ok(blank(Some(map))) };
    if Some(at) >= purged && Some(at) <= last && !log.has(&at)? {
        return Err(MetadataError::Damaged(format!("the map has {at}, which the log has not")));
    }
    Ok(Looked { found: Found::Whole(at), progress: mark.progress, map: Some(map) })
}

fn misfit(unfit: Unfit<LogId>, purged: Option<LogId>, last: Option<LogId>) -> MetadataError {
    let shown = |id: Option<LogId>| id.map_or("nothing".to_owned(), |id| id.to_string());
    MetadataError::Damaged(match unfit {
        Unfit::Behind(best) => {
            format!("the map has {}, but the log begins after {}", shown(best), shown(purged))
        }
        // The log is durable before the map hears of an entry, so it can only have lost it.
        Unfit::Ahead(at) => format!("the map has {at}, but the log ends at {}", shown(last)),
    })
}

/// The copy of a seat: the one that was found or a new one, and the only one then.
fn make(
    config: &ShardConfig,
    seat: &MapSeat,
    found: Looked,
    fate: Fate,
    generation: u64,
) -> Result<Copy, MetadataError> {
    let failed = |e: drive::map::MapOpenError| MetadataError::Stopped(e.to_string());
    let map = match found.map.filter(|_| fate != Fate::Fill) {
        Some(map) => map,
        None => seat.map.create(config.id, generation).map_err(failed)?,
    };
    seat.map.keep_only(config.id, Some(&map)).map_err(failed)?;
    Ok(Copy { map, incarnation: seat.incarnation })
}

/// Brings the followers to where the primary is, side by side.
async fn bring_up(
    config: &ShardConfig,
    log: &RaftLog,
    progress: &Progress,
    followers: Vec<(Copy, Progress)>,
    out: &mut Vec<u128>,
) -> Vec<Copy> {
    let mut running = Vec::new();
    for (copy, from) in followers {
        let (hosting, log, last) = (config.hosting(), log.clone(), progress.at());
        let of_task = copy.clone();
        let work = move || catch_up(&hosting, &log, &of_task, from, last);
        running.push((copy, config.workers.blocking(work)));
    }
    let mut brought = Vec::new();
    for (copy, work) in running {
        match work.await.unwrap_or_else(|e| Err(MetadataError::Stopped(e.to_string()))) {
            Ok(()) => brought.push(copy),
            Err(e) => {
                tracing::error!(shard = config.id.0, error = %e, "a copy of the map cannot be brought up");
                out.push(copy.incarnation);
            }
        }
    }
    brought
}
