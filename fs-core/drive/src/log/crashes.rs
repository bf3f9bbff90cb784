//! Every crash point of a log's life, one by one.

use super::sim::{Fate, SimFiles};
use super::{DriveLog, LogBounds, LogError, LogOptions, LogRecord, LogWrite, Mark, ShardLog};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use types::ShardId;

pub(super) const TINY: LogOptions = LogOptions { file_bytes: 4 << 10, purge_bytes: 8 << 10 };
pub(super) const FATES: [Fate; 5] = [Fate::Lost, Fate::Kept, Fate::Torn(1), Fate::Torn(2), Fate::Torn(3)];

/// A folder, in memory where there is such a place: opening a log syncs it.
pub(super) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What a shard's log should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) entries: Vec<(u64, u64, usize)>,
    pub(super) vote: Option<Bytes>,
}

pub(super) type Models = BTreeMap<ShardId, Model>;

pub(super) fn step(models: &Models, shard: ShardId, write: &LogWrite) -> Models {
    let mut models = models.clone();
    let model = models.entry(shard).or_default();
    if let Some(from) = write.cut_from {
        model.entries.retain(|e| e.0 < from);
    }
    model.entries.extend(write.entries.iter().map(|r| (r.index, r.term, r.body.len())));
    if let Some((_, vote)) = write.marks.iter().find(|(mark, _)| *mark == Mark::Vote) {
        model.vote = Some(vote.clone());
    }
    if let Some(to) = write.purge_to {
        model.entries.retain(|e| e.0 > to);
    }
    models
}

pub(super) fn read(log: &ShardLog) -> Result<Model, LogError> {
    let mut entries = Vec::new();
    if let Some(LogBounds { first, last }) = log.bounds() {
        let mut next = first;
        while next <= last {
            for record in log.read(next, last + 1, 1 << 20)? {
                assert!(record.body.iter().all(|b| *b == record.index as u8), "foreign bytes");
                next = record.index + 1;
                entries.push((record.index, record.term, record.body.len()));
            }
        }
    }
    Ok(Model { entries, vote: log.mark(Mark::Vote)? })
}

pub(super) fn entry(index: u64, term: u64, bytes: usize) -> LogRecord {
    LogRecord { index, term, body: Bytes::from(vec![index as u8; bytes]) }
}

/// A life with two shards: appends of several sizes, votes, cuts, purges, files begun and freed.
fn life() -> Vec<(ShardId, LogWrite)> {
    let (busy, idle) = (ShardId(0), ShardId(1));
    let mut writes = Vec::new();
    let mut next = 1;
    for round in 0..22_u64 {
        let term = round / 3 + 1;
        let sizes = [10, 700, 60, 1300];
        let entries = (next..next + 2).map(|i| entry(i, term, sizes[(i % 4) as usize])).collect();
        writes.push((busy, LogWrite { entries, ..LogWrite::default() }));
        next += 2;
        match round % 4 {
            0 => {
                let vote = vec![(Mark::Vote, Bytes::from(vec![round as u8; 17]))];
                writes.push((busy, LogWrite { marks: vote.clone(), ..LogWrite::default() }));
                let entries = vec![entry(round / 4 + 5, 1, 90)];
                writes.push((idle, LogWrite { entries, marks: vote, ..LogWrite::default() }));
            }
            1 => {
                writes.push((busy, LogWrite { cut_from: Some(next - 1), ..LogWrite::default() }));
                next -= 1;
            }
            2 => {
                let entries = vec![entry(next - 1, term + 1, 33)];
                writes.push((busy, LogWrite { cut_from: Some(next - 1), entries, ..LogWrite::default() }));
            }
            _ => {
                let to = next - 3;
                let marks = vec![(Mark::Purged, Bytes::from(vec![0; 16]))];
                writes.push((busy, LogWrite { purge_to: Some(to), marks, ..LogWrite::default() }));
            }
        }
    }
    writes
}

/// Plays `writes` until one fails; the models before and after each that was acknowledged.
async fn play(
    drive: &DriveLog,
    mut models: Models,
    writes: &[(ShardId, LogWrite)],
) -> (Models, Option<Models>) {
    for (shard, write) in writes {
        let next = step(&models, *shard, write);
        match drive.shard(*shard).write_durably(write.clone()).await {
            Ok(()) => models = next,
            Err(LogError::Poisoned(_)) => return (models, Some(next)),
            Err(e) => panic!("{e}"),
        }
    }
    (models, None)
}

pub(super) fn all(drive: &DriveLog) -> Models {
    let shards = [ShardId(0), ShardId(1)];
    shards.into_iter().map(|s| (s, read(&drive.shard(s)).unwrap())).collect()
}

pub(super) fn full(mut models: Models) -> Models {
    for shard in [ShardId(0), ShardId(1)] {
        models.entry(shard).or_default();
    }
    models
}

