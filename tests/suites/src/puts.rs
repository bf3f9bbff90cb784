//! Whole files that appear at once, what heads keep with files, and listings in the order of names.

use crate::desk::{Desk, READ, must, name, refused};
use bytes::Bytes;
use types::{ByteRange, Cred, FileId, FileKind, FsError, Mode, Retention, SetAttr};
use vfs::*;

async fn stage<V: Vfs>(desk: &Desk<'_, V>, data: &[u8]) -> OpenReply {
    let request = Stage { near: desk.dir, mode: Mode(0o640) };
    let staged = must("stage", desk.vfs.stage(&desk.ctx, request).await);
    write(desk, staged.attr.file, Some(staged.open), data).await;
    staged
}

async fn write<V: Vfs>(desk: &Desk<'_, V>, file: FileId, open: Option<OpenId>, data: &[u8]) {
    let write = Write {
        file,
        open,
        offset: WriteOffset::At(0),
        data: Bytes::copy_from_slice(data),
        durability: Durability::Unstable,
    };
    must("write", desk.vfs.write(&desk.ctx, write).await);
}

async fn content<V: Vfs>(desk: &Desk<'_, V>, file: FileId, open: Option<OpenId>) -> Bytes {
    let read = Read { file, open, offset: 0, length: 1 << 20 };
    must("read", desk.vfs.read(&desk.ctx, read).await).data
}

async fn put<V: Vfs>(desk: &Desk<'_, V>, text: &str, source: PutSource, only: PutIf) -> FsResult<FileId> {
    let values = vec![(name("tag"), Bytes::from_static(b"value"))];
    let request = Put {
        dir: desk.dir,
        name: name(text),
        source,
        values,
        only,
        keep: None,
        retention: Retention::default(),
    };
    desk.vfs.put(&desk.ctx, request).await.map(|reply| reply.attr.file)
}

async fn values<V: Vfs>(desk: &Desk<'_, V>, file: FileId) -> Vec<(String, Bytes, bool)> {
    let reply = must("getsystem", desk.vfs.getsystem(&desk.ctx, GetSystem { file }).await);
    reply.values.into_iter().map(|(name, value)| (name.to_string(), value.value, value.fresh)).collect()
}

async fn close<V: Vfs>(desk: &Desk<'_, V>, open: OpenId) {
    must("close", desk.vfs.close(&desk.ctx, Close { open }).await);
}

fn small(data: &'static [u8]) -> PutSource {
    PutSource::Content { data: Bytes::from_static(data), mode: Mode(0o644) }
}

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    a_staged_file_has_no_name_until_it_is_put(desk).await;
    content_comes_in_one_step(desk).await;
    conditions_are_of_the_moment(desk).await;
    a_replaced_file_can_be_kept(desk).await;
    system_attributes_are_apart(desk).await;
    listings_are_in_the_order_of_paths(&desk.sub("listing").await).await;
    the_system_directory_has_no_name(desk).await;
}

async fn a_staged_file_has_no_name_until_it_is_put<V: Vfs>(desk: &Desk<'_, V>) {
    let staged = stage(desk, &[7; 10_000]).await;
    let file = staged.attr.file;
    assert_eq!((staged.attr.links, staged.attr.mode), (0, Mode(0o640)));
    refused("a name", desk.lookup("a").await, FsError::NotFound);
    refused("another way", desk.link(file, "a").await, FsError::NotFound);
    let old = must("put", put(desk, "a", small(b"old"), PutIf::Any).await);
    let reader = Open {
        target: OpenTarget::File(old),
        access: READ,
        deny: OpenAccess::default(),
        create: None,
        truncate: false,
        reclaim: false,
        for_execution: false,
    };
    let reader = must("open", desk.vfs.open(&desk.ctx, reader).await).open;
    assert_eq!(must("put", put(desk, "a", PutSource::Staged(file), PutIf::Any).await), file);
    let attr = must("lookup", desk.lookup("a").await);
    assert_eq!((attr.file, attr.links, attr.size), (file, 1, 10_000));
    assert!(content(desk, file, None).await == vec![7; 10_000]);
    assert_eq!(&content(desk, old, Some(reader)).await[..], b"old", "whoever reads it reads on");
    close(desk, reader).await;
    close(desk, staged.open).await;
    assert_eq!(must("it stays", desk.lookup("a").await).file, file);
    refused("twice", put(desk, "b", PutSource::Staged(file), PutIf::Any).await, FsError::Invalid);

    let given_up = stage(desk, b"x").await;
    close(desk, given_up.open).await;
    let gone = desk.vfs.getattr(&desk.ctx, GetAttr { file: given_up.attr.file }).await;
    refused("with its last close it is gone", gone, FsError::Stale);
    must("a directory", desk.mkdir("d", 0o777).await);
    refused("in its place", put(desk, "d", small(b"x"), PutIf::Any).await, FsError::IsDirectory);
    let stranger = desk.by(Cred::user(5, 5));
    must("chmod", desk.chmod(desk.dir, 0o755).await);
    refused("no right", put(&stranger, "a", small(b"x"), PutIf::Any).await, FsError::AccessDenied);
    let near = Stage { near: desk.dir, mode: Mode(0o644) };
    refused("no right", stranger.vfs.stage(&stranger.ctx, near).await, FsError::AccessDenied);
}

