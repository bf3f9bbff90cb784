//! Every engine must behave alike: one test body, run over io_uring, the pool and the simulation.

use super::*;
use crate::sim::SimDisk;
use proptest::prelude::*;

const BLOCKS: u64 = 64;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn engines(dir: &std::path::Path) -> Vec<(&'static str, SharedBlockFile)> {
    let open = |name: &str, engine| {
        OpenBlockFile { path: dir.join(name), create: Some(BLOCKS * 4096), engine }.open().unwrap()
    };
    let uring = OpenBlockFile { path: dir.join("uring"), create: Some(BLOCKS * 4096), engine: Engine::Uring };
    if let Err(error) = uring.open() {
        println!("NOT TESTED: io_uring is refused here: {error}");
    }
    vec![
        ("auto", open("auto", Engine::Auto)),
        ("pool", open("pool", Engine::Pool)),
        ("sim", SimDisk::new(1, BLOCKS * 4096).file()),
    ]
}

fn filled(value: u8, blocks: usize) -> AlignedBuf {
    let mut data = AlignedBuf::zeroed(blocks * 4096);
    data.fill(value);
    data
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn reads_give_what_was_written_last(writes in prop::collection::vec((0..BLOCKS - 8, 1..8usize, any::<u8>()), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            for (name, file) in engines(dir.path()) {
                let mut model = vec![0u8; (BLOCKS * 4096) as usize];
                for &(block, count, value) in &writes {
                    let (at, data) = (block * 4096, filled(value, count));
                    let write = if value % 2 == 0 { file.write_at(at, data) } else { file.write_synced(at, data) };
                    write.await.unwrap();
                    model[block as usize * 4096..(block as usize + count) * 4096].fill(value);
                }
                file.sync().await.unwrap();
                let read = file.read_at(0, model.len()).await.unwrap();
                assert!(read[..] == model[..], "{name}");
            }
        });
    }
}

#[test]
fn what_is_not_whole_blocks_within_the_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        for (name, file) in engines(dir.path()) {
            let end = file.len();
            for (offset, length) in
                [(1, 4096), (0, 100), (end, 4096), (end - 4096, 8192), (u64::MAX - 4095, 4096), (0, 0)]
            {
                let read = file.read_at(offset, length).await.err();
                assert!(
                    matches!(read, Some(BlockError::BadRange { .. })),
                    "{name} {offset} {length}: {read:?}"
                );
                let write = file.write_at(offset, AlignedBuf::zeroed(length)).await.err();
                assert!(matches!(write, Some(BlockError::BadRange { .. })), "{name} {offset} {length}");
            }
            file.discard(0, 8192).await.unwrap();
        }
    });
}

#[test]
fn more_than_the_queue_holds_waits_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        for (name, file) in engines(dir.path()) {
            let mut all = tokio::task::JoinSet::new();
            for n in 0..4 * QUEUE_DEPTH as u64 {
                let file = file.clone();
                all.spawn(async move {
                    let block = n % BLOCKS;
                    file.write_at(block * 4096, filled(block as u8, 1)).await.unwrap();
                    if n % 50 == 0 {
                        file.sync().await.unwrap();
                    }
                });
            }
            while let Some(done) = all.join_next().await {
                done.unwrap();
            }
            let read = file.read_at(0, (BLOCKS * 4096) as usize).await.unwrap();
            assert!((0..BLOCKS as usize).all(|b| read[b * 4096] == b as u8), "{name}");
        }
    });
}

#[test]
fn a_file_is_created_once_and_keeps_its_length() {
    let dir = tempfile::tempdir().unwrap();
    let mut open = OpenBlockFile { path: dir.path().join("f"), create: Some(8 * 4096), engine: Engine::Auto };
    assert_eq!(open.open().unwrap().len(), 8 * 4096);
    assert!(matches!(open.open().err(), Some(BlockError::Io { .. })), "created twice");
    open.create = None;
    assert_eq!(open.open().unwrap().len(), 8 * 4096);
    open.path = dir.path().join("g");
    open.create = Some(1 << 60);
    assert!(open.open().is_err());
    assert!(!open.path.exists(), "half a file stays");
}
