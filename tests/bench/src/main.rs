//! `make bench`: Plexus beside other file systems, in one run.

use bench::counts::{Counter, Counts};
use bench::disk::Image;
use bench::network::Wire;
use bench::results::{Results, Sample};
use bench::rows::{Load, Row, Work};
use bench::session::{self, Listener, Run};
use bench::systems::{Kind, Programs};
use bench::table::{self, Head};
use bench::tree::Tree;
use bench::{BenchError, processes, stop};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measures Plexus and other file systems in one run, and prints one table
#[derive(Parser)]
struct Arguments {
    /// Tiny sizes and one pass: shows that all of it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// How often each system is measured [default: 3; 1 with --quick]
    #[arg(long)]
    passes: Option<u32>,
    /// Only these [default: all]
    #[arg(long, value_delimiter = ',')]
    systems: Vec<Kind>,
    /// Also writes the table to this file
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where the disks are made; needs about 10 GiB, 4 with --quick [default: TMPDIR, else target/bench]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Folder of plexusd and plexus [default: beside this program]
    #[arg(long)]
    plexus: Option<PathBuf>,
    /// The program juicefs [default: as packaging/prepare bench has installed it]
    #[arg(long)]
    juicefs: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(err) => {
            eprintln!("bench: {err}");
            ExitCode::from(1)
        }
    }
}

/// Whether everything that is here was measured.
fn run(arguments: &Arguments) -> Result<bool, BenchError> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("bench: only root can make disks, mount file systems and drop caches; run it with sudo");
        return Ok(false);
    }
    stop::listen()?;
    processes::adopt()?;
    let base = base_folder(arguments.folder.as_deref())?;
    let folder = tempfile::Builder::new().prefix("plexus-bench-").tempdir_in(&base)?;
    let run = prepare(arguments, folder.path())?;
    let mut head = Head { lines: lines(arguments), systems: Vec::new(), missing: Vec::new() };
    for kind in wanted(arguments) {
        match available(kind, &run) {
            Ok(version) => head.systems.push((kind, version)),
            Err(why) => {
                eprintln!("bench: {} is left out: {why}", kind.title());
                head.missing.push((kind, why));
            }
        }
    }
    let mut results = Results::default();
    let done = measure(arguments, &run, &head, &mut results);
    let text = table::markdown(&head, &results);
    println!("\n{text}");
    if let Some(out) = &arguments.out {
        std::fs::write(out, &text)?;
    }
    done?;
    Ok(results.failures.is_empty())
}

fn wanted(arguments: &Arguments) -> Vec<Kind> {
    let all = Kind::all().iter().copied();
    all.filter(|kind| arguments.systems.is_empty() || arguments.systems.contains(kind)).collect()
}

fn base_folder(given: Option<&Path>) -> Result<PathBuf, BenchError> {
    let base = match (given, std::env::var_os("TMPDIR")) {
        (Some(folder), _) => folder.to_owned(),
        (None, Some(folder)) => PathBuf::from(folder),
        (None, None) => e2e::repository().join("target/bench"),
    };
    std::fs::create_dir_all(&base)?;
    Ok(base.canonicalize()?)
}

fn prepare(arguments: &Arguments, folder: &Path) -> Result<Run, BenchError> {
    let (load, counted) =
        if arguments.quick { (Load::QUICK, Load::QUICK) } else { (Load::FULL, Load::COUNTED) };
    // Six disks for 4+2 must hold 1.5 times that.
    let bytes = load.space() * 2;
    eprintln!("bench: writing {} MiB for the disks", bytes >> 20);
    let beside = e2e::build_folder()?;
    let juicefs = e2e::repository().join("target/peers/juicefs/bin/juicefs");
    Ok(Run {
        folder: folder.to_owned(),
        image: Image::create(folder, bytes)?,
        wire: Wire::create()?,
        bytes,
        load,
        counted,
        tree: Tree::create(folder, load.tree_files)?,
        programs: Programs {
            plexus: arguments.plexus.clone().unwrap_or(beside),
            juicefs: arguments.juicefs.clone().unwrap_or(juicefs),
        },
        limit: Duration::from_secs(if arguments.quick { 120 } else { 900 }),
    })
}

