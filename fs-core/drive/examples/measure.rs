//! Measures a drive in a folder: `cargo run --release -p drive --example measure -- FOLDER`.

use bytes::Bytes;
use drive::chunk::block_crcs;
use drive::{ChunkKey, ChunkStore, DriveDirectory, Shape, WriteChunk, Writer};
use env::{Engine, SystemRandom};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use types::{ChunkId, DriveId, GroupId, StripeId};

const SIZE: u64 = 2 << 30;

fn chunk(stripe: u64, blocks: usize) -> WriteChunk {
    let key = ChunkKey { group: GroupId(0), chunk: ChunkId { stripe: StripeId(stripe), index: 0 } };
    let data = Bytes::from(vec![stripe as u8; blocks * 4096]);
    let crcs = block_crcs(key.chunk, 0, &data);
    let shape = Shape { data: 1, parity: 0, cells: 1, stripe_length: data.len() as u32 };
    let writer = Writer { id: 1, epoch: 1 };
    WriteChunk { key, shape, writer, data, crcs, replace: false, purpose: drive::Purpose::Ordinary }
}

async fn writes(store: &Arc<ChunkStore>, first: u64, count: u64, lanes: u64, blocks: usize) {
    let start = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for lane in 0..lanes {
        let store = store.clone();
        all.spawn(async move {
            for n in (lane..count).step_by(lanes as usize) {
                if let Err(error) = store.write(chunk(first + n, blocks)).await {
                    println!("write: {error}");
                }
            }
        });
    }
    while all.join_next().await.is_some() {}
    let took = start.elapsed().as_secs_f64();
    let bytes = (count * blocks as u64 * 4096) as f64;
    println!(
        "durable writes of {:>4} KiB, {lanes:>3} at once: {:>8.0} /s {:>7.1} MB/s {:>8.0} us each",
        blocks * 4,
        count as f64 / took,
        bytes / took / 1e6,
        took * 1e6 * lanes as f64 / count as f64
    );
}

async fn reads(store: &Arc<ChunkStore>, first: u64, count: u64, lanes: u64, blocks: u16, of: u16) {
    let start = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for lane in 0..lanes {
        let store = store.clone();
        all.spawn(async move {
            for n in (lane..count).step_by(lanes as usize) {
                let at = (n * 37 % u64::from(of / blocks)) as u16 * blocks;
                if let Err(error) = store.read(chunk(first + n, 1).key, at, blocks).await {
                    println!("read: {error}");
                }
            }
        });
    }
    while all.join_next().await.is_some() {}
    let took = start.elapsed().as_secs_f64();
    let bytes = (count * u64::from(blocks) * 4096) as f64;
    println!(
        "verified reads of {:>5} KiB, {lanes:>3} at once: {:>8.0} /s {:>7.1} MB/s",
        blocks * 4,
        count as f64 / took,
        bytes / took / 1e6
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let Some(folder) = std::env::args().nth(1) else {
        println!("usage: measure FOLDER");
        return;
    };
    let path = Path::new(&folder).join("measured-drive");
    let made = DriveDirectory::create(&path, &[0; 16], DriveId(0), SIZE, Engine::Auto, &SystemRandom).await;
    let (directory, store) = match made {
        Ok(made) => made,
        Err(error) => return println!("{error}"),
    };
    let store = Arc::new(store);
    writes(&store, 0, 500, 1, 1).await;
    writes(&store, 10_000, 20_000, 128, 1).await;
    writes(&store, 40_000, 64, 1, 256).await;
    writes(&store, 50_000, 512, 16, 256).await;
    reads(&store, 50_000, 512, 16, 256, 256).await;
    reads(&store, 50_000, 512, 16, 1, 256).await;
    store.close().await;
    drop(store);
    let start = Instant::now();
    drop(directory);
    match DriveDirectory::open(&path, &[0; 16], DriveId(0), Engine::Auto, &SystemRandom).await {
        Ok((_directory, store)) => {
            let chunks = store.stat().chunks;
            println!("opened with {chunks} chunks in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
            store.close().await;
        }
        Err(error) => println!("{error}"),
    }
    if let Err(error) = std::fs::remove_dir_all(&path) {
        println!("{error}");
    }
}
