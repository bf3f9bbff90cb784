//! What it costs when all roles of a daemon reach each other through TCP: the same requests over both transports, in
//! turn, medians of all rounds.
//!
//! `cargo build --release -p plexusd -p e2e --example transport_costs`, then `transport_costs DIR [ROUNDS]`

#![allow(clippy::unwrap_used, reason = "a measurement that fails says why and ends")]

use e2e::{Daemon, DaemonOptions, attach, run};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use types::{ByteRange, Cred, FileId, Mode, Name, SetAttr};
use vfs::*;

const MIB: usize = 1 << 20;
/// Files of the folder, requests of one row, and MiB of the large file.
const FILES: usize = 500;
const REQUESTS: usize = 1000;
const SYNCED: usize = 200;
const LARGE: usize = 64;

type Times = BTreeMap<&'static str, Vec<Duration>>;

fn ctx() -> Ctx {
    Ctx::new(Cred::root())
}

fn name(number: usize) -> Name {
    Name::new(format!("f{number}")).unwrap()
}

async fn make(vfs: &impl Vfs, dir: FileId, number: usize) -> FileId {
    let (kind, mode, set) = (NodeKind::File, Mode(0o644), SetAttr::default());
    vfs.mknod(&ctx(), Mknod { dir, name: name(number), kind, mode, set }).await.unwrap().attr.file
}

async fn timed<T>(times: &mut Times, what: &'static str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    times.entry(what).or_default().push(begun.elapsed());
    done
}

async fn measure(vfs: &impl Vfs, dir: FileId, times: &mut Times) {
    let mut files = Vec::new();
    for number in 0..FILES {
        files.push(timed(times, "create", make(vfs, dir, number)).await);
    }
    let context = ctx();
    for number in 0..REQUESTS {
        let file = files[number * 7 % FILES];
        timed(times, "getattr", vfs.getattr(&context, GetAttr { file })).await.unwrap();
        let lookup = Lookup { dir, name: name(number * 11 % FILES) };
        timed(times, "lookup", vfs.lookup(&context, lookup)).await.unwrap();
    }
    for _ in 0..20 {
        let list = ReadDir { dir, after: types::Cookie::START, limit: FILES as u32, attrs: true };
        timed(times, "list 500 with attributes", vfs.readdir(&context, list)).await.unwrap();
    }
    let write = |file, at: usize, length: usize, durability| {
        let (offset, data) = (WriteOffset::At(at as u64), vec![at as u8; length].into());
        Write { file, open: None, offset, data, durability }
    };
    for number in 0..SYNCED {
        let request = write(files[number % FILES], number / FILES * 4096, 4096, Durability::File);
        timed(times, "write 4 KiB, durable", vfs.write(&context, request)).await.unwrap();
    }
    let large = files[0];
    let sequential = async {
        for at in 0..LARGE {
            vfs.write(&context, write(large, at * MIB, MIB, Durability::Unstable)).await.unwrap();
        }
        let range = ByteRange { offset: 0, end: u64::MAX };
        vfs.commit(&context, Commit { file: large, range }).await.unwrap();
    };
    timed(times, "write 64 MiB in 1 MiB, durable", sequential).await;
    for at in 0..LARGE {
        let request = Read { file: large, open: None, offset: (at * MIB) as u64, length: MIB as u32 };
        timed(times, "read 1 MiB", vfs.read(&context, request)).await.unwrap();
    }
}

fn round(folder: &Path, transport: &str, times: &mut Times) {
    let options = DaemonOptions {
        flags: ["--drives", "3", "--protection", "2+1", "--drive-size", "512M"].map(str::to_owned).to_vec(),
        configuration: format!("fabric.transport = \"{transport}\""),
        ..DaemonOptions::default()
    };
    let mut daemon = Daemon::start(folder, &options).unwrap();
    run(async {
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
        measure(&vfs, dir, times).await;
    });
    daemon.stop().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map(std::path::PathBuf::from).unwrap().join("transport-costs");
    let rounds: usize = arguments.next().map_or(3, |rounds| rounds.parse().unwrap());
    let (mut local, mut tcp) = (Times::new(), Times::new());
    for _ in 0..rounds {
        round(&folder, "local", &mut local);
        round(&folder, "tcp", &mut tcp);
    }
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() / 2]
    };
    println!("| request | local | tcp |\n| --- | --- | --- |");
    for (what, times) in &local {
        println!("| {what} | {:.0?} | {:.0?} |", median(times), median(&tcp[what]));
    }
}
