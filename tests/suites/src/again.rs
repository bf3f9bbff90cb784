//! Asking for the first answer to a change, which is given or refused, and nothing is done.

use crate::desk::{BOTH, Desk, NOTHING, must, name, refused};
use types::{Cred, FileId, FsError, Mode, RequestId, SetAttr};
use vfs::*;

const CLIENT: u128 = 21;

fn numbered(sequence: u64, step: u16, again: bool) -> Ctx {
    let request = RequestId { client: CLIENT, channel: 3, sequence, step };
    Ctx { client: ClientId(CLIENT), request: Some(request), again, ..Ctx::new(Cred::root()) }
}

fn make(dir: FileId, text: &str) -> Mkdir {
    Mkdir { dir, name: name(text), mode: Mode(0o755), set: SetAttr::default() }
}

/// For implementations that remember by the caller's own identities.
///
/// # Panics
/// When something is not as the contract has it.
pub async fn run<V: Vfs>(vfs: &V, root: FileId) {
    let desk = Desk::below(vfs, root, "again").await;
    let dir = desk.dir;
    let high = 7 << 32;
    // The same request over and over, as its client has lost the reply; what it says of its number is short.
    let (one, retry) = (|step| numbered(high + 1, step, false), |step| numbered(1, step, true));

    refused("before it was done", vfs.mkdir(&retry(0), make(dir, "d")).await, FsError::NotDone);
    refused("and nothing is done", desk.lookup("d").await, FsError::NotFound);
    let made = must("mkdir", vfs.mkdir(&one(0), make(dir, "d")).await);
    assert_eq!(vfs.mkdir(&retry(0), make(dir, "d")).await, Ok(made));
    refused("another step", vfs.mkdir(&retry(1), make(dir, "d")).await, FsError::NotDone);

    let (target, access, deny) = (OpenTarget::Entry { dir, name: name("f") }, BOTH, NOTHING);
    let create = Some(Create { how: CreateHow::Guarded, mode: Mode(0o600), set: SetAttr::default() });
    let open = Open { target, access, deny, create, truncate: false, reclaim: false, for_execution: false };
    let opened = must("open", vfs.open(&one(1), open.clone()).await);
    let again = must("open again", vfs.open(&retry(1), open.clone()).await);
    assert_eq!((again.attr.file, again.created, again.dir), (opened.attr.file, true, opened.dir));
    let file = opened.attr.file;
    let plain = Open { target: OpenTarget::File(file), create: None, ..open };
    refused("an open is not remembered", vfs.open(&retry(2), plain).await, FsError::NotDone);

    let link = || Link { file, dir, name: name("g") };
    let linked = must("link", vfs.link(&one(2), link()).await);
    assert_eq!(vfs.link(&retry(2), link()).await, Ok(linked));
    let rename = |to: &str| {
        let how = RenameHow::Replace;
        Rename { from_dir: dir, from_name: name("g"), to_dir: dir, to_name: name(to), how }
    };
    let moved = must("rename", vfs.rename(&one(3), rename("h")).await);
    assert_eq!(vfs.rename(&retry(3), rename("h")).await, Ok(moved));
    let unlink = || Unlink { dir, name: name("h") };
    let gone = must("unlink", vfs.unlink(&one(4), unlink()).await);
    assert_eq!(vfs.unlink(&retry(4), unlink()).await, Ok(gone));
    let rmdir = || Rmdir { dir, name: name("d") };
    let gone = must("rmdir", vfs.rmdir(&one(5), rmdir()).await);
    let again = must("rmdir again", vfs.rmdir(&retry(5), rmdir()).await);
    assert_eq!(again.dir, gone.dir);

    let cut = |size| {
        let set = SetAttr { size: Some(size), ..SetAttr::default() };
        SetAttrOf { file, open: None, set, if_ctime: None }
    };
    must("cut", vfs.setattr(&one(6), cut(5)).await);
    must("others go on", desk.write(file, 0, b"0123456789").await);
    must("cut again", vfs.setattr(&retry(6), cut(5)).await);
    assert_eq!(desk.attr(file).await.size, 10, "it was done before the others went on");

    // What failed has had no effect, and is tried anew.
    refused("exists", vfs.mkdir(&one(7), make(dir, "f")).await, FsError::Exists);
    refused("failed", vfs.mkdir(&retry(7), make(dir, "f")).await, FsError::NotDone);
    let nobody = Ctx { request: None, ..retry(0) };
    refused("nobody's", vfs.mkdir(&nobody, make(dir, "x")).await, FsError::NotDone);

    let forget = |channels| ForgetRequests { client: CLIENT, channels };
    must("forget", vfs.forget_requests(&desk.ctx, forget(4..=u32::MAX)).await);
    must("not forgotten", vfs.rmdir(&retry(5), rmdir()).await);
    must("forget", vfs.forget_requests(&desk.ctx, forget(0..=3)).await);
    refused("forgotten", vfs.rmdir(&retry(5), rmdir()).await, FsError::NotDone);
    must("end", vfs.end_client(&desk.ctx, EndClient { client: ClientId(CLIENT) }).await);
}
