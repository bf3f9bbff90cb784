//! Power cuts at every step of operations over two and three shards.

use crate::site::{Off, On};
use drive::log::sim::Fate;
use std::collections::BTreeMap;
use types::{Cookie, Cred, FileId, FsError, InodeId, Mode, Name, RequestId, SetAttr};
use vfs::*;

fn name(text: &str) -> Name {
    Name::new(text.as_bytes().to_vec()).unwrap()
}

fn root() -> Ctx {
    Ctx::new(Cred::root())
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Mkdir,
    Rmdir,
    Link,
    /// A file onto a file of another shard, in the directory of a third.
    Replace,
    /// Directories of two shards change their places in two others' directories.
    Exchange,
    MoveDirectory,
}

/// The directories of the tree, each in another shard, and names in the first.
#[derive(Clone)]
struct Tree {
    one: FileId,
    two: FileId,
    /// Of an empty directory in the third shard.
    empty: String,
    /// Of nothing yet: a directory of that name would be in the second shard.
    new: String,
}

async fn directory(on: &On, dir: FileId, text: &str) -> FileId {
    let request = Mkdir { dir, name: name(text), mode: Mode(0o755), set: SetAttr::default() };
    on.real.mkdir(&root(), request).await.unwrap().attr.file
}

/// A directory in `dir` whose slot is in this third of all, and its name.
async fn directory_in(on: &On, dir: FileId, third: u32) -> (FileId, String) {
    let mut n = 0;
    loop {
        let text = format!("d{third}-{n}");
        if let Err(FsError::NotFound) = on.real.lookup(&root(), Lookup { dir, name: name(&text) }).await {
            let made = directory(on, dir, &text).await;
            if u32::from(made.ino.slot().0) * 3 / 65_536 == third {
                return (made, text);
            }
        }
        n += 1;
    }
}

async fn file(on: &On, dir: FileId, text: &str) -> FileId {
    let (name, kind, mode) = (name(text), NodeKind::File, Mode(0o644));
    on.real.mknod(&root(), Mknod { dir, name, kind, mode, set: SetAttr::default() }).await.unwrap().attr.file
}

async fn rename(
    on: &On,
    ctx: &Ctx,
    from: (FileId, &str),
    to: (FileId, &str),
    how: RenameHow,
) -> FsResult<()> {
    let (from_dir, from_name, to_dir, to_name) = (from.0, name(from.1), to.0, name(to.1));
    on.real.rename(ctx, Rename { from_dir, from_name, to_dir, to_name, how }).await.map(drop)
}

async fn prepare() -> (Off, Tree) {
    let on = Off::new().start().await;
    let top = on.top;
    let (one, _) = directory_in(&on, top, 0).await;
    let (two, _) = directory_in(&on, one, 1).await;
    let (three, _) = directory_in(&on, one, 2).await;
    let (_, empty) = directory_in(&on, one, 2).await;
    let (_, new) = directory_in(&on, one, 1).await;
    on.real.rmdir(&root(), Rmdir { dir: one, name: name(&new) }).await.unwrap();
    file(&on, one, "x").await;
    // Away from its inode.
    file(&on, three, "y").await;
    rename(&on, &root(), (three, "y"), (two, "y"), RenameHow::NoReplace).await.unwrap();
    (on.close().await, Tree { one, two, empty, new })
}

async fn perform(on: &On, ctx: &Ctx, tree: &Tree, op: Op) -> FsResult<String> {
    let &Tree { one, two, .. } = tree;
    Ok(match op {
        Op::Mkdir => {
            let request =
                Mkdir { dir: one, name: name(&tree.new), mode: Mode(0o755), set: SetAttr::default() };
            format!("{:?}", on.real.mkdir(ctx, request).await?.attr.file)
        }
        Op::Rmdir => {
            let gone = on.real.rmdir(ctx, Rmdir { dir: one, name: name(&tree.empty) }).await?;
            format!("{:?}", gone.dir)
        }
        Op::Link => {
            let found = on.real.lookup(&root(), Lookup { dir: one, name: name("x") }).await?.attr.file;
            let linked = on.real.link(ctx, Link { file: found, dir: two, name: name("again") }).await?;
            format!("{:?} {}", linked.dir, linked.attr.links)
        }
        Op::Replace => {
            rename(on, ctx, (one, "x"), (two, "y"), RenameHow::Replace).await?;
            String::new()
        }
        Op::Exchange => {
            rename(on, ctx, (one, "x"), (two, "y"), RenameHow::Exchange).await?;
            String::new()
        }
        Op::MoveDirectory => {
            rename(on, ctx, (one, &tree.empty), (two, "moved"), RenameHow::Replace).await?;
            String::new()
        }
    })
}

