//! The drive's log on real files.

use super::{DriveLog, LogBounds, LogError, LogOptions, LogRecord, LogWrite, Mark};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use types::ShardId;

const SMALL: LogOptions = LogOptions { file_bytes: 64 << 10, purge_bytes: 128 << 10 };

fn record(index: u64, term: u64, bytes: usize) -> LogRecord {
    LogRecord { index, term, body: Bytes::from(vec![index as u8; bytes]) }
}

fn entries(indices: std::ops::Range<u64>, term: u64) -> LogWrite {
    LogWrite { entries: indices.map(|i| record(i, term, 100)).collect(), ..LogWrite::default() }
}

fn terms(log: &super::ShardLog) -> Vec<u64> {
    let Some(bounds) = log.bounds() else { return Vec::new() };
    log.read(bounds.first, bounds.last + 1, usize::MAX).unwrap().iter().map(|r| r.term).collect()
}

#[tokio::test]
async fn entries_and_marks_are_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for _ in 0..2 {
        let drive = DriveLog::open(&path, SMALL).unwrap();
        let log = drive.shard(ShardId(1));
        if log.bounds().is_none() {
            log.write_durably(entries(1..4, 1)).await.unwrap();
            let vote =
                LogWrite { marks: vec![(Mark::Vote, Bytes::from_static(b"v"))], ..LogWrite::default() };
            log.write_durably(vote).await.unwrap();
        }
        assert_eq!(log.bounds(), Some(LogBounds { first: 1, last: 3 }));
        assert_eq!(log.read(2, 9, usize::MAX).unwrap(), [record(2, 1, 100), record(3, 1, 100)]);
        assert_eq!(log.mark(Mark::Vote).unwrap(), Some(Bytes::from_static(b"v")));
        assert_eq!(log.mark(Mark::Purged).unwrap(), None);
        assert_eq!(drive.shards(), [ShardId(1)]);
        assert_eq!(drive.shard(ShardId(0)).bounds(), None);
        drop(log);
        drive.close().await;
    }
}

#[tokio::test]
async fn a_log_that_was_cut_and_then_emptied_begins_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let drive = DriveLog::open(&path, SMALL).unwrap();
    let log = drive.shard(ShardId(1));
    log.write_durably(entries(1..10, 1)).await.unwrap();
    log.write_durably(LogWrite { cut_from: Some(5), ..LogWrite::default() }).await.unwrap();
    log.write_durably(LogWrite { purge_to: Some(4), ..LogWrite::default() }).await.unwrap();
    assert_eq!(log.bounds(), None);
    log.write_durably(entries(21..23, 2)).await.unwrap();
    drop(log);
    drive.close().await;
    let drive = DriveLog::open(&path, SMALL).unwrap();
    let log = drive.shard(ShardId(1));
    assert_eq!(log.bounds(), Some(LogBounds { first: 21, last: 22 }));
    assert_eq!(terms(&log), [2, 2]);
}

#[tokio::test]
async fn a_cut_holds_before_and_after_new_entries_and_over_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let cut = |at| LogWrite { cut_from: Some(at), ..LogWrite::default() };
    let drive = DriveLog::open(&path, SMALL).unwrap();
    let log = drive.shard(ShardId(1));
    log.write_durably(entries(1..10, 1)).await.unwrap();
    log.write_durably(cut(6)).await.unwrap();
    assert_eq!(log.bounds(), Some(LogBounds { first: 1, last: 5 }));
    drop(log);
    drive.close().await;

    let drive = DriveLog::open(&path, SMALL).unwrap();
    let log = drive.shard(ShardId(1));
    assert_eq!(log.bounds(), Some(LogBounds { first: 1, last: 5 }));
    assert!(matches!(log.write_durably(entries(7..8, 2)).await, Err(LogError::Invalid(_))));
    log.write_durably(entries(6..8, 2)).await.unwrap();
    assert_eq!(terms(&log), [1, 1, 1, 1, 1, 2, 2]);
    // A cut and what follows it in one write.
    log.write_durably(LogWrite { cut_from: Some(7), ..entries(7..9, 3) }).await.unwrap();
    log.write_durably(cut(1)).await.unwrap();
    assert_eq!(log.bounds(), None);
    log.write_durably(entries(1..3, 4)).await.unwrap();
    drop(log);
    drive.close().await;

    let drive = DriveLog::open(&path, SMALL).unwrap();
    assert_eq!(terms(&drive.shard(ShardId(1))), [4, 4]);
}

