//! A directory that all clients change at once. Nobody knows what comes of it there; but no answer may say that
//! something has failed, and in the end all records must agree.

use crate::op::name;
use crate::site::Core;
use env::{Random, SeededRandom};
use types::{Cookie, Cred, FileId, FileKind, FsError, Mode, SetAttr};
use vfs::*;

const NAMES: [&str; 3] = ["x", "y", "z"];
const DIRECTORY: &str = "commons";

fn root() -> Ctx {
    Ctx::new(Cred::root())
}

/// The directory, made by who comes first.
async fn directory(core: &Core) -> FsResult<FileId> {
    let (dir, name, set) = (core.top, name(DIRECTORY), SetAttr::default());
    match core.files.mkdir(&root(), Mkdir { dir, name: name.clone(), mode: Mode(0o755), set }).await {
        Ok(made) => Ok(made.attr.file),
        Err(FsError::Exists) => Ok(core.files.lookup(&root(), Lookup { dir, name }).await?.attr.file),
        Err(error) => Err(error),
    }
}

/// One change, in the directory or in one below it.
pub(crate) async fn meddle(core: &Core, random: &SeededRandom) {
    match some_change(core, random).await {
        Ok(()) => {}
        Err(error) => assert!(
            !matches!(error, FsError::Io | FsError::NoSpace | FsError::BadOpen),
            "a change among others gave {error:?}"
        ),
    }
}

async fn some_change(core: &Core, random: &SeededRandom) -> FsResult<()> {
    let (files, ctx, set) = (&core.files, root(), SetAttr::default());
    let some_name = || name(NAMES[random.below(3) as usize]);
    let top = directory(core).await?;
    let mut dirs = [top; 2];
    for dir in &mut dirs {
        if random.below(2) == 0
            && let Ok(found) = files.lookup(&ctx, Lookup { dir: top, name: some_name() }).await
            && found.attr.kind == FileKind::Directory
        {
            *dir = found.attr.file;
        }
    }
    let ([dir, other], one, two) = (dirs, some_name(), some_name());
    match random.below(8) {
        0 | 1 => {
            files.mkdir(&ctx, Mkdir { dir, name: one, mode: Mode(0o755), set }).await?;
        }
        2 => {
            let (kind, mode) = (NodeKind::File, Mode(0o644));
            files.mknod(&ctx, Mknod { dir, name: one, kind, mode, set }).await?;
        }
        3 => {
            files.unlink(&ctx, Unlink { dir, name: one }).await?;
        }
        4 => {
            files.rmdir(&ctx, Rmdir { dir, name: one }).await?;
        }
        5 => {
            let file = files.lookup(&ctx, Lookup { dir, name: one }).await?.attr.file;
            files.link(&ctx, Link { file, dir: other, name: two }).await?;
        }
        how => {
            let how = if how == 6 { RenameHow::Replace } else { RenameHow::Exchange };
            let request = Rename { from_dir: dir, from_name: one, to_dir: other, to_name: two, how };
            files.rename(&ctx, request).await?;
        }
    }
    Ok(())
}

/// Removes `name` in `dir` and all below it, if it is there.
pub(crate) async fn remove(core: &Core, text: &str) {
    let (files, ctx) = (&core.files, root());
    let Ok(found) = files.lookup(&ctx, Lookup { dir: core.top, name: name(text) }).await else { return };
    let (mut left, mut all) = (vec![found.attr.file], vec![(core.top, name(text), true)]);
    while let Some(dir) = left.pop() {
        let request = ReadDir { dir, after: Cookie::START, limit: 1000, attrs: false };
        for entry in files.readdir(&ctx, request).await.unwrap().entries {
            let is_directory = entry.kind == FileKind::Directory;
            left.extend(is_directory.then_some(entry.file));
            all.push((dir, entry.name, is_directory));
        }
    }
    for (dir, name, is_directory) in all.into_iter().rev() {
        if is_directory {
            files.rmdir(&ctx, Rmdir { dir, name }).await.unwrap();
        } else {
            files.unlink(&ctx, Unlink { dir, name }).await.unwrap();
        }
    }
}

/// Removes the directory.
pub(crate) async fn clear(core: &Core) {
    remove(core, DIRECTORY).await;
}
