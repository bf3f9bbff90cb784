//! What is retained stays as it is, whoever asks and however.

use crate::desk::{BOTH, Desk, READ, must, name, refused};
use bytes::Bytes;
use types::{ByteRange, Cred, FileId, FsError, Guard, Mode, Retention, SetAttr, SetTime, Time};
use vfs::*;

/// Long after the end of any test, whatever its clock says.
const LATER: i64 = 1 << 40;
const GOVERNANCE: Retention = Retention { until: LATER, compliance: false, hold: false };
const COMPLIANCE: Retention = Retention { compliance: true, ..GOVERNANCE };
const HOLD: Retention = Retention { until: 0, compliance: false, hold: true };
const NONE: Retention = Retention { hold: false, ..HOLD };

async fn put<V: Vfs>(desk: &Desk<'_, V>, text: &str, retention: Retention) -> FsResult<FileId> {
    let source = PutSource::Content { data: Bytes::from_static(b"as it is"), mode: Mode(0o644) };
    let request = Put {
        dir: desk.dir,
        name: name(text),
        source,
        values: Vec::new(),
        only: PutIf::Any,
        keep: None,
        retention,
    };
    desk.vfs.put(&desk.ctx, request).await.map(|reply| reply.attr.file)
}

async fn retain<V: Vfs>(
    desk: &Desk<'_, V>,
    file: FileId,
    retention: Retention,
    bypass: bool,
) -> FsResult<()> {
    desk.vfs.retain(&desk.ctx, Retain { file, retention, bypass, seen: None }).await.map(drop)
}

async fn write<V: Vfs>(desk: &Desk<'_, V>, file: FileId, open: Option<OpenId>) -> FsResult<()> {
    let (offset, data) = (WriteOffset::At(0), Bytes::from_static(b"other"));
    let durability = Durability::Unstable;
    desk.vfs.write(&desk.ctx, Write { file, open, offset, data, durability }).await.map(drop)
}

async fn open<V: Vfs>(
    desk: &Desk<'_, V>,
    file: FileId,
    access: OpenAccess,
    truncate: bool,
) -> FsResult<OpenId> {
    let request = Open {
        target: OpenTarget::File(file),
        access,
        deny: OpenAccess::default(),
        create: None,
        truncate,
        reclaim: false,
        for_execution: false,
    };
    desk.vfs.open(&desk.ctx, request).await.map(|reply| reply.open)
}

async fn rename<V: Vfs>(desk: &Desk<'_, V>, from: &str, to: &str, how: RenameHow) -> FsResult<()> {
    let (from_dir, to_dir) = (desk.dir, desk.dir);
    let request = Rename { from_dir, from_name: name(from), to_dir, to_name: name(to), how };
    desk.vfs.rename(&desk.ctx, request).await.map(drop)
}

async fn unlink<V: Vfs>(desk: &Desk<'_, V>, text: &str) -> FsResult<()> {
    desk.vfs.unlink(&desk.ctx, Unlink { dir: desk.dir, name: name(text) }).await.map(drop)
}

async fn set<V: Vfs>(desk: &Desk<'_, V>, file: FileId, set: SetAttr) -> FsResult<()> {
    desk.vfs.setattr(&desk.ctx, SetAttrOf { file, open: None, set, if_ctime: None }).await.map(drop)
}

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    for (text, retention) in [("governance", GOVERNANCE), ("compliance", COMPLIANCE), ("hold", HOLD)] {
        nobody_changes_it(&desk.sub(text).await, retention).await;
    }
    it_grows_and_ends(desk).await;
    what_is_open_stays_as_it_is(desk).await;
    heads_move_versions(desk).await;
    the_way_to_it_stays(desk).await;
}

