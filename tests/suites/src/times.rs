//! Times and the change attribute: what moves with what.

use crate::desk::{Desk, must, refused};
use types::{Attr, Cred, FileId, FsError, SetAttr, SetTime, Time};
use vfs::{SetAttrOf, Vfs};

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    moves(&desk.sub("moves").await).await;
    set(&desk.sub("set").await).await;
    guard(&desk.sub("guard").await).await;
}

/// What must have moved since the last look.
struct Watch<'a, 'b, V> {
    desk: &'a Desk<'b, V>,
    file: FileId,
    last: Attr,
}

impl<V: Vfs> Watch<'_, '_, V> {
    async fn expect(&mut self, what: &str, content: bool, anything: bool) {
        let now = self.desk.attr(self.file).await;
        let (old, new) = (&self.last, &now);
        assert_eq!(new.change > old.change, anything, "{what}: change attribute");
        assert!(new.change >= old.change && new.mtime >= old.mtime && new.ctime >= old.ctime, "{what}");
        assert_eq!(new.ctime > old.ctime, anything, "{what}: status change time");
        assert_eq!(new.mtime > old.mtime, content, "{what}: modification time");
        assert_eq!(new.btime, old.btime, "{what}: creation time");
        self.last = now;
    }
}

async fn moves<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    let mut of_file = Watch { desk, file, last: desk.attr(file).await };
    let mut of_dir = Watch { desk, file: desk.dir, last: desk.here().await };
    must("write", desk.write(file, 0, b"abc").await);
    of_file.expect("write", true, true).await;
    must("empty write", desk.write(file, 0, b"").await);
    of_file.expect("empty write", false, false).await;
    must("read", desk.read(file, 0, 3).await);
    of_file.expect("read", false, false).await;
    must("truncate", desk.truncate(file, 1).await);
    of_file.expect("truncate", true, true).await;
    must("chmod", desk.chmod(file, 0o600).await);
    of_file.expect("chmod", false, true).await;
    must("chown", desk.chown(file, Some(5), None).await);
    of_file.expect("chown", false, true).await;
    of_dir.expect("nothing of the directory", false, false).await;
    must("link", desk.link(file, "g").await);
    of_file.expect("link", false, true).await;
    of_dir.expect("link", true, true).await;
    must("rename", desk.rename("g", "h").await);
    of_file.expect("rename", false, true).await;
    of_dir.expect("rename", true, true).await;
    must("unlink", desk.unlink("h").await);
    of_file.expect("unlink", false, true).await;
    of_dir.expect("unlink", true, true).await;
    must("mkdir", desk.mkdir("d", 0o777).await);
    of_dir.expect("mkdir", true, true).await;
    must("rmdir", desk.rmdir("d").await);
    of_dir.expect("rmdir", true, true).await;
    must("symlink", desk.symlink("s", b"x").await);
    of_dir.expect("symlink", true, true).await;
    refused("a failing mkdir", desk.mkdir("s", 0o777).await, FsError::Exists);
    of_dir.expect("a failing mkdir", false, false).await;
}

async fn set<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.by(Cred::user(1000, 1000)).file("f").await;
    let at = |seconds, nanoseconds| Some(SetTime::At(Time { seconds, nanoseconds }));
    let times = SetAttr { atime: at(-5, 7), mtime: at(1 << 33, 999_999_999), ..SetAttr::default() };
    let owner = desk.by(Cred::user(1000, 1000));
    let attr = must("times by the owner", owner.set(file, times.clone()).await);
    assert_eq!(attr.atime, Time { seconds: -5, nanoseconds: 7 });
    assert_eq!(attr.mtime, Time { seconds: 1 << 33, nanoseconds: 999_999_999 });
    let other = desk.by(Cred::user(1001, 1001));
    refused("times by another", other.set(file, times).await, FsError::NotPermitted);
    let now = SetAttr { atime: Some(SetTime::Now), mtime: Some(SetTime::Now), ..SetAttr::default() };
    refused("the present by another", other.set(file, now.clone()).await, FsError::AccessDenied);
    must("chmod", desk.chmod(file, 0o666).await);
    let attr = must("the present by a writer", other.set(file, now).await);
    assert!(attr.mtime.seconds < 1 << 33);
    let wrong = SetAttr { mtime: at(0, 1_000_000_000), ..SetAttr::default() };
    refused("nanoseconds over a second", owner.set(file, wrong).await, FsError::Invalid);
}

async fn guard<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    let ctime = desk.attr(file).await.ctime;
    let set = SetAttr { size: Some(9), ..SetAttr::default() };
    let old = Time { seconds: 1, nanoseconds: 0 };
    let request = |guard| SetAttrOf { file, open: None, set: set.clone(), if_ctime: Some(guard) };
    refused("a wrong guard", desk.vfs.setattr(&desk.ctx, request(old)).await, FsError::Busy);
    assert_eq!(desk.attr(file).await.size, 0);
    must("the right guard", desk.vfs.setattr(&desk.ctx, request(ctime)).await);
}