/// Its version, or why it cannot be measured.
fn available(kind: Kind, run: &Run) -> Result<String, String> {
    if kind.is_nfs() {
        e2e::guest_cache().map_err(|err| err.to_string())?;
    }
    kind.version(&run.programs).map_err(|err| err.to_string())
}

fn lines(arguments: &Arguments) -> Vec<String> {
    let said = |words: &[&str]| processes::run_words(words).unwrap_or_default().trim().to_owned();
    let commit =
        said(&["git", "-C", &e2e::repository().to_string_lossy(), "describe", "--always", "--dirty"]);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let quick = if arguments.quick { "**A quick look with tiny sizes: not for comparison.** " } else { "" };
    vec![
        format!("{quick}{}, commit {commit}.", said(&["date", "+%Y-%m-%d"])),
        format!(
            "{processors} processors ({}), Linux {}, load at the start {}.",
            model.unwrap_or("unknown").trim(),
            said(&["uname", "-r"]),
            load.split(' ').next().unwrap_or_default()
        ),
        String::new(),
        "All disks are ext4 on loop devices (direct I/O) over one file that is written in full before. \
         FUSE and ext4 rows run on this machine. All NFS rows run in one and the same guest: User Mode Linux 6.1, \
         one processor, kernel client, NFS 4.2, over a tap device; a system call costs it some 10 µs, which \
         levels the fast rows. Cold: unmounted, caches of kernel, guest and daemon dropped, mounted again."
            .into(),
        String::new(),
        "CPU, system calls and context switches are those of the system's own processes (daemons, mount, Redis, \
         bricks), without kernel threads and without the client; ext4 has none. Bytes, writes and flushes are \
         those of the loop devices until all is settled. Work that a system does in the background counts for the \
         row in which it happens. Calls and switches come from a pass of their own, which is not timed."
            .into(),
    ]
}

/// All passes, systems in turn; an error of one system is told and the others go on.
fn measure(arguments: &Arguments, run: &Run, head: &Head, results: &mut Results) -> Result<(), BenchError> {
    let passes = arguments.passes.unwrap_or(if arguments.quick { 1 } else { 3 });
    let counter = Counter::find();
    if counter.is_none() {
        eprintln!("bench: neither perf nor strace works here: no system calls are counted");
    }
    let timed = (1..=passes).map(|pass| (format!("pass {pass} of {passes}"), None));
    let counted = counter.map(|counter| ("counting pass".to_owned(), Some(counter)));
    for (pass, counter) in timed.chain(counted) {
        for (kind, _) in &head.systems {
            eprintln!("bench: {pass}: {}", kind.title());
            let mut told = Told { kind: *kind, pass: &pass, results };
            match session::run(run, *kind, counter, &mut told) {
                Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
                Err(err) => told.fail(&err.to_string()),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

struct Told<'a> {
    kind: Kind,
    pass: &'a str,
    results: &'a mut Results,
}

impl Told<'_> {
    fn fail(&mut self, what: &str) {
        let failure = format!("{}, {}: {what}", self.kind.title(), self.pass);
        eprintln!("bench: {failure}");
        self.results.failures.push(failure);
    }
}

impl Listener for Told<'_> {
    fn sample(&mut self, row: Row, sample: Sample) {
        let rate = sample.work.operations / sample.work.seconds;
        eprintln!("bench:   {}: {rate:.1} {}/s", row.title(), row.unit());
        self.results.add(row, self.kind, sample);
    }

    fn counts(&mut self, row: Row, counts: Counts, work: Work) {
        self.results.add_counts(row, self.kind, counts, work);
    }

    fn failure(&mut self, row: Row, err: &BenchError) {
        self.fail(&format!("{}: {err}", row.title()));
    }
}