async fn nobody_changes_it<V: Vfs>(desk: &Desk<'_, V>, retention: Retention) {
    let refuse = |what: &str, result| refused(what, result, FsError::NotPermitted);
    let file = must("put", put(desk, "locked", retention).await);
    let other = must("another", put(desk, "other", NONE).await);
    let kept = must("kept", desk.vfs.getsystem(&desk.ctx, GetSystem { file }).await);
    assert_eq!(kept.retention, retention);
    refuse("write", write(desk, file, None).await);
    refuse("open to write", open(desk, file, BOTH, false).await.map(drop));
    refuse("open to cut", open(desk, file, READ, true).await.map(drop));
    refuse("cut", set(desk, file, SetAttr { size: Some(0), ..SetAttr::default() }).await);
    refuse("extend", set(desk, file, SetAttr { size: Some(100), ..SetAttr::default() }).await);
    refuse("chmod", desk.chmod(file, 0o600).await.map(drop));
    refuse("chown", set(desk, file, SetAttr { uid: Some(7), ..SetAttr::default() }).await);
    let time = Some(SetTime::At(Time { seconds: 5, nanoseconds: 0 }));
    refuse("mtime", set(desk, file, SetAttr { mtime: time, ..SetAttr::default() }).await);
    must("atime", set(desk, file, SetAttr { atime: time, ..SetAttr::default() }).await);
    let (xattr, value, how) = (name("user.a"), Bytes::from_static(b"v"), SetXattrHow::Either);
    refuse("xattr", desk.vfs.setxattr(&desk.ctx, SetXattr { file, name: xattr, value, how }).await.map(drop));
    for how in [AllocateHow::Reserve, AllocateHow::Punch, AllocateHow::Zero] {
        let range = ByteRange { offset: 0, end: 4096 };
        refuse("allocate", desk.vfs.allocate(&desk.ctx, Allocate { file, open: None, range, how }).await);
    }
    refuse("clone into it", desk.vfs.clone_range(&desk.ctx, CloneRange::whole(other, file)).await);
    must("clone of it", desk.vfs.clone_range(&desk.ctx, CloneRange::whole(file, other)).await);
    refuse("remove", unlink(desk, "locked").await);
    refuse("move", rename(desk, "locked", "elsewhere", RenameHow::NoReplace).await);
    refuse("replace", rename(desk, "other", "locked", RenameHow::Replace).await);
    refuse("exchange", rename(desk, "other", "locked", RenameHow::Exchange).await);
    refuse("exchange", rename(desk, "locked", "other", RenameHow::Exchange).await);
    refuse("put", put(desk, "locked", NONE).await.map(drop));
    must("another name", desk.link(file, "second").await);
    refuse("remove that", unlink(desk, "second").await);
    let read = Read { file, open: None, offset: 0, length: 100 };
    assert_eq!(&must("read", desk.vfs.read(&desk.ctx, read).await).data[..], b"as it is");
    let stranger = desk.by(Cred::user(5, 5));
    refused("a stranger", retain(&stranger, file, NONE, true).await, FsError::NotPermitted);
}

async fn it_grows_and_ends<V: Vfs>(desk: &Desk<'_, V>) {
    let file = must("put", put(desk, "grows", GOVERNANCE).await);
    let longer = Retention { until: LATER + 1, ..GOVERNANCE };
    must("longer", retain(desk, file, longer, false).await);
    refused("shorter", retain(desk, file, GOVERNANCE, false).await, FsError::NotPermitted);
    must("on hold too", retain(desk, file, Retention { hold: true, ..longer }, false).await);
    must("off hold", retain(desk, file, longer, false).await);
    must("around governance", retain(desk, file, NONE, true).await);
    must("write", write(desk, file, None).await);
    must("retained again", retain(desk, file, COMPLIANCE, false).await);
    refused("compliance", retain(desk, file, NONE, true).await, FsError::NotPermitted);
    let only = |retention, seen| Retain { file, retention, bypass: false, seen: Some(seen) };
    let held = Retention { hold: true, ..COMPLIANCE };
    must("as seen", desk.vfs.retain(&desk.ctx, only(held, COMPLIANCE)).await);
    refused("not as seen", desk.vfs.retain(&desk.ctx, only(COMPLIANCE, COMPLIANCE)).await, FsError::Busy);
    let past = must("put", put(desk, "past", Retention { until: 1, ..COMPLIANCE }).await);
    // A model's clock may begin with the time itself.
    if let Ok(()) = write(desk, past, None).await {
        must("remove", unlink(desk, "past").await);
    }
    let before = must("put", put(desk, "unlocked", NONE).await);
    must("remove", unlink(desk, "unlocked").await);
    refused("gone", retain(desk, before, HOLD, false).await, FsError::Stale);
    let dir = must("a directory", desk.mkdir("dir", 0o755).await).file;
    refused("no file", retain(desk, dir, HOLD, false).await, FsError::Invalid);
}

