//! Measures names on this machine's disk: operations of many clients through a frontend, on a drive without data.
//!
//! `cargo run --release -p frontend --example names -- DIR [SHARDS] [CLIENTS] [SECONDS]`

use bytes::Bytes;
use cluster::SlotTable;
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use env::{SeededRandom, SystemClock};
use frontend::{
    Frontend, ListFrom, Options, PlacedStripe, Purpose, Room, StripeError, StripePage, Stripes, Usage,
    Verified,
};
use metadata::{Home, MapSeat, Shard, ShardConfig, ShardOptions, ShardSet, ShardSetConfig};
use namespace::Namespace;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::{Cred, FileId, FsId, Mode, Name, SetAttr, StripeId};
use vfs::*;

/// No data are written here.
struct NoStripes;

impl Stripes for NoStripes {
    fn stripe_bytes_max(&self) -> usize {
        1 << 20
    }

    fn stripe_bytes_full(&self) -> usize {
        1 << 20
    }

    fn stored_bytes(&self, bytes: u64) -> u64 {
        bytes
    }

    async fn write(&self, _: Purpose, _: FsId, _: StripeId, _: Bytes) -> Result<PlacedStripe, StripeError> {
        Err(StripeError::NoSpace)
    }

    async fn read(&self, place: PlacedStripe, _: Range<u32>) -> Result<Bytes, StripeError> {
        Err(StripeError::Gone(place.stripe))
    }

    async fn free(&self, places: &[PlacedStripe]) -> Vec<Result<(), StripeError>> {
        places.iter().map(|_| Ok(())).collect()
    }

    async fn list(&self, _: Option<ListFrom>, _: usize) -> Result<StripePage, StripeError> {
        Ok(StripePage { stripes: Vec::new(), next: None })
    }

    fn usage(&self) -> Usage {
        Usage { total: 1 << 40, free: 1 << 40, room: 1 << 40, unused: 1 << 40, held_back: 0 }
    }

    async fn verify(&self, at: PlacedStripe) -> Result<Verified, StripeError> {
        Err(StripeError::Gone(at.stripe))
    }

    fn metadata_room(&self) -> Room {
        Room::Ample
    }

