//! Opens: creating, orphans, share reservations, what an open allows.

use crate::desk::{BOTH, Desk, NOTHING, READ, WRITE, must, refused};
use types::{Cred, FsError, SetAttr};
use vfs::{Close, CreateHow, GetAttr, OpenTarget, Reopen, SetAttrOf, Vfs, WriteOffset};

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    creating(&desk.sub("creating").await).await;
    kinds(&desk.sub("kinds").await).await;
    orphans(&desk.sub("orphans").await).await;
    allowing(&desk.sub("allowing").await).await;
    denying(&desk.sub("denying").await).await;
}

async fn creating<V: Vfs>(desk: &Desk<'_, V>) {
    refused("without create", desk.open("f", READ, None).await, FsError::NotFound);
    let first = must("guarded", desk.open("f", BOTH, Some(CreateHow::Guarded)).await);
    assert!(first.created);
    assert!(first.dir.is_some_and(|dir| dir.after > dir.before));
    refused("guarded twice", desk.open("f", BOTH, Some(CreateHow::Guarded)).await, FsError::Exists);
    must("write", desk.write(first.attr.file, 0, b"data").await);
    let again = must("unchecked", desk.open("f", BOTH, Some(CreateHow::Unchecked)).await);
    assert!(!again.created && again.attr.file == first.attr.file && again.attr.size == 4);
    assert_ne!(again.open, first.open);
    let target = OpenTarget::Entry { dir: desk.dir, name: crate::desk::name("f") };
    let cut = vfs::Open {
        target,
        access: WRITE,
        deny: NOTHING,
        create: None,
        truncate: true,
        reclaim: false,
        for_execution: false,
    };
    let cut = must("truncate", desk.vfs.open(&desk.ctx, cut).await);
    assert_eq!(cut.attr.size, 0);
    for open in [first.open, again.open, cut.open] {
        desk.close(open).await;
    }
    let twice = desk.vfs.close(&desk.ctx, Close { open: first.open }).await;
    refused("close twice", twice, FsError::BadOpen);

    let verifier = CreateHow::Exclusive(*b"12345678");
    let made = must("exclusive", desk.open("e", BOTH, Some(verifier)).await);
    let retry = must("exclusive again", desk.open("e", BOTH, Some(verifier)).await);
    assert_eq!(made.attr.file, retry.attr.file);
    let other = CreateHow::Exclusive(*b"other678");
    refused("another's verifier", desk.open("e", BOTH, Some(other)).await, FsError::Exists);
    desk.close(made.open).await;
    desk.close(retry.open).await;

    let user = desk.by(Cred::user(1000, 1000));
    let target = OpenTarget::Entry { dir: desk.dir, name: crate::desk::name("secret") };
    let create = vfs::Create { how: CreateHow::Guarded, mode: types::Mode(0), set: SetAttr::default() };
    let made = must("a mode that forbids", user.open_with(target, BOTH, NOTHING, Some(create)).await);
    let wrote = user.write_with(made.attr.file, Some(made.open), WriteOffset::At(0), b"x").await;
    must("the maker's open allows all the same", wrote);
    refused("a second open", user.open("secret", READ, None).await, FsError::AccessDenied);
    user.close(made.open).await;
}

async fn kinds<V: Vfs>(desk: &Desk<'_, V>) {
    must("mkdir", desk.mkdir("d", 0o777).await);
    must("symlink", desk.symlink("s", b"f").await);
    refused("a directory", desk.open("d", READ, None).await, FsError::IsDirectory);
    refused("a symlink", desk.open("s", READ, None).await, FsError::IsSymlink);
    refused("create over", desk.open("d", READ, Some(CreateHow::Unchecked)).await, FsError::IsDirectory);
    refused("create over", desk.open("s", READ, Some(CreateHow::Guarded)).await, FsError::Exists);
}

async fn orphans<V: Vfs>(desk: &Desk<'_, V>) {
    let open = must("create", desk.open("f", BOTH, Some(CreateHow::Guarded)).await);
    let file = open.attr.file;
    must("unlink", desk.unlink("f").await);
    assert_eq!(desk.attr(file).await.links, 0);
    must("write", desk.write_with(file, Some(open.open), WriteOffset::At(0), b"still here").await);
    let data = must("read", desk.read_with(file, Some(open.open), 0, 100).await);
    assert_eq!(&data[..], b"still here");
    refused("a new name", desk.link(file, "back").await, FsError::NotFound);
    let second = desk.open_with(OpenTarget::File(file), READ, NOTHING, None).await;
    let second = must("open by identity", second).open;
    desk.close(open.open).await;
    assert_eq!(desk.attr(file).await.size, 10);
    desk.close(second).await;
    refused("gone", desk.vfs.getattr(&desk.ctx, GetAttr { file }).await, FsError::Stale);

    let replaced = must("create", desk.open("a", BOTH, Some(CreateHow::Guarded)).await);
    desk.file("b").await;
    must("rename over", desk.rename("b", "a").await);
    must("write", desk.write_with(replaced.attr.file, Some(replaced.open), WriteOffset::End, b"x").await);
    desk.close(replaced.open).await;
}

async fn allowing<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    let reader = must("read", desk.open("f", READ, None).await).open;
    let writer = must("write", desk.open("f", WRITE, None).await).open;
    let wrote = desk.write_with(file, Some(reader), WriteOffset::At(0), b"x").await;
    refused("write through a reader", wrote, FsError::BadOpen);
    refused("read through a writer", desk.read_with(file, Some(writer), 0, 1).await, FsError::BadOpen);
    let other = desk.file("other").await;
    refused("another file's open", desk.read_with(other, Some(reader), 0, 1).await, FsError::BadOpen);
    must("chmod", desk.chmod(file, 0).await);
    let user = desk.by(Cred::user(1000, 1000));
    let set = SetAttr { size: Some(5), ..SetAttr::default() };
    let cut = SetAttrOf { file, open: Some(writer), set: set.clone(), if_ctime: None };
    must("truncate through an open", user.vfs.setattr(&user.ctx, cut).await);
    let cut = SetAttrOf { file, open: Some(reader), set, if_ctime: None };
    refused("truncate through a reader", desk.vfs.setattr(&desk.ctx, cut).await, FsError::BadOpen);
    let reopen = Reopen { open: reader, access: BOTH, deny: NOTHING };
    must("upgrade", desk.vfs.reopen(&desk.ctx, reopen).await);
    must("write", desk.write_with(file, Some(reader), WriteOffset::At(0), b"x").await);
    desk.close(reader).await;
    desk.close(writer).await;
}

async fn denying<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    let target = OpenTarget::File(file);
    let held = must("open", desk.open_with(target.clone(), READ, WRITE, None).await).open;
    let second = desk.open_with(target.clone(), WRITE, NOTHING, None).await;
    refused("a denied access", second, FsError::ShareConflict);
    let second = desk.open_with(target.clone(), READ, READ, None).await;
    refused("denying what another does", second, FsError::ShareConflict);
    refused("a write without open", desk.write(file, 0, b"x").await, FsError::ShareConflict);
    let reader = must("a reader", desk.open_with(target.clone(), READ, WRITE, None).await).open;
    desk.close(held).await;
    let upgrade = Reopen { open: reader, access: BOTH, deny: NOTHING };
    must("upgrade", desk.vfs.reopen(&desk.ctx, upgrade).await);
    must("now free", desk.write(file, 0, b"x").await);
    desk.close(reader).await;
}