async fn what_is_open_stays_as_it_is<V: Vfs>(desk: &Desk<'_, V>) {
    let file = must("put", put(desk, "open", NONE).await);
    let writer = must("open", open(desk, file, BOTH, false).await);
    must("write", write(desk, file, Some(writer)).await);
    must("retain", retain(desk, file, HOLD, false).await);
    refused("write", write(desk, file, Some(writer)).await, FsError::NotPermitted);
    let read = Read { file, open: Some(writer), offset: 0, length: 100 };
    assert_eq!(&must("read", desk.vfs.read(&desk.ctx, read).await).data[..], b"other is", "written before");
    must("close", desk.vfs.close(&desk.ctx, Close { open: writer }).await);
}

async fn heads_move_versions<V: Vfs>(desk: &Desk<'_, V>) {
    let old = must("put", put(desk, "version", COMPLIANCE).await);
    let source = PutSource::Content { data: Bytes::new(), mode: Mode(0o644) };
    let kept = desk.sub("versions").await;
    let request = Put {
        dir: desk.dir,
        name: name("version"),
        source,
        values: Vec::new(),
        only: PutIf::Any,
        keep: Some((kept.dir, name("1"))),
        retention: HOLD,
    };
    must("a newer version", desk.vfs.put(&desk.ctx, request).await);
    assert_eq!(must("kept", kept.lookup("1").await).file, old);
    refused("remove", unlink(&kept, "1").await, FsError::NotPermitted);
    must("moved by a head", rename(&kept, "1", "2", RenameHow::Restore).await);
    must("a free one", put(&kept, "3", NONE).await);
    refused("onto another", rename(&kept, "2", "3", RenameHow::Restore).await, FsError::Exists);
}

async fn the_way_to_it_stays<V: Vfs>(desk: &Desk<'_, V>) {
    let guard = async |dir, guard| {
        let request = SetGuard { dir, guard };
        desk.vfs.set_guard(&desk.ctx, request).await.map(drop)
    };
    let way = desk.sub("way").await;
    let below = must("mkdir", way.mkdir("below", 0o755).await).file;
    must("guard", guard(way.dir, Some(Guard { until: LATER, itself: false })).await);
    must("less changes nothing", guard(way.dir, Some(Guard { until: 5, itself: false })).await);
    refused("rename", rename(desk, "way", "away", RenameHow::NoReplace).await, FsError::NotPermitted);
    must("mkdir", desk.mkdir("spare", 0o755).await);
    refused("exchange", rename(desk, "spare", "way", RenameHow::Exchange).await, FsError::NotPermitted);
    must("itself", guard(below, Some(Guard { until: LATER, itself: true })).await);
    let rmdir = async |dir, text| desk.vfs.rmdir(&desk.ctx, Rmdir { dir, name: name(text) }).await.map(drop);
    refused("rmdir", rmdir(way.dir, "below").await, FsError::NotPermitted);
    refused("rename", rename(&way, "below", "b", RenameHow::NoReplace).await, FsError::NotPermitted);
    must("free", guard(below, None).await);
    must("rmdir", rmdir(way.dir, "below").await);
    must("empty it may move", rename(desk, "way", "away", RenameHow::NoReplace).await);
    must("and go", rmdir(desk.dir, "away").await);
    let file = must("put", put(desk, "no-directory", NONE).await);
    refused("a file", guard(file, None).await, FsError::NotDirectory);
}
