//! An append that is sent again, because its answer was lost, is there once: wherever it was put the first time.

use crate::rig::{Real, Rig, asking, attr, commit, file, read, root, truncate, write};
use bytes::Bytes;
use sim::weather::{Mishap, Weather};
use types::{FileId, FsError, RequestId};
use vfs::*;

fn numbered(channel: u32, sequence: u64) -> Ctx {
    asking(RequestId { client: 77, channel, sequence, step: 0 })
}

async fn append(real: &Real, ctx: &Ctx, file: FileId, data: &[u8]) -> FsResult<u64> {
    let (offset, data) = (WriteOffset::End, Bytes::copy_from_slice(data));
    let request = Write { file, open: None, offset, data, durability: Durability::Unstable };
    real.write(ctx, request).await.map(|reply| reply.offset)
}

#[tokio::test(start_paused = true)]
async fn an_append_is_known_again_while_it_waits_and_after() {
    let (real, top) = Rig::new(4096).start().await;
    let log = file(&real, top, "log").await;
    assert_eq!(append(&real, &numbered(1, 1), log, b"one").await, Ok(0));
    assert_eq!(append(&real, &numbered(2, 1), log, b"two").await, Ok(3));
    assert_eq!(append(&real, &numbered(1, 1), log, b"one").await, Ok(0));
    commit(&real, log).await.unwrap();
    assert_eq!(append(&real, &numbered(1, 1), log, b"one").await, Ok(0));
    assert_eq!(append(&real, &numbered(2, 1), log, b"two").await, Ok(3));
    assert_eq!(append(&real, &numbered(1, 2), log, b"more").await, Ok(6));
    assert_eq!(&read(&real, log, 0, 99).await[..], b"onetwomore");
}

