//! The matrix of renames: what moves over what, in which way, with which link counts.

use crate::desk::{Desk, must, refused};
use types::{FsError, Name};
use vfs::{LookupParent, RenameHow, Vfs};

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    matrix(&desk.sub("matrix").await).await;
    loops(&desk.sub("loops").await).await;
    same(&desk.sub("same").await).await;
    parents(&desk.sub("parents").await).await;
}

/// What a name may stand for.
const KINDS: [&str; 5] = ["none", "file", "link", "empty", "full"];

async fn make<V: Vfs>(desk: &Desk<'_, V>, what: &str, text: &str) {
    match what {
        "file" => {
            desk.file(text).await;
        }
        "link" => {
            must(text, desk.symlink(text, b"x").await);
        }
        "empty" => {
            must(text, desk.mkdir(text, 0o777).await);
        }
        "full" => {
            desk.sub(text).await.file("inside").await;
        }
        _ => {}
    }
}

fn expected(from: &str, to: &str, how: RenameHow) -> Result<(), FsError> {
    let is_dir = |what| what == "empty" || what == "full";
    match (from, to, how) {
        ("none", _, _) => Err(FsError::NotFound),
        (_, "none", RenameHow::Exchange) => Err(FsError::NotFound),
        (_, "none", _) | (_, _, RenameHow::Exchange) => Ok(()),
        (_, _, RenameHow::NoReplace) => Err(FsError::Exists),
        (from, to, _) if is_dir(from) && !is_dir(to) => Err(FsError::NotDirectory),
        (from, to, _) if !is_dir(from) && is_dir(to) => Err(FsError::IsDirectory),
        (_, "full", _) => Err(FsError::NotEmpty),
        _ => Ok(()),
    }
}

async fn matrix<V: Vfs>(desk: &Desk<'_, V>) {
    let mut number = 0;
    for how in [RenameHow::Replace, RenameHow::NoReplace, RenameHow::Exchange] {
        for from in KINDS {
            for to in KINDS {
                for across in [false, true] {
                    number += 1;
                    let case = format!("{how:?} {from} over {to}, across directories: {across}");
                    let home = desk.sub(&format!("case{number}")).await;
                    let there = if across { home.sub("there").await } else { home.at(home.dir) };
                    make(&home, from, "a").await;
                    make(&there, to, "b").await;
                    let source = home.lookup("a").await.ok();
                    let target = there.lookup("b").await.ok();
                    let result = home.rename_to("a", there.dir, "b", how).await;
                    match expected(from, to, how) {
                        Err(error) => {
                            refused(&case, result, error);
                            assert_eq!(home.lookup("a").await.ok(), source, "{case}: the source stays");
                            assert_eq!(there.lookup("b").await.ok(), target, "{case}: the target stays");
                        }
                        Ok(()) => {
                            let reply = must(&case, result);
                            assert_eq!(reply.from_dir.after, home.here().await.change, "{case}");
                            assert_eq!(reply.to_dir.after, there.here().await.change, "{case}");
                            let moved = there.lookup("b").await.ok().map(|attr| attr.file);
                            assert_eq!(moved, source.map(|attr| attr.file), "{case}");
                            let left = home.lookup("a").await.ok().map(|attr| attr.file);
                            let swapped = target.filter(|_| how == RenameHow::Exchange);
                            assert_eq!(left, swapped.map(|attr| attr.file), "{case}");
                        }
                    }
                    for place in [&home, &there] {
                        let here = place.here().await;
                        let entries = place.list(100).await;
                        let dirs = entries.iter().filter(|e| e.kind == types::FileKind::Directory).count();
                        assert_eq!(here.links as usize, 2 + dirs, "{case}: links of the parent");
                        assert_eq!(here.size as usize, entries.len(), "{case}: size of the parent");
                    }
                }
            }
        }
    }
}

async fn loops<V: Vfs>(desk: &Desk<'_, V>) {
    let a = desk.sub("a").await;
    let b = a.sub("b").await;
    let c = b.sub("c").await;
    for how in [RenameHow::Replace, RenameHow::NoReplace] {
        refused("into itself", desk.rename_to("a", a.dir, "x", how).await, FsError::Invalid);
        refused("below itself", desk.rename_to("a", c.dir, "x", how).await, FsError::Invalid);
    }
    c.file("x").await;
    let exchanged = desk.rename_to("a", c.dir, "x", RenameHow::Exchange).await;
    refused("exchange with something below", exchanged, FsError::Invalid);
    refused("over an ancestor", b.rename_to("c", desk.dir, "a", RenameHow::Replace).await, FsError::NotEmpty);
    let exchanged = b.rename_to("c", desk.dir, "a", RenameHow::Exchange).await;
    refused("exchange with an ancestor", exchanged, FsError::Invalid);
    must("out of the way", b.rename_to("c", desk.dir, "c", RenameHow::Replace).await);
    must("the other way round", desk.rename_to("a", c.dir, "a", RenameHow::Replace).await);
    refused("still no loop", desk.rename_to("c", b.dir, "c", RenameHow::Replace).await, FsError::Invalid);
}

async fn same<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    must("link", desk.link(file, "g").await);
    must("onto itself", desk.rename("f", "f").await);
    must("onto another name of the same inode", desk.rename("f", "g").await);
    assert_eq!(desk.names().await, ["f", "g"], "POSIX: both names stay");
    assert_eq!(desk.attr(file).await.links, 2);
    refused(
        "not over itself",
        desk.rename_to("f", desk.dir, "f", RenameHow::NoReplace).await,
        FsError::Exists,
    );
    let other = desk.file("h").await;
    let before = desk.attr(file).await;
    must("replace one of two names", desk.rename("h", "g").await);
    let after = desk.attr(file).await;
    assert_eq!(after.links, 1);
    assert!(after.change > before.change && after.ctime >= before.ctime);
    assert_eq!(must("lookup", desk.lookup("g").await).file, other);
    assert!(Name::new(&b"g"[..]).is_ok());
}

async fn parents<V: Vfs>(desk: &Desk<'_, V>) {
    let (a, b) = (desk.sub("a").await, desk.sub("b").await);
    let moved = a.sub("moved").await;
    must("move", a.rename_to("moved", b.dir, "moved", RenameHow::Replace).await);
    let parent = desk.vfs.lookup_parent(&desk.ctx, LookupParent { dir: moved.dir }).await;
    assert_eq!(must("parent", parent).attr.file, b.dir);
    assert_eq!((a.here().await.links, b.here().await.links), (2, 3));
    a.file("file").await;
    must("exchange", a.rename_to("file", b.dir, "moved", RenameHow::Exchange).await);
    assert_eq!((a.here().await.links, b.here().await.links), (3, 2));
    let parent = desk.vfs.lookup_parent(&desk.ctx, LookupParent { dir: moved.dir }).await;
    assert_eq!(must("parent", parent).attr.file, a.dir);
}