#[tokio::test]
async fn whatever_was_acknowledged_survives_a_power_cut_at_any_step() {
    let writes = life();
    let steps = {
        let dir = folder();
        let files = SimFiles::default();
        let drive = DriveLog::open_on(dir.path(), TINY, Arc::new(files.clone())).unwrap();
        let (models, failed) = play(&drive, Models::new(), &writes).await;
        assert!(failed.is_none());
        assert_eq!(all(&drive), full(models));
        let names: Vec<String> = files.list().into_iter().map(|(name, _)| name).collect();
        assert!(!names.iter().any(|n| n == "0000000000000001.raftlog"), "nothing was freed: {names:?}");
        drive.close().await;
        files.steps()
    };
    assert!(steps > 90, "{steps} steps");
    let mut lost_in_flight = 0;
    for crash in 0..steps {
        let dir = folder();
        let files = SimFiles::default();
        files.crash_at(crash);
        // The power may go before the log is open.
        let (acknowledged, in_flight) = match DriveLog::open_on(dir.path(), TINY, Arc::new(files.clone())) {
            Ok(drive) => {
                let ended = play(&drive, Models::new(), &writes).await;
                drive.close().await;
                ended
            }
            Err(_) => (Models::new(), None),
        };
        for fate in FATES {
            let after = folder();
            let files = files.after_crash(after.path(), fate).unwrap();
            let drive = DriveLog::open_on(after.path(), TINY, Arc::new(files.clone()))
                .unwrap_or_else(|e| panic!("step {crash}, {fate:?}: {e}"));
            let found = all(&drive);
            let acknowledged = full(acknowledged.clone());
            let also = in_flight.clone().map(full);
            assert!(
                found == acknowledged || Some(&found) == also.as_ref(),
                "step {crash}, {fate:?}:\nfound {found:?}\nacknowledged {acknowledged:?}\nin flight {also:?}"
            );
            lost_in_flight += u32::from(also.is_some() && found == acknowledged);
            // It goes on, and a second power cut right then takes nothing either.
            let shard = drive.shard(ShardId(1));
            let next = found[&ShardId(1)].entries.last().map_or(50, |e| e.0 + 1);
            let write = LogWrite { entries: vec![entry(next, 99, 5)], ..LogWrite::default() };
            shard.write_durably(write.clone()).await.unwrap();
            drop(shard);
            let again = folder();
            let files = files.after_crash(again.path(), Fate::Torn(crash)).unwrap();
            let drive = DriveLog::open_on(again.path(), TINY, Arc::new(files)).unwrap();
            assert_eq!(all(&drive), step(&found, ShardId(1), &write), "step {crash}, {fate:?}, again");
        }
    }
    assert!(lost_in_flight > 0, "no crash hit a write in flight");
}

#[tokio::test]
async fn a_power_cut_in_recovery_takes_nothing() {
    let writes = life();
    for crash in [60, 75, 90, 105, 120, 135] {
        let dir = folder();
        let files = SimFiles::default();
        files.crash_at(crash);
        let drive = DriveLog::open_on(dir.path(), TINY, Arc::new(files.clone())).unwrap();
        let (acknowledged, in_flight) = play(&drive, Models::new(), &writes).await;
        drive.close().await;
        for in_recovery in 0..6 {
            let first = folder();
            let files = files.after_crash(first.path(), Fate::Torn(crash + 7)).unwrap();
            files.crash_at(in_recovery);
            drop(DriveLog::open_on(first.path(), TINY, Arc::new(files.clone())));
            let second = folder();
            let files = files.after_crash(second.path(), Fate::Torn(in_recovery)).unwrap();
            let drive = DriveLog::open_on(second.path(), TINY, Arc::new(files)).unwrap();
            let found = all(&drive);
            assert!(
                found == full(acknowledged.clone()) || Some(&found) == in_flight.clone().map(full).as_ref(),
                "step {crash}, then {in_recovery}"
            );
        }
    }
}

#[tokio::test]
async fn a_failed_sync_poisons_the_log_for_all() {
    let dir = folder();
    let files = SimFiles::default();
    let drive = DriveLog::open_on(dir.path(), TINY, Arc::new(files.clone())).unwrap();
    let (one, two) = (drive.shard(ShardId(0)), drive.shard(ShardId(1)));
    one.write_durably(LogWrite { entries: vec![entry(1, 1, 9)], ..LogWrite::default() }).await.unwrap();
    files.crash_at(files.steps());
    let write = |index| LogWrite { entries: vec![entry(index, 1, 9)], ..LogWrite::default() };
    assert!(matches!(one.write_durably(write(2)).await, Err(LogError::Poisoned(_))));
    assert!(matches!(two.write_durably(write(1)).await, Err(LogError::Poisoned(_))));
    assert!(matches!(one.write_durably(write(2)).await, Err(LogError::Poisoned(_))));
}

#[tokio::test]
async fn a_flipped_bit_is_an_error_or_a_shorter_log_but_never_a_wrong_entry() {
    let dir = folder();
    let files = SimFiles::default();
    let drive = DriveLog::open_on(dir.path(), TINY, Arc::new(files.clone())).unwrap();
    let (before, _) = play(&drive, Models::new(), &life()).await;
    drive.close().await;
    let mut told = 0;
    for (name, size) in files.list() {
        for byte in (0..size).step_by(37) {
            let after = folder();
            let files = files.after_crash(after.path(), Fate::Kept).unwrap();
            files.flip(&name, byte);
            let Ok(drive) = DriveLog::open_on(after.path(), TINY, Arc::new(files)) else {
                told += 1;
                continue;
            };
            for (shard, model) in full(before.clone()) {
                match read(&drive.shard(shard)) {
                    Err(_) => told += 1,
                    Ok(found) => {
                        // An older state is the worst: the engine takes damage in the last file for a torn tail.
                        for entry in &found.entries {
                            let known = life().iter().any(|(s, w)| {
                                *s == shard
                                    && w.entries.iter().any(|r| (r.index, r.term, r.body.len()) == *entry)
                            });
                            assert!(known, "{name} byte {byte}: {entry:?} was never written");
                        }
                        told += usize::from(found != model);
                    }
                }
            }
        }
    }
    assert!(told > 0);
}