#[tokio::test(start_paused = true)]
async fn an_append_that_was_written_back_is_known_again_in_the_next_life() {
    // Inline, within the command, and as stripes.
    for length in [100, 6000, 50_000] {
        let mut rig = Rig::new(4096);
        let (real, top) = rig.start().await;
        let log = file(&real, top, "log").await;
        write(&real, log, 0, b"head").await.unwrap();
        let data = vec![7; length];
        assert_eq!(append(&real, &numbered(1, 5), log, &data).await, Ok(4));
        commit(&real, log).await.unwrap();
        drop(real);
        let (real, _) = rig.start().await;
        // Whoever wrote there meanwhile came after it.
        write(&real, log, 4, b"later").await.unwrap();
        assert_eq!(append(&real, &numbered(1, 5), log, &data).await, Ok(4));
        assert_eq!(attr(&real, log).await.unwrap().size, 4 + length as u64);
        assert_eq!(&read(&real, log, 0, 10).await[..], b"headlater\x07");
        rig.audit().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_that_was_lost_is_done_in_the_next_life() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    let log = file(&real, top, "log").await;
    append(&real, &numbered(1, 5), log, b"lost").await.unwrap();
    drop(real);
    let (real, _) = rig.start().await;
    assert_eq!(append(&real, &numbered(2, 9), log, b"first").await, Ok(0));
    assert_eq!(append(&real, &numbered(1, 5), log, b"lost").await, Ok(5));
    assert_eq!(&read(&real, log, 0, 99).await[..], b"firstlost");
}

#[tokio::test(start_paused = true)]
async fn an_append_of_which_a_part_was_written_back_is_completed_in_its_place() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let weather = Weather::delaying(seed, 3);
        let mut rig = Rig::in_weather(4096, &weather);
        let (real, top) = rig.start().await;
        let log = file(&real, top, "log").await;
        let data: Vec<u8> = (0..50_000u32).map(|i| (i % 251) as u8).collect();
        append(&real, &numbered(1, 5), log, &data).await.unwrap();
        weather.set(Mishap::Command, 20);
        let _ = commit(&real, log).await;
        weather.set(Mishap::Command, 0);
        drop(real);
        let (real, _) = rig.start().await;
        seen.insert(attr(&real, log).await.unwrap().size);
        append(&real, &numbered(1, 5), log, &data).await.unwrap();
        let found = read(&real, log, 0, 100_000).await;
        assert!(found == data, "seed {seed}: {} bytes", found.len());
        rig.audit().await;
    }
    assert!(seen.len() > 2, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_channel_went_on_is_answered_no_more() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    let log = file(&real, top, "log").await;
    append(&real, &numbered(1, 5), log, b"five").await.unwrap();
    // The next request of the channel takes effect first.
    let set = types::SetAttr { mode: Some(types::Mode(0o600)), ..types::SetAttr::default() };
    let chmod = || SetAttrOf { file: log, open: None, set: set.clone(), if_ctime: None };
    let first = real.setattr(&numbered(1, 6), chmod()).await.unwrap();
    commit(&real, log).await.unwrap();
    drop(real);
    let (real, _) = rig.start().await;
    let again = real.setattr(&numbered(1, 6), chmod()).await.unwrap();
    assert_eq!(again.attr.ctime, first.attr.ctime);
    assert_eq!(append(&real, &numbered(1, 5), log, b"five").await, Err(FsError::StaleRequest));
    assert_eq!(&read(&real, log, 0, 99).await[..], b"five");
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_before_it_is_written_back_does_not_come_again() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    let log = file(&real, top, "log").await;
    append(&real, &numbered(1, 5), log, b"gone").await.unwrap();
    truncate(&real, log, 0).await.unwrap();
    assert_eq!(append(&real, &numbered(1, 5), log, b"gone").await, Ok(0));
    commit(&real, log).await.unwrap();
    drop(real);
    let (real, _) = rig.start().await;
    assert_eq!(append(&real, &numbered(1, 5), log, b"gone").await, Ok(0));
    assert_eq!(attr(&real, log).await.unwrap().size, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_appends_of_a_client_that_has_ended() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    let log = file(&real, top, "log").await;
    append(&real, &numbered(1, 1), log, b"kept").await.unwrap();
    commit(&real, log).await.unwrap();
    real.end_client(&root(), EndClient { client: ClientId(77) }).await.unwrap();
    assert_eq!(append(&real, &numbered(1, 1), log, b"new").await, Ok(4));
    assert_eq!(&read(&real, log, 0, 99).await[..], b"keptnew");
    rig.audit().await;
}

#[tokio::test(start_paused = true)]
async fn who_appended_after_a_crash_is_not_overwritten_by_who_had_before() {
    let mut torn = 0;
    for seed in 0..60 {
        let weather = Weather::delaying(seed, 3);
        let mut rig = Rig::in_weather(4096, &weather);
        let (real, top) = rig.start().await;
        let log = file(&real, top, "log").await;
        let (one, two) = (vec![1; 30_000], vec![2; 20_000]);
        append(&real, &numbered(1, 5), log, &one).await.unwrap();
        append(&real, &numbered(2, 5), log, &two).await.unwrap();
        weather.set(Mishap::Command, 20);
        let _ = commit(&real, log).await;
        weather.set(Mishap::Command, 0);
        drop(real);
        let (real, _) = rig.start().await;
        let left = attr(&real, log).await.unwrap().size;
        let at = append(&real, &numbered(3, 1), log, b"between").await.unwrap();
        assert_eq!(at, left, "seed {seed}");
        for (channel, data) in [(1, &one), (2, &two)] {
            let at = append(&real, &numbered(channel, 5), log, data).await.unwrap();
            assert_eq!(append(&real, &numbered(channel, 5), log, data).await, Ok(at));
            assert!(read(&real, log, at, data.len() as u32).await == data[..], "seed {seed}");
        }
        assert!(read(&real, log, at, 7).await == b"between"[..], "seed {seed}");
        // A part that was left of an append may be there beside all of it.
        let size = attr(&real, log).await.unwrap().size;
        let whole = [0, 30_000, 50_000].into_iter().filter(|whole| *whole <= left).max().unwrap();
        torn += u64::from(left > whole);
        assert_eq!(size, 50_007 + left - whole, "seed {seed}");
        rig.audit().await;
    }
    assert!(torn > 5, "{torn}");
}

#[tokio::test(start_paused = true)]
async fn more_appends_than_one_command_notes_are_all_noted_also_after_a_failure() {
    let weather = Weather::default();
    let mut rig = Rig::in_weather(4096, &weather);
    let (real, top) = rig.start().await;
    let log = file(&real, top, "log").await;
    for channel in 0..150 {
        if channel == 70 {
            weather.set(Mishap::Command, 100);
            commit(&real, log).await.unwrap_err();
            weather.set(Mishap::Command, 0);
        }
        assert_eq!(append(&real, &numbered(channel, 1), log, b"line").await, Ok(u64::from(channel) * 4));
    }
    commit(&real, log).await.unwrap();
    drop(real);
    let (real, _) = rig.start().await;
    for channel in 0..150 {
        assert_eq!(append(&real, &numbered(channel, 1), log, b"line").await, Ok(u64::from(channel) * 4));
    }
    assert_eq!(attr(&real, log).await.unwrap().size, 600);
    rig.audit().await;
}

#[tokio::test(start_paused = true)]
async fn an_append_that_was_done_is_no_newer_than_what_was_written_since() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    let log = file(&real, top, "log").await;
    append(&real, &numbered(1, 5), log, b"early").await.unwrap();
    commit(&real, log).await.unwrap();
    drop(real);
    let (real, _) = rig.start().await;
    write(&real, log, 0, b"later").await.unwrap();
    let (offset, data, durability) = (WriteOffset::End, Bytes::from_static(b"early"), Durability::Unstable);
    let again = real.write(&numbered(1, 5), Write { file: log, open: None, offset, data, durability }).await;
    // Who keeps what is not durable keeps neither.
    assert_eq!(again.unwrap().durability, Durability::File);
    drop(real);
    let (real, _) = rig.start().await;
    assert_eq!(&read(&real, log, 0, 99).await[..], b"later");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_its_channel_has_left_behind_appends_nothing() {
    let (real, top) = Rig::new(4096).start().await;
    let log = file(&real, top, "log").await;
    append(&real, &numbered(1, 5), log, b"five").await.unwrap();
    append(&real, &numbered(1, 6), log, b"six").await.unwrap();
    assert_eq!(append(&real, &numbered(1, 5), log, b"five").await, Err(FsError::StaleRequest));
    assert_eq!(append(&real, &numbered(1, 6), log, b"six").await, Ok(4));
    assert_eq!(&read(&real, log, 0, 99).await[..], b"fivesix");
}
