//! Listing directories, also while they change.

use crate::desk::{Desk, must};
use std::collections::BTreeMap;
use types::{Cookie, FileKind};
use vfs::{ReadDir, RenameHow, Vfs};

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    whole(&desk.sub("whole").await).await;
    changing(&desk.sub("changing").await).await;
    replacing(&desk.sub("replacing").await).await;
}

async fn whole<V: Vfs>(desk: &Desk<'_, V>) {
    assert!(desk.list(10).await.is_empty());
    desk.file("file").await;
    must("mkdir", desk.mkdir("dir", 0o777).await);
    must("symlink", desk.symlink("link", b"x").await);
    for limit in [1, 2, 3, 100] {
        let entries = desk.list(limit).await;
        let kinds: BTreeMap<String, FileKind> =
            entries.iter().map(|entry| (entry.name.to_string(), entry.kind)).collect();
        let expected = [("dir", FileKind::Directory), ("file", FileKind::File), ("link", FileKind::Symlink)];
        assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)).into(), "limit {limit}");
        for entry in entries {
            assert!(entry.cookie >= Cookie::FIRST && entry.cookie <= Cookie::LAST);
            let attr = must("lookup", desk.lookup(&entry.name.to_string()).await);
            assert_eq!(entry.attr.as_ref(), Some(&attr));
            assert_eq!(entry.file, attr.file);
        }
    }
    let request = ReadDir { dir: desk.dir, after: Cookie::LAST, limit: 10, attrs: false };
    let reply = must("after the last", desk.vfs.readdir(&desk.ctx, request).await);
    assert!(reply.entries.is_empty() && reply.end);
}

/// Entries that stay are given exactly once, whatever comes and goes between the calls.
async fn changing<V: Vfs>(desk: &Desk<'_, V>) {
    for number in 0..300 {
        desk.file(&format!("stays{number}")).await;
        desk.file(&format!("goes{number}")).await;
    }
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut after = Cookie::START;
    let mut round = 0;
    loop {
        let request = ReadDir { dir: desk.dir, after, limit: 7, attrs: false };
        let reply = must("readdir", desk.vfs.readdir(&desk.ctx, request).await);
        for entry in &reply.entries {
            *seen.entry(entry.name.to_string()).or_default() += 1;
        }
        if round < 300 {
            must("unlink", desk.unlink(&format!("goes{round}")).await);
            desk.file(&format!("comes{round}")).await;
        }
        round += 1;
        match reply.entries.last() {
            Some(last) if !reply.end => after = last.cookie,
            _ => break,
        }
        assert!(round < 10_000, "a listing must end");
    }
    for number in 0..300 {
        assert_eq!(seen.get(&format!("stays{number}")), Some(&1), "stays{number}");
    }
    assert!(seen.values().all(|times| *times == 1), "nothing is given twice");
}

/// A name that is replaced or exchanged keeps its place.
async fn replacing<V: Vfs>(desk: &Desk<'_, V>) {
    for text in ["a", "b", "c"] {
        desk.file(text).await;
    }
    let cookie = |entries: &[vfs::DirEntry], text: &str| {
        entries.iter().find(|entry| entry.name.as_bytes() == text.as_bytes()).map(|entry| entry.cookie)
    };
    let before = desk.list(100).await;
    must("exchange", desk.rename_to("a", desk.dir, "b", RenameHow::Exchange).await);
    must("replace", desk.rename("c", "a").await);
    let after = desk.list(100).await;
    for text in ["a", "b"] {
        assert_eq!(cookie(&before, text), cookie(&after, text), "{text}");
    }
}
