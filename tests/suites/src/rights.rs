//! Who may do what: classes, search, sticky and setgid directories, chmod and chown.

use crate::desk::{BOTH, Desk, READ, WRITE, must, refused};
use std::sync::Arc;
use types::{AccessMask, Cred, FsError};
use vfs::{Access, CreateHow, Vfs};

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    classes(&desk.sub("classes").await).await;
    directories(&desk.sub("directories").await).await;
    sticky(&desk.sub("sticky").await).await;
    setgid(&desk.sub("setgid").await).await;
    changes(&desk.sub("changes").await).await;
}

async fn classes<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    must("chown", desk.chown(file, Some(1000), Some(100)).await);
    let owner = Cred::user(1000, 1);
    let member = Cred { uid: 1001, gid: 2, groups: Arc::from([99, 100]) };
    let other = Cred::user(1002, 3);
    for (mode, cred, granted) in [
        (0o640, &owner, 6),
        (0o640, &member, 4),
        (0o640, &other, 0),
        (0o046, &owner, 0),
        (0o046, &member, 4),
        (0o046, &other, 6),
        (0o000, &Cred::root(), 6),
        (0o010, &Cred::root(), 7),
    ] {
        must("chmod", desk.chmod(file, mode).await);
        let by = desk.by(cred.clone());
        let reply = by.vfs.access(&by.ctx, Access { file, mask: AccessMask::ALL }).await;
        assert_eq!(must("access", reply).granted.0, granted, "mode {mode:o} for {cred:?}");
        for (access, bit) in [(READ, 4), (WRITE, 2)] {
            let opened = by.open("f", access, None).await;
            if granted & bit != 0 {
                by.close(must("open", opened).open).await;
            } else {
                refused(&format!("open of mode {mode:o}"), opened, FsError::AccessDenied);
            }
        }
        if granted & 4 == 0 {
            refused("read", by.read(file, 0, 1).await, FsError::AccessDenied);
        }
        if granted & 2 == 0 {
            refused("write", by.write(file, 0, b"x").await, FsError::AccessDenied);
            refused("truncate", by.truncate(file, 0).await, FsError::AccessDenied);
        }
    }
}

async fn directories<V: Vfs>(desk: &Desk<'_, V>) {
    let dir = desk.sub("d").await;
    dir.file("f").await;
    let user = dir.by(Cred::user(1000, 1000));
    must("chmod", desk.chmod(dir.dir, 0o754).await);
    refused("search", user.lookup("f").await, FsError::AccessDenied);
    assert_eq!(user.names().await, ["f"], "listing needs only the right to read");
    must("chmod", desk.chmod(dir.dir, 0o751).await);
    must("search", user.lookup("f").await);
    let listed = user.vfs.readdir(
        &user.ctx,
        vfs::ReadDir { dir: dir.dir, after: types::Cookie::START, limit: 9, attrs: false },
    );
    refused("list", listed.await, FsError::AccessDenied);
    for mode in [0o755, 0o756] {
        must("chmod", desk.chmod(dir.dir, mode).await);
        refused("create", user.open("n", BOTH, Some(CreateHow::Guarded)).await, FsError::AccessDenied);
        refused("mkdir", user.mkdir("n", 0o777).await, FsError::AccessDenied);
        refused("symlink", user.symlink("n", b"x").await, FsError::AccessDenied);
        refused("unlink", user.unlink("f").await, FsError::AccessDenied);
        refused("rename", user.rename("f", "g").await, FsError::AccessDenied);
    }
    must("chmod", desk.chmod(dir.dir, 0o757).await);
    let made = must("create", user.open("n", BOTH, Some(CreateHow::Guarded)).await);
    assert_eq!((made.attr.uid, made.attr.gid, made.attr.mode.0), (1000, 1000, 0o644));
    user.close(made.open).await;
    must("unlink of another's file", user.unlink("f").await);
}

