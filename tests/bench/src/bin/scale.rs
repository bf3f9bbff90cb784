//! What grows with the number of files, and what must not: time for a file, memory, space, the time of a restart.

use bench::many;
use clap::{Parser, ValueEnum};
use e2e::{Daemon, DaemonOptions, Mount};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of an overwrite.
const PAGE: u64 = 4096;
/// Directories of the phases that have many.
const FOLDERS: u64 = 1000;
/// How long space that is no longer needed has to come back.
const SETTLE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// Empty files, all in one directory
    EmptyOne,
    /// Empty files in a thousand directories
    EmptyMany,
    /// Files of 16 KiB in a thousand directories
    Small,
    /// One large file, overwritten at random 4 KiB at a time
    Overwrite,
}

#[derive(Parser)]
#[command(about = "Many files, and a file of many pieces")]
struct Arguments {
    /// Files of each phase, and overwrites
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// MiB of the large file
    #[arg(long, default_value_t = 10 << 10)]
    large: u64,
    /// Which, in this order
    #[arg(long, value_delimiter = ',', default_value = "empty-one,empty-many,small,overwrite")]
    phases: Vec<Phase>,
    /// Threads that work at the same time
    #[arg(long, default_value_t = 8)]
    threads: u64,
    /// Six drives with 4+2
    #[arg(long)]
    six: bool,
    /// MiB of all drives together
    #[arg(long, default_value_t = 40 << 10)]
    size: u64,
    /// Where, and not in the folder for temporary files
    #[arg(long)]
    folder: Option<PathBuf>,
}

struct Scene {
    daemon: Daemon,
    mount: Mount,
}

/// What a phase does with its `number`th file or page.
trait Work: Sync {
    fn step(&self, number: u64) -> Result<(), Failed>;

    /// After the last step of a window.
    fn settle(&self) -> Result<(), Failed> {
        Ok(())
    }
}

struct Files {
    top: PathBuf,
    folders: u64,
    content: Vec<u8>,
}

impl Files {
    fn path(&self, number: u64) -> PathBuf {
        // Folder after folder would leave all threads in one.
        let folder = self.top.join(format!("d{}", number % self.folders));
        folder.join(format!("f{number}"))
    }
}

impl Work for Files {
    fn step(&self, number: u64) -> Result<(), Failed> {
        Ok(File::create_new(self.path(number))?.write_all(&self.content)?)
    }
}

struct Pages {
    file: File,
    pages: u64,
}

impl Work for Pages {
    fn step(&self, number: u64) -> Result<(), Failed> {
        // Each page about as often as any other, in no order.
        let page = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16) % self.pages;
        Ok(self.file.write_all_at(&[number as u8; PAGE as usize], page * PAGE)?)
    }

    fn settle(&self) -> Result<(), Failed> {
        Ok(self.file.sync_all()?)
    }
}

/// What the daemon's drives occupy and need, and what it holds in memory.
fn look(scene: &Scene) -> Result<String, Failed> {
    let capacity = scene.daemon.status()?.capacity;
    let mib = |bytes: u64| bytes >> 20;
    Ok(format!(
        "used {} MiB, live {}, garbage {}, dead {}, metadata {}; daemon {} MiB, {} MiB written",
        mib(capacity.used),
        capacity.live.map_or(0, mib),
        capacity.garbage.map_or(0, mib),
        capacity.dead.map_or(0, mib),
        capacity.metadata.map_or(0, mib),
        scene.daemon.resident()? >> 10,
        mib(written(scene.daemon.pid())?),
    ))
}

/// Bytes that a process has had written to drives.
fn written(pid: u32) -> Result<u64, Failed> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.ok_or("no such line in /proc")?.trim().parse()?)
}

/// Does `count` steps in windows that grow, and says what a step of each took.
fn windows(scene: &Scene, arguments: &Arguments, work: &dyn Work) -> Result<(), Failed> {
    let mut first = None;
    let (mut from, mut to) = (0, 10_000.min(arguments.count));
    while from < arguments.count {
        let begun = Instant::now();
        many(arguments.threads, from, |number, _| number >= to, |number| work.step(number))?;
        work.settle()?;
        let each = begun.elapsed().as_secs_f64() * 1e6 / (to - from) as f64;
        let first = *first.get_or_insert(each);
        println!("  to {to}: {each:.0} us each, {:.2} of the first; {}", each / first, look(scene)?);
        (from, to) = (to, (to * 2).min(arguments.count));
    }
    Ok(())
}

