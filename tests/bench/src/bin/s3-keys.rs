//! A million keys, in one prefix and in many: how fast S3 lists all of them, whether its memory stays as it is meanwhile,
//! and whether each comes once while others come and go.

use admin::S3KeyReport;
use bench::many;
use clap::Parser;
use e2e::s3_listing::{Tally, list_all};
use e2e::s3_request::{S3Request, exchange, now};
use e2e::{Daemon, DaemonOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How often the daemon's memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Who puts and deletes other keys during the listing.
const WRITERS: u64 = 2;

#[derive(Parser)]
#[command(about = "Lists many keys of our S3")]
struct Arguments {
    /// Keys of each bucket
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Prefixes of the second bucket
    #[arg(long, default_value_t = 10_000)]
    prefixes: u64,
    /// Connections at a time while keys are made
    #[arg(long, default_value_t = 16)]
    clients: u64,
    /// Keys a second that a listing must reach
    #[arg(long, default_value_t = 50_000)]
    least: u64,
    /// Only this bucket: "one-prefix" or "many-prefixes"
    #[arg(long)]
    only: Option<String>,
    /// Another program in the place of plexusd
    #[arg(long)]
    program: Option<PathBuf>,
}

struct Scene {
    daemon: Daemon,
    address: SocketAddr,
    key: S3KeyReport,
}

impl Scene {
    fn ask(&self, method: &str, target: &str) -> Result<(), Failed> {
        let signed = S3Request::new(method, target).payload("UNSIGNED-PAYLOAD");
        let answer = exchange(self.address, &signed.signed(self.address, &self.key, &now()))?;
        match answer.status {
            200..300 => Ok(()),
            status => Err(format!("{method} {target}: {status} {}", answer.code()).into()),
        }
    }
}

/// One way in which keys are laid out.
struct Layout {
    bucket: &'static str,
    /// Keys of one prefix.
    each: u64,
}

impl Layout {
    fn key(&self, number: u64) -> String {
        format!("p{:05}/{:08}", number / self.each, number)
    }

    fn number(&self, key: &str) -> Option<u64> {
        key.split_once('/')?.1.parse().ok()
    }
}

fn make(scene: &Scene, layout: &Layout, arguments: &Arguments) -> Result<Duration, Failed> {
    let begun = Instant::now();
    scene.ask("PUT", &format!("/{}", layout.bucket))?;
    let put = |number: u64| scene.ask("PUT", &format!("/{}/{}", layout.bucket, layout.key(number)));
    many(arguments.clients, 0, |number, _| number >= arguments.keys, put)?;
    Ok(begun.elapsed())
}

/// Lists all; what was found, in which time, and the most memory meanwhile.
fn list(scene: &Scene, layout: &Layout) -> Result<(Tally, Duration, u64), Failed> {
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(scene.daemon.resident()?));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(scene.daemon.resident().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        let (mut tally, begun) = (Tally::default(), Instant::now());
        let listed = list_all(scene.address, &scene.key, layout.bucket, |key| {
            tally.add(key, layout.number(key));
        });
        let took = begun.elapsed();
        done.store(true, Ordering::Relaxed);
        listed?;
        Ok((tally, took, most.load(Ordering::Relaxed)))
    })
}

/// As [`list`], while others put and delete keys in between.
fn list_among_writers(
    scene: &Scene,
    layout: &Layout,
    keys: u64,
) -> Result<(Tally, Duration, u64, u64), Failed> {
    let (done, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    let write = |writer: u64| -> Result<(), Failed> {
        for step in 0u64.. {
            if done.load(Ordering::Relaxed) {
                return Ok(());
            }
            // All over the listing, each there and gone again.
            let number = (step * 7919 + writer * 104_729) % keys;
            let target = format!("/{}/{}-{writer}", layout.bucket, layout.key(number));
            scene.ask("PUT", &target)?;
            scene.ask("DELETE", &target)?;
            changes.fetch_add(2, Ordering::Relaxed);
        }
        Ok(())
    };
    let write = &write;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        let listed = list(scene, layout);
        done.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        let (tally, took, most) = listed?;
        Ok((tally, took, most, changes.load(Ordering::Relaxed)))
    })
}

fn check(tally: &Tally, keys: u64) -> Result<(), Failed> {
    if tally.found == keys && tally.wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{} keys of {keys} were listed; {:?}", tally.found, tally.wrong).into())
}

fn main() -> Result<(), Failed> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let options = DaemonOptions {
        flags: vec!["--drive-size".into(), "4G".into()],
        program: arguments.program.clone(),
        ..DaemonOptions::default()
    };
    let daemon = Daemon::start(folder.path(), &options)?;
    let key = daemon.s3_key("keys", &["--user", "0"])?;
    let scene = Scene { address: daemon.s3(), daemon, key };
    let one = Layout { bucket: "one-prefix", each: arguments.keys.max(1) };
    let many = Layout { bucket: "many-prefixes", each: (arguments.keys / arguments.prefixes.max(1)).max(1) };
    let mut slow = false;
    for layout in [one, many] {
        if arguments.only.as_ref().is_some_and(|only| only != layout.bucket) {
            continue;
        }
        let made = make(&scene, &layout, &arguments)?;
        println!("{}: {} keys put in {:.0} s", layout.bucket, arguments.keys, made.as_secs_f64());
        // Once for the caches, which have a budget of their own.
        list(&scene, &layout)?;
        let before = scene.daemon.resident()?;
        let (tally, took, most) = list(&scene, &layout)?;
        check(&tally, arguments.keys)?;
        let rate = tally.found as f64 / took.as_secs_f64();
        slow |= rate < arguments.least as f64;
        println!("  listed {rate:.0} keys a second; memory {before} KiB before, {most} KiB at most");
        let (tally, took, most, changes) = list_among_writers(&scene, &layout, arguments.keys)?;
        check(&tally, arguments.keys)?;
        let rate = tally.found as f64 / took.as_secs_f64();
        println!("  among {changes} changes {rate:.0} a second, each once; memory {most} KiB at most");
    }
    if slow { Err(format!("fewer than {} keys a second", arguments.least).into()) } else { Ok(()) }
}