async fn sticky<V: Vfs>(desk: &Desk<'_, V>) {
    let dir = desk.sub("d").await;
    must("chmod", desk.chmod(dir.dir, 0o1777).await);
    let (one, two) = (dir.by(Cred::user(1, 1)), dir.by(Cred::user(2, 2)));
    one.file("of-one").await;
    two.file("of-two").await;
    must("mkdir", one.mkdir("dir-of-one", 0o777).await);
    refused("unlink", two.unlink("of-one").await, FsError::NotPermitted);
    refused("rmdir", two.rmdir("dir-of-one").await, FsError::NotPermitted);
    refused("rename away", two.rename("of-one", "x").await, FsError::NotPermitted);
    refused("rename over", two.rename("of-two", "of-one").await, FsError::NotPermitted);
    must("one's own", two.rename("of-two", "mine").await);
    must("one's own", one.unlink("of-one").await);
    must("the superuser", dir.unlink("mine").await);
    must("chown", desk.chown(dir.dir, Some(2), None).await);
    must("the owner of the directory", two.rmdir("dir-of-one").await);
}

async fn setgid<V: Vfs>(desk: &Desk<'_, V>) {
    let dir = desk.sub("d").await;
    must("chown", desk.chown(dir.dir, None, Some(77)).await);
    must("chmod", desk.chmod(dir.dir, 0o2777).await);
    let user = dir.by(Cred::user(1, 1));
    let file = user.file("f").await;
    assert_eq!(desk.attr(file).await.gid, 77);
    let sub = must("mkdir", user.mkdir("sub", 0o755).await);
    assert_eq!((sub.gid, sub.mode.0), (77, 0o2755));
    let link = must("symlink", user.symlink("s", b"x").await);
    assert_eq!(link.gid, 77);
    let plain = desk.by(Cred::user(1, 5));
    assert_eq!(must("mkdir", plain.mkdir("plain", 0o755).await).gid, 5);
}

async fn changes<V: Vfs>(desk: &Desk<'_, V>) {
    let owner = desk.by(Cred { uid: 1000, gid: 1000, groups: Arc::from([50]) });
    let other = desk.by(Cred::user(1001, 1001));
    let file = owner.file("f").await;
    refused("chmod by another", other.chmod(file, 0o777).await, FsError::NotPermitted);
    refused("chown by another", other.chown(file, Some(1001), None).await, FsError::NotPermitted);
    refused("giving away", owner.chown(file, Some(1001), None).await, FsError::NotPermitted);
    refused("a foreign group", owner.chown(file, None, Some(51)).await, FsError::NotPermitted);
    must("a group of one's own", owner.chown(file, None, Some(50)).await);
    must("nothing new", owner.chown(file, Some(1000), Some(50)).await);

    assert_eq!(must("chmod", owner.chmod(file, 0o6755).await).mode.0, 0o6755);
    must("write", owner.write(file, 0, b"x").await);
    assert_eq!(desk.attr(file).await.mode.0, 0o755, "a write takes setuid and setgid");
    must("chmod", owner.chmod(file, 0o6755).await);
    must("truncate", owner.truncate(file, 0).await);
    assert_eq!(desk.attr(file).await.mode.0, 0o755, "so does a truncate");
    must("chmod", owner.chmod(file, 0o6755).await);
    must("chown", owner.chown(file, None, Some(1000)).await);
    assert_eq!(desk.attr(file).await.mode.0, 0o755, "and a new group");
    must("chmod", desk.chmod(file, 0o4755).await);
    must("write", desk.write(file, 0, b"x").await);
    assert_eq!(desk.attr(file).await.mode.0, 0o4755, "but not the superuser's write");

    must("chown", desk.chown(file, None, Some(60)).await);
    assert_eq!(must("chmod", owner.chmod(file, 0o2755).await).mode.0, 0o755, "no setgid of a foreign group");
    let both = types::SetAttr { mode: Some(types::Mode(0o600)), uid: Some(1), ..types::SetAttr::default() };
    refused("all or nothing", owner.set(file, both).await, FsError::NotPermitted);
    assert_eq!(desk.attr(file).await.mode.0, 0o755);
}