#[tokio::test]
async fn a_gap_is_refused_and_hurts_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let drive = DriveLog::open(dir.path(), SMALL).unwrap();
    let log = drive.shard(ShardId(1));
    log.write_durably(entries(1..3, 1)).await.unwrap();
    assert!(matches!(log.write_durably(entries(4..5, 1)).await, Err(LogError::Invalid(_))));
    assert!(matches!(log.write_durably(entries(2..3, 1)).await, Err(LogError::Invalid(_))));
    assert!(matches!(log.write_durably(entries(0..1, 1)).await, Err(LogError::Invalid(_))));
    let cut = LogWrite { cut_from: Some(0), ..LogWrite::default() };
    assert!(matches!(log.write_durably(cut).await, Err(LogError::Invalid(_))));
    log.write_durably(entries(3..5, 1)).await.unwrap();
    assert_eq!(log.bounds(), Some(LogBounds { first: 1, last: 4 }));
}

#[tokio::test]
async fn purged_entries_free_files_and_an_idle_shard_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let drive = DriveLog::open(dir.path(), SMALL).unwrap();
    let busy = drive.shard(ShardId(1));
    let idle = drive.shard(ShardId(2));
    idle.write_durably(entries(1..200, 1)).await.unwrap();
    let mut index = 1;
    let mut asked = false;
    let mut pressed = std::pin::pin!(idle.pressed());
    for _ in 0..400 {
        let write = LogWrite { entries: vec![record(index, 1, 10_000)], ..LogWrite::default() };
        busy.write_durably(write).await.unwrap();
        let purge = LogWrite { purge_to: Some(index), ..LogWrite::default() };
        busy.write_durably(purge).await.unwrap();
        index += 1;
        asked |=
            std::future::poll_fn(|cx| std::task::Poll::Ready(!asked && pressed.as_mut().poll(cx).is_ready()))
                .await;
    }
    assert!(asked, "the idle shard was never asked to purge");
    idle.write_durably(LogWrite { purge_to: Some(199), ..LogWrite::default() }).await.unwrap();
    for _ in 0..200 {
        let write = LogWrite { entries: vec![record(index, 1, 10_000)], ..LogWrite::default() };
        busy.write_durably(write).await.unwrap();
        busy.write_durably(LogWrite { purge_to: Some(index), ..LogWrite::default() }).await.unwrap();
        index += 1;
    }
    // 6 MB were written; what stays is the threshold and the file that is being written.
    assert!(drive.disk_bytes() < 512 << 10, "{} bytes", drive.disk_bytes());
    assert_eq!(busy.bounds(), None);
    assert_eq!(idle.bounds(), None);
    idle.write_durably(entries(200..201, 2)).await.unwrap();
    assert_eq!(idle.bounds(), Some(LogBounds { first: 200, last: 200 }));
}

#[tokio::test]
async fn a_second_opening_is_refused_and_a_closed_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let drive = DriveLog::open(dir.path(), SMALL).unwrap();
    assert!(matches!(DriveLog::open(dir.path(), SMALL), Err(LogError::Open { .. })));
    let log = drive.shard(ShardId(1));
    drive.close().await;
    assert_eq!(log.write_durably(entries(1..2, 1)).await, Err(LogError::Closed));
}

#[tokio::test]
async fn a_log_may_begin_at_zero() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let drive = DriveLog::open(&path, SMALL).unwrap();
    let log = drive.shard(ShardId(0));
    log.write_durably(entries(0..3, 1)).await.unwrap();
    log.write_durably(LogWrite { cut_from: Some(0), ..LogWrite::default() }).await.unwrap();
    assert_eq!(log.bounds(), None);
    log.write_durably(entries(0..3, 2)).await.unwrap();
    log.write_durably(LogWrite { purge_to: Some(0), ..LogWrite::default() }).await.unwrap();
    drop(log);
    drive.close().await;
    let drive = DriveLog::open(&path, SMALL).unwrap();
    assert_eq!(drive.shard(ShardId(0)).bounds(), Some(LogBounds { first: 1, last: 2 }));
    assert_eq!(terms(&drive.shard(ShardId(0))), [2, 2]);
}

