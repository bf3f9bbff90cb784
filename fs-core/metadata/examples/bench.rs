//! Measures shards on this machine's disk: latency of a lone client, throughput of many, CPU.
//!
//! `cargo run --release -p metadata --example bench -- DIR [SHARDS] [CLIENTS] [SECONDS] [HOMES] [MAPS]`

use bytes::{Buf, BufMut, Bytes};
use cluster::SlotTable;
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use map::{Machine, MapError, OrderedMapMut};
use metadata::{Home, MapSeat, Shard, ShardConfig, ShardOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::Slot;

/// 2 gets and 3 puts of 150 bytes a command of 200 bytes.
struct Mix;

impl Machine for Mix {
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError> {
        let (slot, key) = (&command[..2], (&command[2..]).get_u64());
        let name = |part: u8| [slot, &[part], &key.to_be_bytes()].concat();
        let seen = map.get(&name(1))?.is_some() || map.get(&name(2))?.is_some();
        for part in 1..=3 {
            map.put(&name(part), command.slice(10..160));
        }
        Ok(Bytes::from(vec![u8::from(seen)]))
    }
}

fn cpu() -> Duration {
    // utime and stime, fields 14 and 15 of proc(5) stat, in ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|f| fields.get(*f)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("a folder to work in is missing")?;
    let mut number = |default: u64| args.next().map_or(Ok(default), |a| a.parse::<u64>());
    let (shards, clients) = (number(16)?, number(128)?);
    let (seconds, homes) = (number(5)?, number(1)? as usize);
    let maps = number(homes as u64 / 2 + 1)? as usize;
    let dir = Path::new(&dir).join(format!("bench-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(run(&dir, shards, clients, Duration::from_secs(seconds), (homes, maps)));
    let _ = std::fs::remove_dir_all(&dir);
    outcome
}

async fn open(
    dir: &Path,
    shards: u64,
    (homes, maps): (usize, usize),
) -> Result<Vec<(Slot, Arc<Shard>)>, Failure> {
    let mut logs = Vec::new();
    for home in 0..homes {
        let dir = dir.join(home.to_string());
        std::fs::create_dir_all(&dir)?;
        logs.push(DriveLog::open(&dir.join("log"), LogOptions::default())?);
    }
    let mut drives = Vec::new();
    for map in 0..maps {
        drives.push(DriveMap::open(&dir.join(format!("map{map}")), &MapOptions::default())?);
    }
    let slots = Arc::new(SlotTable::even(shards as u16)?);
    let mut opened = Vec::new();
    for (slot, _, id) in slots.runs() {
        let homes = logs.iter().zip(1..).map(|(log, n)| Home { log: log.shard(id), incarnation: n });
        let config = ShardConfig {
            id,
            voter: 1,
            machine: Arc::new(Mix),
            slots: slots.clone(),
            homes: homes.collect(),
            home_count: logs.len(),
            maps: drives
                .iter()
                .zip(1..)
                .map(|(map, n)| MapSeat { map: map.clone(), incarnation: n })
                .collect(),
            options: ShardOptions::default(),
            workers: env::Workers::default(),
        };
        opened.push((slot, Arc::new(Shard::open(config).await?)));
    }
    Ok(opened)
}

async fn run(
    dir: &Path,
    shards: u64,
    clients: u64,
    time: Duration,
    copies: (usize, usize),
) -> Result<(), Failure> {
    let opened = open(dir, shards, copies).await?;
    let (begun, cpu_before) = (Instant::now(), cpu());
    let mut tasks = Vec::new();
    for client in 0..clients {
        let (slot, shard) = opened[(client % shards) as usize].clone();
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            let mut key = client << 32;
            while begun.elapsed() < time {
                let mut command = Vec::with_capacity(200);
                command.put_u16(slot.0);
                command.put_u64(key);
                command.resize(200, key as u8);
                let sent = Instant::now();
                shard.submit(command.into()).await?;
                took.push(sent.elapsed());
                key += 1;
            }
            Ok::<_, metadata::MetadataError>(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let (elapsed, used) = (begun.elapsed(), cpu() - cpu_before);
    took.sort();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default();
    let n = took.len().max(1);
    println!(
        "{shards} shards, {} homes, {} maps, {clients} clients: {:.0}/s, p50 {:?}, p99 {:?}, CPU {:.1} us/op",
        copies.0,
        copies.1,
        n as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.99),
        used.as_secs_f64() * 1e6 / n as f64
    );
    let cpu_before = cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("idle: {:.2} % of a core", (cpu() - cpu_before).as_secs_f64() * 50.0);
    let begun = Instant::now();
    for (_, shard) in &opened {
        shard.close().await?;
    }
    println!("closing {shards} shards: {:?}", begun.elapsed());
    drop(opened);
    Ok(())
}
