//! Making, finding and removing names; link counts; symbolic links and nodes.

use crate::desk::{Desk, must, refused};
use types::limits::SYMLINK_BYTES_MAX;
use types::{Device, FileKind, FsError};
use vfs::{LookupParent, NodeKind, ReadLink, Vfs};

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    directories(&desk.sub("directories").await).await;
    files(&desk.sub("files").await).await;
    symlinks(&desk.sub("symlinks").await).await;
    nodes(&desk.sub("nodes").await).await;
}

async fn directories<V: Vfs>(desk: &Desk<'_, V>) {
    assert_eq!(desk.here().await.links, 2);
    let a = must("mkdir", desk.mkdir("a", 0o750).await);
    assert_eq!((a.kind, a.mode.0, a.links, a.size), (FileKind::Directory, 0o750, 2, 0));
    assert_eq!((desk.here().await.links, desk.here().await.size), (3, 1));
    refused("mkdir of a taken name", desk.mkdir("a", 0o777).await, FsError::Exists);
    assert_eq!(must("lookup", desk.lookup("a").await), a);
    let parent = desk.vfs.lookup_parent(&desk.ctx, LookupParent { dir: a.file }).await;
    assert_eq!(must("parent", parent).attr.file, desk.dir);
    desk.at(a.file).file("inside").await;
    refused("rmdir of a full directory", desk.rmdir("a").await, FsError::NotEmpty);
    refused("unlink of a directory", desk.unlink("a").await, FsError::IsDirectory);
    must("unlink", desk.at(a.file).unlink("inside").await);
    let before = desk.here().await.change;
    let removed = must("rmdir", desk.rmdir("a").await).dir;
    assert_eq!((removed.before, removed.after), (before, desk.here().await.change));
    assert!(removed.after > removed.before);
    assert_eq!(desk.here().await.links, 2);
    refused("lookup after rmdir", desk.lookup("a").await, FsError::NotFound);
    refused("rmdir of nothing", desk.rmdir("a").await, FsError::NotFound);
    refused("mkdir in a removed directory", desk.at(a.file).mkdir("b", 0o777).await, FsError::Stale);
}

async fn files<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    assert_eq!((desk.attr(file).await.links, desk.attr(file).await.size), (1, 0));
    refused("lookup in a file", desk.at(file).lookup("x").await, FsError::NotDirectory);
    refused("rmdir of a file", desk.rmdir("f").await, FsError::NotDirectory);
    refused("link over a name", desk.link(file, "f").await, FsError::Exists);
    let linked = must("link", desk.link(file, "g").await);
    assert_eq!((linked.attr.file, linked.attr.links), (file, 2));
    let sub = must("mkdir", desk.mkdir("d", 0o777).await).file;
    refused("link of a directory", desk.link(sub, "e").await, FsError::NotPermitted);
    must("unlink", desk.unlink("f").await);
    assert_eq!(desk.attr(file).await.links, 1);
    assert_eq!(must("lookup", desk.lookup("g").await).file, file);
    must("unlink", desk.unlink("g").await);
    refused("unlink twice", desk.unlink("g").await, FsError::NotFound);
    let gone = desk.vfs.getattr(&desk.ctx, vfs::GetAttr { file }).await;
    refused("getattr of nothing", gone, FsError::Stale);
    let again = desk.file("f").await;
    assert_ne!(again, file, "inode numbers are never used twice");
    let long = "n".repeat(255);
    let file = desk.file(&long).await;
    assert_eq!(must("lookup", desk.lookup(&long).await).file, file);
}

async fn symlinks<V: Vfs>(desk: &Desk<'_, V>) {
    let link = must("symlink", desk.symlink("s", b"some/where").await);
    assert_eq!((link.kind, link.mode.0, link.size), (FileKind::Symlink, 0o777, 10));
    let target = must("readlink", desk.vfs.readlink(&desk.ctx, ReadLink { file: link.file }).await).target;
    assert_eq!(&target[..], b"some/where");
    let long = vec![b'x'; SYMLINK_BYTES_MAX];
    must("longest symlink", desk.symlink("long", &long).await);
    let longer = vec![b'x'; SYMLINK_BYTES_MAX + 1];
    refused("too long a symlink", desk.symlink("longer", &longer).await, FsError::NameTooLong);
    refused("symlink over a name", desk.symlink("s", b"x").await, FsError::Exists);
    refused("lookup in a symlink", desk.at(link.file).lookup("x").await, FsError::NotDirectory);
    let file = desk.file("f").await;
    let wrong = desk.vfs.readlink(&desk.ctx, ReadLink { file }).await;
    refused("readlink of a file", wrong, FsError::Invalid);
    must("a second name of a symlink", desk.link(link.file, "t").await);
    refused("rmdir of a symlink", desk.rmdir("s").await, FsError::NotDirectory);
    must("unlink of a symlink", desk.unlink("s").await);
}

async fn nodes<V: Vfs>(desk: &Desk<'_, V>) {
    let device = Device { major: 259, minor: 70_000 };
    for (text, kind, expected) in [
        ("fifo", NodeKind::Fifo, FileKind::Fifo),
        ("socket", NodeKind::Socket, FileKind::Socket),
        ("char", NodeKind::CharDevice(device), FileKind::CharDevice),
        ("block", NodeKind::BlockDevice(device), FileKind::BlockDevice),
    ] {
        let made = must(text, desk.mknod(text, kind, 0o600).await);
        assert_eq!((made.kind, made.mode.0, made.links), (expected, 0o600, 1));
        let has = matches!(expected, FileKind::CharDevice | FileKind::BlockDevice);
        assert_eq!(made.device, if has { device } else { Device::default() });
        refused(text, desk.open(text, crate::desk::READ, None).await, FsError::WrongKind);
    }
    let user = desk.by(types::Cred::user(1000, 1000));
    let refusal = user.mknod("mine", NodeKind::CharDevice(device), 0o600).await;
    refused("a device by a user", refusal, FsError::NotPermitted);
    must("a fifo by a user", user.mknod("mine", NodeKind::Fifo, 0o600).await);
}
