//! Whole files that come in one command: what their bytes take, and what becomes of it when they are refused.

use crate::rig::{Rig, read};
use bytes::Bytes;
use types::{Cred, FileId, FsError, Mode, Name, Retention};
use vfs::{Ctx, FsResult, Put, PutIf, PutSource, Vfs};

const STRIPE: usize = 64 << 10;

async fn put<V: Vfs>(real: &V, top: FileId, data: &[u8], only: PutIf) -> FsResult<FileId> {
    let request = Put {
        dir: top,
        name: Name::new(b"one".to_vec()).unwrap(),
        source: PutSource::Content { data: Bytes::copy_from_slice(data), mode: Mode(0o644) },
        values: Vec::new(),
        only,
        keep: None,
        retention: Retention::default(),
    };
    real.put(&Ctx::new(Cred::root()), request).await.map(|reply| reply.attr.file)
}

#[tokio::test(start_paused = true)]
async fn what_a_refused_put_has_written_is_freed() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    let data = vec![7; 3 * STRIPE];
    let one = put(&real, top, &data, PutIf::Absent).await.unwrap();
    assert_eq!(rig.stripes.count(), 3);
    assert_eq!(put(&real, top, &data[..STRIPE], PutIf::Absent).await, Err(FsError::Exists));
    assert_eq!(rig.stripes.count(), 3);
    assert!(read(&real, one, 0, 1 << 20).await == data[..]);
    rig.audit().await;
}

#[tokio::test(start_paused = true)]
async fn what_takes_more_stripes_than_a_command_brings_is_put_all_the_same() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    rig.stripes.narrow(STRIPE / 8);
    let data: Vec<u8> = (0..5 * STRIPE).map(|i| (i / 7 % 251) as u8).collect();
    let one = put(&real, top, &data, PutIf::Any).await.unwrap();
    assert_eq!(rig.stripes.count(), 5 * 8);
    assert!(read(&real, one, 0, 1 << 20).await == data[..]);
    rig.audit().await;
}