#[tokio::test]
async fn two_logs_read_by_one_thread_keep_their_own_entries() {
    let dir = tempfile::tempdir().unwrap();
    let mut logs = Vec::new();
    for byte in [1_u8, 2] {
        let drive = DriveLog::open(&dir.path().join(byte.to_string()), SMALL).unwrap();
        let log = drive.shard(ShardId(1));
        let entries = (1..4).map(|index| LogRecord { index, term: 1, body: Bytes::from(vec![byte; 50]) });
        log.write_durably(LogWrite { entries: entries.collect(), ..LogWrite::default() }).await.unwrap();
        logs.push((byte, drive, log));
    }
    for (byte, _drive, log) in &logs {
        let read = log.read(1, 4, usize::MAX).unwrap();
        assert!(read.iter().all(|r| r.body == vec![*byte; 50]), "log {byte} gave another's entries");
    }
}

#[tokio::test]
async fn entries_are_read_while_their_files_are_freed() {
    const KEPT: u64 = 30;
    let dir = tempfile::tempdir().unwrap();
    let tiny = LogOptions { file_bytes: 4 << 10, purge_bytes: 8 << 10 };
    let drive = DriveLog::open(dir.path(), tiny).unwrap();
    let (busy, slow) = (drive.shard(ShardId(1)), drive.shard(ShardId(2)));
    slow.write_durably(entries(0..KEPT, 1)).await.unwrap();
    let ended = AtomicBool::new(false);
    let last = AtomicU64::new(KEPT - 1);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let to = last.load(Ordering::Relaxed);
                    let read = slow.read(to - KEPT / 2, to + 1, usize::MAX).map(|read| read.len() as u64);
                    // Who was not run for a while asks for what was purged meanwhile.
                    let late = last.load(Ordering::Relaxed) + 1 >= to + KEPT / 2;
                    assert!(late || matches!(read, Ok(n) if n > 0), "{read:?}");
                }
            });
        }
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for n in 1..600_u64 {
                let write =
                    LogWrite { entries: vec![record(n, 1, 1500)], purge_to: Some(n), ..LogWrite::default() };
                runtime.block_on(busy.write_durably(write)).unwrap();
                let next = KEPT - 1 + n;
                let purge_to = Some(next - KEPT);
                let write = LogWrite { entries: vec![record(next, 1, 100)], purge_to, ..LogWrite::default() };
                runtime.block_on(slow.write_durably(write)).unwrap();
                last.store(next, Ordering::Relaxed);
            }
            ended.store(true, Ordering::Relaxed);
        });
    });
    drop((busy, slow));
    drive.close().await;
}

#[tokio::test]
async fn what_was_cut_off_stays_away_when_all_that_took_its_place_is_purged() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = LogOptions { file_bytes: 4 << 10, purge_bytes: 1 << 20 };
    let drive = DriveLog::open(dir.path(), tiny).unwrap();
    let log = drive.shard(ShardId(1));
    let large = |index, term| LogWrite { entries: vec![record(index, term, 3000)], ..LogWrite::default() };
    for index in 1..5 {
        log.write_durably(large(index, 1)).await.unwrap();
    }
    log.write_durably(LogWrite { cut_from: Some(3), ..large(3, 2) }).await.unwrap();
    log.write_durably(LogWrite { purge_to: Some(3), ..LogWrite::default() }).await.unwrap();
    assert_eq!(log.bounds(), None);
    drop(log);
    drive.close().await;
    // Nothing was ever moved, so a power cut takes the file for it; then the engine reads the others side by side.
    std::fs::remove_file(dir.path().join("0000000000000001.rewrite")).unwrap();
    let drive = DriveLog::open(dir.path(), tiny).unwrap();
    let log = drive.shard(ShardId(1));
    assert_eq!(log.bounds(), None);
    log.write_durably(large(4, 2)).await.unwrap();
    assert_eq!(log.read(4, 5, usize::MAX).unwrap(), [record(4, 2, 3000)]);
}
