//! Data that were read are in memory for who reads them again, through whichever door, and never older than the file.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::s3_request::{S3Request, exchange, now};
use e2e::{Daemon, DaemonOptions, attach, make, run};
use remote::RemoteVfs;
use types::{ByteRange, Cred, FileId, SetAttr};
use vfs::*;

const MIB: usize = 1 << 20;

fn ctx() -> Ctx {
    Ctx::new(Cred::root())
}

async fn write(vfs: &RemoteVfs, file: FileId, at: usize, data: Vec<u8>) {
    for (number, part) in data.chunks(MIB).enumerate() {
        let offset = WriteOffset::At((at + number * MIB) as u64);
        let (data, durability) = (part.to_vec().into(), Durability::Unstable);
        vfs.write(&ctx(), Write { file, open: None, offset, data, durability }).await.unwrap();
    }
    vfs.commit(&ctx(), Commit { file, range: ByteRange { offset: 0, end: u64::MAX } }).await.unwrap();
}

async fn read(vfs: &RemoteVfs, file: FileId) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let request = Read { file, open: None, offset: all.len() as u64, length: MIB as u32 };
        let reply = vfs.read(&ctx(), request).await.unwrap();
        all.extend_from_slice(&reply.data);
        if reply.end {
            return all;
        }
    }
}

fn found_and_missed(daemon: &Daemon) -> (u64, u64) {
    let said = daemon.plexus(&["--json", "status"]).unwrap();
    let cache = serde_json::from_slice::<admin::Status>(&said.stdout).unwrap().data_cache;
    assert!(cache.used <= cache.budget);
    (cache.found, cache.missed)
}

#[test]
fn what_was_read_is_in_memory_and_never_older_than_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = DaemonOptions { configuration: "memory.data = \"16M\"".into(), ..DaemonOptions::default() };
    let daemon = Daemon::start(folder.path(), &options).unwrap();
    let key = daemon.s3_key("reader", &["--user", "0"]).unwrap();
    let ask = |method: &str, target: &str| {
        let signed = S3Request::new(method, target).payload("UNSIGNED-PAYLOAD");
        let answer = exchange(daemon.s3(), &signed.signed(daemon.s3(), &key, &now())).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.code());
        answer.body
    };
    ask("PUT", "/bucket");
    run(async {
        let (vfs, root) = attach(&daemon.data()).await.unwrap();
        let look = async |dir, text: &str| {
            let name = types::Name::new(text.to_owned()).unwrap();
            vfs.lookup(&ctx(), Lookup { dir, name }).await.unwrap().attr.file
        };
        let bucket = look(look(root, "buckets").await, "bucket").await;
        let file = make(&vfs, bucket, "object").await.unwrap();
        let mut content: Vec<u8> = (0..4 * MIB).map(|at| ((at * 31) >> 8) as u8).collect();
        write(&vfs, file, 0, content.clone()).await;
        assert!(read(&vfs, file).await == content);
        let (found, missed) = found_and_missed(&daemon);
        assert!(missed >= 4 << 20, "{missed}");
        // Through the other door, too.
        assert!(read(&vfs, file).await == content);
        assert!(ask("GET", "/bucket/object") == content);
        let (again, more) = found_and_missed(&daemon);
        assert_eq!((again - found, more - missed), (8 << 20, 0));

        content[MIB + 5..2 * MIB + 5].fill(9);
        write(&vfs, file, MIB + 5, vec![9; MIB]).await;
        assert!(read(&vfs, file).await == content);
        for size in [3 * MIB + 7, 4 * MIB] {
            let set = SetAttr { size: Some(size as u64), ..SetAttr::default() };
            vfs.setattr(&ctx(), SetAttrOf { file, open: None, set, if_ctime: None }).await.unwrap();
            content.resize(size, 0);
            assert!(read(&vfs, file).await == content, "{size}");
            assert!(ask("GET", "/bucket/object") == content, "{size}");
        }
        // More than there is room for.
        let large = make(&vfs, bucket, "large").await.unwrap();
        write(&vfs, large, 0, vec![3; 40 * MIB]).await;
        assert!(read(&vfs, large).await == vec![3; 40 * MIB]);
        assert!(found_and_missed(&daemon).1 >= 40 << 20);
    });
}