async fn content_comes_in_one_step<V: Vfs>(desk: &Desk<'_, V>) {
    for length in [4096, 4097, 16 * 1024, 16 * 1024 + 1, 300_000, 1 << 20] {
        let data: Bytes = (0..length).map(|i| (i / 7 % 251) as u8).collect();
        let source = PutSource::Content { data: data.clone(), mode: Mode(0o604) };
        let file = must("put", put(desk, "long", source.clone(), PutIf::Any).await);
        let attr = must("lookup", desk.lookup("long").await);
        assert_eq!((attr.file, attr.links, attr.mode, attr.size), (file, 1, Mode(0o604), length as u64));
        assert!(content(desk, file, None).await == data, "{length} bytes");
        assert_eq!(values(desk, file).await, [("tag".to_owned(), Bytes::from_static(b"value"), true)]);
        refused("a name that is taken", put(desk, "long", source, PutIf::Absent).await, FsError::Exists);
        write(desk, file, None, b"other").await;
        assert!(content(desk, file, None).await == [b"other", &data[5..]].concat(), "{length} bytes");
    }
    let source = PutSource::Content { data: vec![0; (1 << 20) + 1].into(), mode: Mode(0o644) };
    refused("more than one step", put(desk, "long", source, PutIf::Any).await, FsError::Invalid);
}

async fn conditions_are_of_the_moment<V: Vfs>(desk: &Desk<'_, V>) {
    let file = must("absent", put(desk, "c", small(b"1"), PutIf::Absent).await);
    refused("absent", put(desk, "c", small(b"2"), PutIf::Absent).await, FsError::Exists);
    let is = PutIf::Is { file, content: desk.attr(file).await.content };
    must("chmod leaves the content", desk.chmod(file, 0o600).await);
    write(desk, file, None, b"other").await;
    refused("changed", put(desk, "c", small(b"2"), is).await, FsError::Busy);
    let is = PutIf::Is { file, content: desk.attr(file).await.content };
    must("is", put(desk, "c", small(b"2"), is).await);
    refused("another now", put(desk, "c", small(b"3"), is).await, FsError::Busy);
    refused("nothing there", put(desk, "none", small(b"3"), is).await, FsError::Busy);
}

async fn a_replaced_file_can_be_kept<V: Vfs>(desk: &Desk<'_, V>) {
    let kept = desk.sub("kept").await;
    let old = must("put", put(desk, "k", small(b"old"), PutIf::Any).await);
    let request = Put {
        dir: desk.dir,
        name: name("k"),
        source: small(b"new"),
        values: Vec::new(),
        only: PutIf::Any,
        keep: Some((kept.dir, name("1"))),
        retention: Retention::default(),
    };
    let new = must("put", desk.vfs.put(&desk.ctx, request.clone()).await).attr.file;
    let attr = must("kept", kept.lookup("1").await);
    assert_eq!((attr.file, attr.links, must("new", desk.lookup("k").await).file), (old, 1, new));
    assert_eq!(values(desk, old).await, [("tag".to_owned(), Bytes::from_static(b"value"), true)]);
    refused("a name that is taken", desk.vfs.put(&desk.ctx, request).await, FsError::Exists);
    assert_eq!(must("unchanged", desk.lookup("k").await).file, new);
}

