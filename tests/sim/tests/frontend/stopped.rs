//! A reader that was stopped between its looks at two shards, while others changed both.

use crate::rig::{Real, Rig, directory, file, name, root};
use cluster::SlotTable;
use sim::weather::Weather;
use types::{FileId, ShardId};
use vfs::*;

const SHARDS: u16 = 8;

async fn rename(real: &Real, from: (FileId, &str), to: (FileId, &str)) -> FsResult<RenameReply> {
    let (from_dir, from_name) = (from.0, name(from.1));
    let (to_dir, to_name) = (to.0, name(to.1));
    real.rename(&root(), Rename { from_dir, from_name, to_dir, to_name, how: RenameHow::Replace }).await
}

/// A new directory in a shard that is none of `others`, and its name.
async fn apart(real: &Real, parent: FileId, text: &str, others: &[ShardId]) -> (FileId, ShardId, String) {
    let slots = SlotTable::even(SHARDS).unwrap();
    for number in 0.. {
        let text = format!("{text}{number}");
        let made = directory(real, parent, &text).await;
        let shard = slots.shard(made.ino.slot());
        if !others.contains(&shard) {
            return (made, shard, text);
        }
    }
    unreachable!()
}

/// Of two renames that would each put the other's directory below its own one is refused, however old the views
/// are with which the second has begun.
#[tokio::test(start_paused = true)]
async fn no_directory_gets_below_itself() {
    let mut refused = 0;
    for after in 0..12 {
        let mut rig = Rig::of_shards(SHARDS, 4096, &Weather::default());
        let (real, top) = rig.start().await;
        let (p, of_p, _) = apart(&real, top, "p", &[ShardId(0)]).await;
        let (b, of_b, b_name) = apart(&real, p, "b", &[ShardId(0), of_p]).await;
        let (a, of_a, a_name) = apart(&real, p, "a", &[ShardId(0), of_p, of_b]).await;
        let (c, d) = (directory(&real, b, "c").await, directory(&real, a, "d").await);
        let views = rig.shards.views().unwrap();
        rename(&real, (p, &b_name), (d, "b")).await.unwrap();
        let stopped = views.into_iter().filter(|(shard, _)| [of_p, of_b, of_a].contains(shard)).collect();
        rig.shards.show_again(stopped, after);
        refused += u32::from(rename(&real, (p, &a_name), (c, "a")).await.is_err());
        rig.shards.show_again(Default::default(), 0);
        rig.audit().await;
    }
    assert_eq!(refused, 12);
}

/// A name that is replaced while the attributes of what it named are fetched from elsewhere is listed all the same.
#[tokio::test(start_paused = true)]
async fn a_replaced_name_is_listed() {
    let mut rig = Rig::of_shards(SHARDS, 4096, &Weather::default());
    let (real, top) = rig.start().await;
    let (here, of_here, _) = apart(&real, top, "h", &[ShardId(0)]).await;
    let (there, ..) = apart(&real, top, "t", &[ShardId(0), of_here]).await;
    file(&real, there, "x").await;
    rename(&real, (there, "x"), (here, "x")).await.unwrap();
    let second = file(&real, here, "y").await;
    let mut views = rig.shards.views().unwrap();
    rename(&real, (here, "y"), (here, "x")).await.unwrap();
    views.retain(|shard, _| *shard == of_here);
    rig.shards.show_again(views, 0);
    let request = ReadDir { dir: here, after: types::Cookie::START, limit: 10, attrs: true };
    let listed = real.readdir(&root(), request).await.unwrap();
    let names: Vec<_> = listed.entries.iter().map(|entry| (&entry.name, entry.file)).collect();
    assert!(names.contains(&(&name("x"), second)), "{names:?}");
}