type Listing = BTreeMap<String, (InodeId, u32)>;

/// All names with their inodes and links.
async fn listing(on: &On) -> Listing {
    let (mut all, mut left) = (Listing::new(), vec![(String::new(), on.top)]);
    while let Some((path, dir)) = left.pop() {
        let request = ReadDir { dir, after: Cookie::START, limit: 1000, attrs: true };
        for entry in on.real.readdir(&root(), request).await.unwrap().entries {
            let path = format!("{path}/{}", entry.name);
            let attr = entry.attr.unwrap();
            all.insert(path.clone(), (attr.file.ino, attr.links));
            if attr.kind == types::FileKind::Directory {
                left.push((path, attr.file));
            }
        }
    }
    all
}

/// Every step of `op`, each with another fate of what was not synced.
async fn at_every_step(op: Op) {
    let (base, tree) = prepare().await;
    let request = RequestId { client: 5, channel: 0, sequence: 1, step: 0 };
    let ctx = Ctx { request: Some(request), ..root() };
    let on = base.copy().start().await;
    let before = listing(&on).await;
    let begun = on.steps();
    let answer = perform(&on, &ctx, &tree, op).await.unwrap();
    on.settle().await;
    let steps = on.steps() - begun;
    let after = listing(&on).await;
    on.check();
    on.close().await;
    assert_ne!(before, after, "{op:?} changes something");
    let (mut undone, mut done, mut unanswered) = (0, 0, 0);
    for step in 0..=steps {
        let fate = [Fate::Lost, Fate::Kept, Fate::Torn(step)][(step % 3) as usize];
        let on = base.copy().start().await;
        on.cut_at(on.steps() + step);
        let heard = perform(&on, &ctx, &tree, op).await;
        if heard.is_ok() && !on.was_cut() {
            // The participants are still to hear of it.
            on.settle().await;
        }
        let off = on.lose_power(fate).await;
        if step % 2 == 0 {
            off.drop_journals();
        }
        let on = off.start().await;
        on.check();
        let now = listing(&on).await;
        if now == after {
            done += 1
        } else {
            undone += 1
        }
        assert!(now == before || now == after, "{op:?}, cut at {step}: {now:#?}");
        match heard {
            Ok(heard) => {
                assert_eq!((heard, &now), (answer.clone(), &after), "{op:?}, cut at {step}: acknowledged");
            }
            Err(FsError::Delay | FsError::Uncertain) => unanswered += 1,
            Err(error) => panic!("{op:?}, cut at {step}: {error}"),
        }
        let again = perform(&on, &ctx, &tree, op).await;
        let again = again.unwrap_or_else(|error| panic!("{op:?}, cut at {step}: {error}"));
        assert_eq!(again, answer, "{op:?}, cut at {step}");
        on.settle().await;
        assert_eq!(listing(&on).await, after, "{op:?}, cut at {step}");
        on.check();
        on.close().await;
    }
    println!("{op:?}: {steps} steps, {undone} undone, {done} done, {unanswered} not answered");
    assert!(steps >= 6 && undone > 0 && done > 0 && unanswered > 0);
}

macro_rules! cuts {
    ($($test:ident: $op:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                at_every_step(Op::$op).await;
            }
        )*
    };
}

cuts! {
    cuts_while_a_directory_is_made: Mkdir,
    cuts_while_a_directory_is_removed: Rmdir,
    cuts_while_a_file_gets_a_name: Link,
    cuts_while_a_file_is_replaced: Replace,
    cuts_while_names_are_exchanged: Exchange,
    cuts_while_a_directory_moves: MoveDirectory,
}