async fn system_attributes_are_apart<V: Vfs>(desk: &Desk<'_, V>) {
    let file = must("put", put(desk, "s", small(b"1"), PutIf::Any).await);
    let tag = |fresh| ("tag".to_owned(), Bytes::from_static(b"value"), fresh);
    assert_eq!(values(desk, file).await, [tag(true)]);
    let listed = must("listxattr", desk.vfs.listxattr(&desk.ctx, ListXattr { file }).await);
    assert_eq!(listed.names, []);
    must("chmod", desk.chmod(file, 0o666).await);
    assert_eq!(values(desk, file).await, [tag(true)], "the content is the same");
    write(desk, file, None, b"2").await;
    assert_eq!(values(desk, file).await, [tag(false)], "before it is durable");
    let range = ByteRange { offset: 0, end: u64::MAX };
    must("commit", desk.vfs.commit(&desk.ctx, Commit { file, range }).await);
    assert_eq!(values(desk, file).await, [tag(false)], "and after");

    let set = |value: Option<&'static [u8]>, if_content| SetSystem {
        file,
        name: name("more"),
        value: value.map(Bytes::from_static),
        if_content,
        if_value: None,
    };
    let before = desk.attr(file).await;
    refused("another", desk.vfs.setsystem(&desk.ctx, set(Some(b"m"), Some(1))).await, FsError::Busy);
    must("set", desk.vfs.setsystem(&desk.ctx, set(Some(b"m"), Some(before.content))).await);
    let more = ("more".to_owned(), Bytes::from_static(b"m"), true);
    assert_eq!(values(desk, file).await, [more, tag(false)]);
    let after = desk.attr(file).await;
    assert!(after.change > before.change && after.content == before.content);
    must("truncate", desk.set(file, SetAttr { size: Some(0), ..SetAttr::default() }).await);
    assert!(values(desk, file).await.iter().all(|(_, _, fresh)| !fresh));
    let seen = |value: Option<&'static [u8]>| SetSystem {
        if_value: Some(value.map(Bytes::from_static)),
        ..set(Some(b"n"), None)
    };
    refused("not absent", desk.vfs.setsystem(&desk.ctx, seen(None)).await, FsError::Busy);
    refused("another value", desk.vfs.setsystem(&desk.ctx, seen(Some(b"x"))).await, FsError::Busy);
    must("the value", desk.vfs.setsystem(&desk.ctx, seen(Some(b"m"))).await);
    must("remove", desk.vfs.setsystem(&desk.ctx, set(None, None)).await);
    must("remove twice", desk.vfs.setsystem(&desk.ctx, set(None, None)).await);
    assert_eq!(values(desk, file).await, [tag(false)]);
    let stranger = desk.by(Cred::user(5, 5));
    must("chmod", desk.chmod(file, 0o644).await);
    refused("no right", stranger.vfs.setsystem(&stranger.ctx, set(None, None)).await, FsError::AccessDenied);
}

async fn listings_are_in_the_order_of_paths<V: Vfs>(desk: &Desk<'_, V>) {
    for text in ["a!", "a0", "b", "\u{e4}"] {
        must(text, put(desk, text, small(b"x"), PutIf::Any).await);
    }
    must("a directory", desk.mkdir("a", 0o755).await);
    let expected = ["a!", "a", "a0", "b", "\u{e4}"];
    for limit in 1..6 {
        let (mut from, mut past, mut found) = (Bytes::new(), false, Vec::new());
        loop {
            let request = List { dir: desk.dir, from, past, limit, value: Some(name("tag")) };
            let reply = must("list", desk.vfs.list(&desk.ctx, request).await);
            for entry in &reply.entries {
                assert_eq!(entry.value.is_some(), entry.attr.kind == FileKind::File);
                found.push(String::from_utf8_lossy(entry.name.as_bytes()).into_owned());
            }
            let last = must("a page", reply.entries.last().ok_or(FsError::Io));
            let slash: &[u8] = if last.attr.kind == FileKind::Directory { b"/" } else { b"" };
            (from, past) = ([last.name.as_bytes(), slash].concat().into(), true);
            if reply.end {
                break;
            }
        }
        assert_eq!(found, expected, "{limit} at a time");
    }
    let from = |text: &'static str, past| List {
        dir: desk.dir,
        from: Bytes::from_static(text.as_bytes()),
        past,
        limit: 1,
        value: None,
    };
    let bounds = [
        ("a", false, "a!"),
        ("a!\0", false, "a"),
        ("a.", false, "a"),
        ("a/", false, "a"),
        ("a/", true, "a0"),
        ("a/\0", false, "a0"),
    ];
    for (at, past, first) in bounds {
        let reply = must("list", desk.vfs.list(&desk.ctx, from(at, past)).await);
        assert_eq!(reply.entries[0].name, name(first), "from {at}");
    }
    must("chmod", desk.chmod(desk.dir, 0o711).await);
    let stranger = desk.by(Cred::user(5, 5));
    refused("no right", stranger.vfs.list(&stranger.ctx, from("", false)).await, FsError::AccessDenied);
}

async fn the_system_directory_has_no_name<V: Vfs>(desk: &Desk<'_, V>) {
    let system = System { fs: desk.dir.fs };
    let dir = must("system", desk.vfs.system(&desk.ctx, system.clone()).await).dir;
    assert_eq!(must("again", desk.vfs.system(&desk.ctx, system).await).dir, dir);
    let attr = desk.attr(dir).await;
    assert_eq!((attr.kind, attr.mode, attr.uid), (FileKind::Directory, Mode(0o700), 0));
    let root = desk.at(FileId::root(desk.dir.fs));
    let inside = desk.at(dir);
    let file = must("inside", put(&inside, "f", small(b"x"), PutIf::Any).await);
    assert_eq!(must("lookup", inside.lookup("f").await).file, file);
    let list = List { dir: root.dir, from: Bytes::new(), past: false, limit: 1000, value: None };
    let by_name = must("list", root.vfs.list(&root.ctx, list).await).entries;
    assert!(by_name.iter().all(|entry| entry.attr.file != dir));
    let readdir = ReadDir { dir: root.dir, after: types::Cookie::START, limit: 1000, attrs: false };
    let by_cookie = must("readdir", root.vfs.readdir(&root.ctx, readdir).await).entries;
    assert!(by_cookie.iter().all(|entry| entry.file != dir));
}
