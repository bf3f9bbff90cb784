//! Directories in small pages, and the pseudo directories above them.

use crate::client::*;
use model::Model;
use nfs::ExportTable;
use nfs_wire::*;
use std::collections::BTreeSet;
use std::sync::Arc;

fn readdir(cookie: u64, maxcount: u32, numbers: &[u32]) -> Args {
    Args::Readdir(ReaddirArgs {
        cookie,
        cookieverf: [0; 8],
        dircount: 0,
        maxcount,
        request: Bitmap::of(numbers),
    })
}

#[tokio::test]
async fn every_entry_is_listed_once_whatever_the_page() {
    let server = serve_empty().await;
    let mut client = Client::new(server.address, "a").await;
    for n in 0..100 {
        assert!(client.at(&[], vec![mkdir(&format!("dir-{n}"))]).await.is_ok());
    }
    for maxcount in [150, 400, 4096, 1 << 20] {
        let (mut cookie, mut names) = (0, BTreeSet::new());
        loop {
            let page = client.at(&[], vec![readdir(cookie, maxcount, &[attr::FILEID, attr::MODE])]).await;
            let Ok(Reply::Readdir(page)) = page else { panic!("{page:?}") };
            for entry in &page.list.entries {
                assert!(names.insert(entry.name.clone().0), "listed twice");
                cookie = entry.cookie;
            }
            if page.list.eof {
                break;
            }
        }
        assert_eq!(names.len(), 100);
    }
    assert_eq!(client.at(&[], vec![readdir(0, 20, &[])]).await, Err(Status::TooSmall));
    assert_eq!(client.at(&[], vec![readdir(1, 4096, &[])]).await, Err(Status::BadCookie));
    server.stop().await;
}

#[tokio::test]
async fn the_way_to_exports_is_walked_like_any_other() {
    let mut wide = config(1);
    wide.exports = ExportTable::new(vec![export("/default"), export("/a/b")]).unwrap();
    let server = start(&Arc::new(Model::new()), wide).await;
    let mut client = Client::new(server.address, "a").await;
    let outcomes = client.run(vec![Args::Putrootfh(()), readdir(0, 4096, &[attr::TYPE])]).await;
    let Some(Ok(Reply::Readdir(page))) = outcomes.last() else { panic!("{outcomes:?}") };
    let names: Vec<&[u8]> = page.list.entries.iter().map(|entry| &entry.name[..]).collect();
    assert_eq!(names, [&b"a"[..], b"default"]);

    let fsid = |outcomes: Vec<Outcome>| attributes(outcomes.into_iter().last().unwrap()).fsid.unwrap();
    let ask = getattr(&[attr::FSID]);
    let root = fsid(client.run(vec![Args::Putrootfh(()), ask.clone()]).await);
    let a = fsid(client.run(vec![Args::Putrootfh(()), lookup("a"), ask.clone()]).await);
    let b = fsid(client.run(vec![Args::Putrootfh(()), lookup("a"), lookup("b"), ask.clone()]).await);
    let up = vec![Args::Putrootfh(()), lookup("a"), lookup("b"), Args::Lookupp(()), ask.clone()];
    assert_eq!((&root, &fsid(client.run(up).await)), (&a, &a));
    assert_ne!(a, b);
    assert_ne!(b, fsid(client.run(vec![Args::Putrootfh(()), lookup("default"), ask]).await));
    let over = client.run(vec![Args::Putrootfh(()), Args::Lookupp(())]).await;
    assert_eq!(over.last(), Some(&Err(Status::NoEnt)));
    let made = client.run(vec![Args::Putrootfh(()), mkdir("x")]).await;
    assert_eq!(made.last(), Some(&Err(Status::Rofs)));

    // An export that goes takes its handles with it.
    let handle = client.run(vec![Args::Putrootfh(()), lookup("a"), lookup("b"), Args::Getfh(())]).await;
    let Some(Ok(Reply::Getfh(handle))) = handle.last() else { panic!() };
    server.server.set_exports(ExportTable::new(vec![export("/default")]).unwrap());
    assert_eq!(client.run(vec![putfh(&handle.object)]).await, [Err(Status::Stale)]);
    server.stop().await;
}