    async fn look_at_usage(&self) {}
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Real = Frontend<ShardSet<Shard>, NoStripes>;

fn cpu() -> Duration {
    // utime and stime, fields 14 and 15 of proc(5) stat, in ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|f| fields.get(*f)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("a folder to work in is missing")?;
    let mut number = |default: u64| args.next().map_or(Ok(default), |a| a.parse::<u64>());
    let (shards, clients, seconds) = (number(16)?, number(64)?, number(3)?);
    let dir = Path::new(&dir).join(format!("names-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(run(&dir, shards as u16, clients, Duration::from_secs(seconds)));
    let _ = std::fs::remove_dir_all(&dir);
    outcome
}

async fn open(dir: &Path, shards: u16) -> Result<(Real, ShardSet<Shard>), Failure> {
    std::fs::create_dir_all(dir)?;
    let log = DriveLog::open(&dir.join("log"), LogOptions::default())?;
    let map = DriveMap::open(&dir.join("map"), &MapOptions::default())?;
    let slots = Arc::new(SlotTable::even(shards)?);
    let mut members = BTreeMap::new();
    for id in slots.shards() {
        let config = ShardConfig {
            id,
            voter: 1,
            machine: Arc::new(Namespace),
            slots: slots.clone(),
            homes: vec![Home { log: log.shard(id), incarnation: 1 }],
            home_count: 1,
            maps: vec![MapSeat { map: map.clone(), incarnation: 1 }],
            options: ShardOptions::default(),
            workers: env::Workers::default(),
        };
        members.insert(id, Shard::open(config).await?);
    }
    let (random, clock) = (SeededRandom::new(1), Arc::new(SystemClock::new()));
    let (machine, executor, epoch) = (Arc::new(Namespace), 1, 1);
    let config = ShardSetConfig { slots, members, machine, executor, epoch, clock: clock.clone() };
    let set = ShardSet::open(config, &random).await?;
    let real = Frontend::start(set.clone(), NoStripes, Options::default(), clock, &random).await?;
    Ok((real, set))
}

fn name(text: String) -> Result<Name, Failure> {
    Ok(Name::new(text.into_bytes())?)
}

#[derive(Clone, Copy, Debug)]
enum Work {
    /// A file in a directory of one's own.
    Create,
    /// A file in a directory that all share.
    CreateTogether,
    Lookup,
    /// A directory below a directory of one's own near the root, and its removal.
    MkdirNear,
    /// The same in the root, all together.
    MkdirInRoot,
    /// The same further down, where directories stay with their parents.
    MkdirDeep,
    RenameHere,
    /// A file from one directory to another and back.
    RenameAcross,
}

struct Dirs {
    top: FileId,
    own: FileId,
    other: FileId,
    deep: FileId,
    shared: FileId,
}

async fn mkdir(real: &Real, dir: FileId, text: String) -> Result<FileId, Failure> {
    let request = Mkdir { dir, name: name(text)?, mode: Mode(0o755), set: SetAttr::default() };
    Ok(real.mkdir(&Ctx::new(Cred::root()), request).await?.attr.file)
}

async fn create(real: &Real, dir: FileId, text: String) -> Result<(), Failure> {
    let (kind, mode) = (NodeKind::File, Mode(0o644));
    let request = Mknod { dir, name: name(text)?, kind, mode, set: SetAttr::default() };
    real.mknod(&Ctx::new(Cred::root()), request).await?;
    Ok(())
}

async fn rename(real: &Real, from: (FileId, String), to: (FileId, String)) -> Result<(), Failure> {
    let (from_name, to_name, how) = (name(from.1)?, name(to.1)?, RenameHow::NoReplace);
    let request = Rename { from_dir: from.0, from_name, to_dir: to.0, to_name, how };
    real.rename(&Ctx::new(Cred::root()), request).await?;
    Ok(())
}

async fn one(real: &Real, dirs: &Dirs, work: Work, client: u64, n: u64) -> Result<(), Failure> {
    let text = format!("{client}-{n}");
    let there_and_back = async |dir: FileId| {
        if n.is_multiple_of(2) {
            return mkdir(real, dir, format!("{client}-d")).await.map(drop);
        }
        let request = Rmdir { dir, name: name(format!("{client}-d"))? };
        real.rmdir(&Ctx::new(Cred::root()), request).await?;
        Ok(())
    };
    let x = |n: u64| format!("x{}", n % 2);
    match work {
        Work::Create => create(real, dirs.own, text).await,
        Work::CreateTogether => create(real, dirs.shared, text).await,
        Work::Lookup => {
            let request = Lookup { dir: dirs.top, name: name(format!("own-{client}"))? };
            real.lookup(&Ctx::new(Cred::root()), request).await?;
            Ok(())
        }
        Work::MkdirNear => there_and_back(dirs.own).await,
        Work::MkdirInRoot => there_and_back(dirs.top).await,
        Work::MkdirDeep => there_and_back(dirs.deep).await,
        Work::RenameHere => rename(real, (dirs.own, x(n)), (dirs.own, x(n + 1))).await,
        Work::RenameAcross => {
            let (from, to) =
                if n.is_multiple_of(2) { (dirs.own, dirs.other) } else { (dirs.other, dirs.own) };
            rename(real, (from, "y".into()), (to, "y".into())).await
        }
    }
}

async fn run(dir: &Path, shards: u16, clients: u64, time: Duration) -> Result<(), Failure> {
    let (real, set) = open(dir, shards).await?;
    let top = FileId::root(real.make_filesystem("default", &SeededRandom::new(2)).await?);
    let shared = mkdir(&real, top, "shared".into()).await?;
    let mut all = Vec::new();
    for client in 0..clients {
        let own = mkdir(&real, top, format!("own-{client}")).await?;
        let other = mkdir(&real, top, format!("other-{client}")).await?;
        let below = mkdir(&real, own, "below".into()).await?;
        let deep = mkdir(&real, below, "deep".into()).await?;
        create(&real, own, "x0".into()).await?;
        create(&real, own, "y".into()).await?;
        all.push(Arc::new(Dirs { top, own, other, deep, shared }));
    }
    println!("{shards} shards, {clients} clients");
    for work in [
        Work::Create,
        Work::CreateTogether,
        Work::Lookup,
        Work::MkdirNear,
        Work::MkdirInRoot,
        Work::MkdirDeep,
        Work::RenameHere,
        Work::RenameAcross,
    ] {
        let (begun, cpu_before) = (Instant::now(), cpu());
        let mut tasks = Vec::new();
        for (client, dirs) in (0..).zip(&all) {
            let (real, dirs) = (real.clone(), dirs.clone());
            tasks.push(tokio::spawn(async move {
                let mut took = Vec::new();
                // An even number, so that everything is where it was.
                while begun.elapsed() < time || took.len() % 2 == 1 {
                    let asked = Instant::now();
                    one(&real, &dirs, work, client, took.len() as u64).await?;
                    took.push(asked.elapsed());
                }
                Ok::<_, Failure>(took)
            }));
        }
        let mut took = Vec::new();
        for task in tasks {
            took.extend(task.await??);
        }
        let (elapsed, used) = (begun.elapsed(), cpu() - cpu_before);
        took.sort();
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default();
        let n = took.len().max(1) as f64;
        println!(
            "{:15} {:>8.0}/s  p50 {:>10.3?}  p99 {:>10.3?}  CPU {:>6.1} us/op",
            format!("{work:?}"),
            n / elapsed.as_secs_f64(),
            at(0.5),
            at(0.99),
            used.as_secs_f64() * 1e6 / n
        );
    }
    set.finish().await;
    let cpu_before = cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("idle: {:.2} % of a core", (cpu() - cpu_before).as_secs_f64() * 50.0);
    for (_, shard) in set.members() {
        shard.close().await?;
    }
    Ok(())
}
