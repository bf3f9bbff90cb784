//! A change that is sent again gets its first answer, also from a frontend that knows nothing of it.

use crate::rig::{Rig, asking, name, refused, root};
use sim::weather::{Mishap, Weather};
use types::{FileId, FsError, Mode, RequestId, SetAttr};
use vfs::*;

fn numbered(sequence: u64, step: u16) -> Ctx {
    asking(RequestId { client: 77, channel: 3, sequence, step })
}

async fn mkdir<V: Vfs>(vfs: &V, ctx: &Ctx, dir: FileId, text: &str) -> FsResult<CreateReply> {
    let (name, mode) = (name(text), Mode(0o755));
    vfs.mkdir(ctx, Mkdir { dir, name, mode, set: SetAttr::default() }).await
}

#[tokio::test(start_paused = true)]
async fn every_step_of_the_last_request_is_remembered_over_a_restart() {
    let mut rig = Rig::new(4096);
    let (mut real, top) = rig.start().await;
    let one = mkdir(&real, &numbered(1, 0), top, "one").await.unwrap();
    let two = mkdir(&real, &numbered(1, 1), top, "two").await.unwrap();
    let rename = || Rename {
        from_dir: top,
        from_name: name("one"),
        to_dir: top,
        to_name: name("three"),
        how: RenameHow::NoReplace,
    };
    let moved = real.rename(&numbered(1, 2), rename()).await.unwrap();
    let gone = real.rmdir(&numbered(1, 3), Rmdir { dir: top, name: name("two") }).await.unwrap();
    for _ in 0..2 {
        real = rig.start().await.0;
        assert_eq!(mkdir(&real, &numbered(1, 0), top, "one").await, Ok(one.clone()));
        assert_eq!(mkdir(&real, &numbered(1, 1), top, "two").await, Ok(two.clone()));
        assert_eq!(real.rename(&numbered(1, 2), rename()).await, Ok(moved.clone()));
        let again = Rmdir { dir: top, name: name("two") };
        let again = real.rmdir(&numbered(1, 3), again).await.unwrap();
        assert_eq!((again.dir, again.gone), (gone.dir, None));
    }
    mkdir(&real, &numbered(2, 0), top, "four").await.unwrap();
    refused(mkdir(&real, &numbered(1, 0), top, "one").await, FsError::StaleRequest);
    // A client that has ended may begin anew.
    real.end_client(&root(), EndClient { client: ClientId(77) }).await.unwrap();
    mkdir(&real, &numbered(1, 0), top, "one").await.unwrap();
    rig.audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_given_to_the_retry() {
    // Over several shards the replies that are lost are those of the first step: it is known that nothing happened.
    for (seed, lost) in [(0, FsError::Uncertain), (2, FsError::Delay)] {
        let weather = Weather::default();
        let mut rig = Rig::of_seed(seed, 4096, &weather);
        let (real, top) = rig.start().await;
        weather.set(Mishap::Reply, 100);
        refused(mkdir(&real, &numbered(1, 0), top, "one").await, lost);
        weather.set(Mishap::Reply, 0);
        mkdir(&real, &numbered(1, 0), top, "one").await.unwrap();
        weather.set(Mishap::Reply, 100);
        let rmdir = || Rmdir { dir: top, name: name("one") };
        refused(real.rmdir(&numbered(2, 0), rmdir()).await, lost);
        weather.set(Mishap::Reply, 0);
        real.rmdir(&numbered(2, 0), rmdir()).await.unwrap();
        refused(real.rmdir(&root(), rmdir()).await, FsError::NotFound);
        rig.audit().await;
    }
}

#[tokio::test(start_paused = true)]
async fn steps_beyond_what_is_remembered_are_refused_not_repeated() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    for step in 0..70 {
        mkdir(&real, &numbered(1, step), top, &format!("d{step}")).await.unwrap();
    }
    refused(mkdir(&real, &numbered(1, 0), top, "again").await, FsError::StaleRequest);
    mkdir(&real, &numbered(1, 69), top, "d69").await.unwrap();
}
