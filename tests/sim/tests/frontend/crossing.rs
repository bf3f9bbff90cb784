//! Names and inodes in many shards.

use crate::rig::{Rig, directory, name, root};
use vfs::*;

#[tokio::test(start_paused = true)]
async fn directories_move_between_shards() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    for text in ["a", "b", "c", "d"] {
        directory(&real, top, text).await;
    }
    for text in ["a", "b", "c"] {
        let to = real.lookup(&root(), Lookup { dir: top, name: name("d") }).await.unwrap().attr.file;
        let request = Rename {
            from_dir: top,
            from_name: name(text),
            to_dir: to,
            to_name: name(text),
            how: RenameHow::Replace,
        };
        real.rename(&root(), request).await.unwrap();
    }
    rig.audit().await;
}
