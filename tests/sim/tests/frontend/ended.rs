//! Clients that end: what is remembered of them goes, for many at the cost of one, and over crashes.

use crate::rig::{BOTH, NONE, Real, Rig, asking, directory, file, name, refused, root};
use map::OrderedMap;
use namespace::keys::{self, kind};
use sim::weather::{Mishap, Weather};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use types::{FileId, FsError, Mode, RequestId, SetAttr};
use vfs::*;

const CLIENTS: u128 = 300;
const DIRECTORIES: u64 = 40;

fn numbered(client: u128, channel: u32, sequence: u64) -> Ctx {
    asking(RequestId { client, channel, sequence, step: 0 })
}

async fn mkdir(real: &Real, ctx: &Ctx, dir: FileId, text: &str) -> FsResult<CreateReply> {
    let (name, mode) = (name(text), Mode(0o755));
    real.mkdir(ctx, Mkdir { dir, name, mode, set: SetAttr::default() }).await
}

async fn opens(real: &Real, client: u128, file: FileId) {
    let ctx = Ctx { client: ClientId(client), ..root() };
    let (target, create) = (OpenTarget::File(file), None);
    let (truncate, reclaim, for_execution) = (false, false, false);
    let request = Open { target, access: BOTH, deny: NONE, create, truncate, reclaim, for_execution };
    real.open(&ctx, request).await.unwrap();
}

/// Clients that have changed something in many slots, and have a file open.
async fn many(real: &Real, top: FileId) {
    let held = file(real, top, "held").await;
    for n in 0..DIRECTORIES {
        let dir = directory(real, top, &format!("d{n}")).await;
        for client in (1..=CLIENTS).filter(|client| client % DIRECTORIES as u128 % 7 == u128::from(n % 7)) {
            mkdir(real, &numbered(client, 3, n), dir, &client.to_string()).await.unwrap();
        }
    }
    for client in 1..=CLIENTS {
        opens(real, client, held).await;
    }
}

async fn end_all(real: &Real) {
    let mut ending = JoinSet::new();
    for client in 1..=CLIENTS {
        let real = real.clone();
        ending.spawn(async move { real.end_client(&root(), EndClient { client: ClientId(client) }).await });
    }
    // Some commands are lost on their way; what a client had is given up at another time then.
    while ending.join_next().await.is_some() {}
}

/// Records of these kinds.
fn left(rig: &Rig) -> BTreeMap<u8, usize> {
    let mut found = BTreeMap::new();
    rig.shards
        .as_they_are()
        .unwrap()
        .scan(&[], &[0xff; 64], &mut |key, _| {
            if let Some((_, kind @ (kind::REPLAY | kind::CLIENT | kind::ENDED))) = keys::parse_kind(key) {
                *found.entry(kind).or_default() += 1;
            }
            true
        })
        .unwrap();
    found
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_many_and_who_comes_back_begins_anew() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    many(&real, top).await;
    assert_eq!(left(&rig)[&kind::CLIENT], CLIENTS as usize);
    let begun = tokio::time::Instant::now();
    end_all(&real).await;
    assert!(begun.elapsed() < Duration::from_millis(50), "nobody waits for the forgetting");
    // Its number on the channel is smaller than before; it waits, and is not told that it is late.
    mkdir(&real, &numbered(1, 3, 1), top, "anew").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(left(&rig), [(kind::REPLAY, 1)].into());
    rig.audit().await;
}

#[tokio::test(start_paused = true)]
async fn forgetting_goes_on_after_crashes() {
    for (seed, mishap) in [(1, Mishap::Reply), (2, Mishap::Command), (3, Mishap::Command)] {
        let weather = Weather::delaying(seed, 20);
        let mut rig = Rig::in_weather(4096, &weather);
        let (real, top) = rig.start().await;
        many(&real, top).await;
        weather.set(mishap, 30);
        end_all(&real).await;
        // The pass is cut off anywhere.
        tokio::time::sleep(Duration::from_millis(seed * 70)).await;
        weather.set(mishap, 0);
        let (real, _) = rig.start().await;
        end_all(&real).await;
        tokio::time::sleep(rig.options.grace + Duration::from_secs(5)).await;
        assert_eq!(left(&rig), BTreeMap::new(), "seed {seed}");
        refused(mkdir(&real, &numbered(1, 3, 1), top, "d1").await, FsError::Exists);
        rig.audit().await;
    }
}