/// SIGKILL, and how long until the daemon is ready and a path of its is known again.
fn restart(scene: &mut Scene, path: &Path) -> Result<(), Failed> {
    let begun = Instant::now();
    scene.daemon.revive()?;
    let ready = begun.elapsed().as_secs_f64();
    fs::symlink_metadata(path)?;
    println!(
        "  ready {ready:.1} s after SIGKILL, a name told after {:.1} s; daemon {} MiB",
        begun.elapsed().as_secs_f64(),
        scene.daemon.resident()? >> 10
    );
    Ok(())
}

fn files(scene: &mut Scene, arguments: &Arguments, phase: Phase) -> Result<(), Failed> {
    let (folders, bytes) = match phase {
        Phase::EmptyOne => (1, 0),
        Phase::EmptyMany => (FOLDERS, 0),
        _ => (FOLDERS, 16 << 10),
    };
    let top = scene.mount.at.join(format!("{phase:?}"));
    let work = Files { top, folders, content: vec![7; bytes] };
    for folder in 0..folders {
        fs::create_dir_all(work.top.join(format!("d{folder}")))?;
    }
    windows(scene, arguments, &work)?;
    restart(scene, &work.path(0))?;
    let begun = Instant::now();
    let mut found = 0;
    for folder in 0..folders {
        found += fs::read_dir(work.top.join(format!("d{folder}")))?.count() as u64;
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / found as f64;
    println!("  listed {found} names, {each:.1} us each; daemon {} MiB", scene.daemon.resident()? >> 10);
    if found != arguments.count {
        return Err(format!("{found} names of {}", arguments.count).into());
    }
    let begun = Instant::now();
    fs::remove_dir_all(&work.top)?;
    let each = begun.elapsed().as_secs_f64() * 1e6 / found as f64;
    println!("  removed, {each:.0} us each; {}", look(scene)?);
    Ok(())
}

fn overwrite(scene: &mut Scene, arguments: &Arguments) -> Result<(), Failed> {
    let path = scene.mount.at.join("large");
    let mut file = File::create_new(&path)?;
    let begun = Instant::now();
    for part in 0..arguments.large {
        file.write_all(&vec![part as u8; 1 << 20])?;
    }
    file.sync_all()?;
    println!("  written in {:.0} s; {}", begun.elapsed().as_secs_f64(), look(scene)?);
    let before = written(scene.daemon.pid())?;
    let work =
        Pages { file: File::options().write(true).open(&path)?, pages: (arguments.large << 20) / PAGE };
    windows(scene, arguments, &work)?;
    drop(work);
    let begun = Instant::now();
    while begun.elapsed() < SETTLE {
        std::thread::sleep(SETTLE / 8);
        println!("  {:.0} s later: {}", begun.elapsed().as_secs_f64(), look(scene)?);
    }
    let user = arguments.count * PAGE;
    let ratio = (written(scene.daemon.pid())? - before) as f64 / user as f64;
    println!("  {ratio:.2} bytes to drives for each byte written");
    restart(scene, &path)
}

fn main() -> Result<(), Failed> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let (drives, protection) = if arguments.six { (6, "4+2") } else { (1, "none") };
    let each = format!("{}M", arguments.size / drives);
    let drives = drives.to_string();
    let flags = ["--drives", &drives, "--protection", protection, "--drive-size", &each];
    let options = DaemonOptions { flags: flags.map(String::from).to_vec(), ..DaemonOptions::default() };
    let daemon = Daemon::start(&folder, &options)?;
    let mount = Mount::new(&daemon, &folder.join("mount"))?;
    let mut scene = Scene { daemon, mount };
    for phase in &arguments.phases {
        println!("{phase:?}");
        match phase {
            Phase::Overwrite => overwrite(&mut scene, &arguments)?,
            _ => files(&mut scene, &arguments, *phase)?,
        }
    }
    Ok(())
}
