//! Work on names with plain system calls, in one process or several at once.
//!
//! Every process has a folder of its own with as many files; the work of all begins together.

use clap::ValueEnum;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is done to the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum NameWork {
    /// Makes empty files: open(2) with O_CREAT and O_EXCL, close(2).
    Create,
    /// stat(2) of each once, in no order.
    Stat,
    /// The same again and again until the time is up.
    Restat,
    /// Opens the folder, reads all entries, closes it; again until the time is up. An operation is an entry.
    List,
    /// Gives each a new name in the same folder.
    Rename,
    /// Removes each, by the name that [`NameWork::Rename`] gave it.
    Unlink,
}

impl NameWork {
    /// Its name on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            NameWork::Create => "create",
            NameWork::Stat => "stat",
            NameWork::Restat => "restat",
            NameWork::List => "list",
            NameWork::Rename => "rename",
            NameWork::Unlink => "unlink",
        }
    }
}

/// How much of it.
#[derive(Clone, Debug, clap::Args)]
pub struct NameLoad {
    /// What is done
    pub work: NameWork,
    /// Where; process I works in a folder of that number
    pub folder: PathBuf,
    /// Files of each process
    #[arg(long)]
    pub files: u64,
    /// How many at once
    #[arg(long, default_value_t = 1)]
    pub processes: u32,
    /// How long what repeats goes on
    #[arg(long, default_value_t = 0.5)]
    pub seconds: f64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct NamesDone {
    /// By all processes.
    pub operations: u64,
    /// From the common start to the end of the last.
    pub seconds: f64,
}

/// Starts the processes (`program` is this program, whose command `name-worker` calls [`work`]), lets them go
/// together, and waits for all.
///
/// # Errors
/// When one fails.
pub fn lead(load: &NameLoad, program: &Path) -> io::Result<NamesDone> {
    let started: io::Result<Vec<Worker>> =
        (0..load.processes).map(|number| Worker::start(load, program, number)).collect();
    let mut workers = started?;
    for worker in &mut workers {
        worker.line("ready")?;
    }
    let start = Instant::now();
    for worker in &mut workers {
        worker.go()?;
    }
    let mut operations = 0;
    for worker in &mut workers {
        let line = worker.line("")?;
        operations += line.trim().parse::<u64>().map_err(io::Error::other)?;
    }
    Ok(NamesDone { operations, seconds: start.elapsed().as_secs_f64() })
}

struct Worker {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn start(load: &NameLoad, program: &Path, number: u32) -> io::Result<Worker> {
        let mut command = Command::new(program);
        command.args(["name-worker", load.work.word()]).arg(load.folder.join(number.to_string()));
        command.arg("--files").arg(load.files.to_string()).arg("--seconds").arg(load.seconds.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("a worker without output"))?;
        Ok(Worker { child, output: BufReader::new(output) })
    }

    fn line(&mut self, wanted: &str) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() || !line.starts_with(wanted) {
            return Err(io::Error::other(format!("a worker said {line:?}")));
        }
        Ok(line)
    }

    fn go(&mut self) -> io::Result<()> {
        let input = self.child.stdin.as_mut().ok_or_else(|| io::Error::other("a worker without input"))?;
        input.write_all(b"go\n")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// One process: makes ready, says so, waits for the word, works, says how many operations it did.
///
/// # Errors
/// Those of the file system.
pub fn work(load: &NameLoad) -> io::Result<()> {
    std::fs::create_dir_all(&load.folder)?;
    std::env::set_current_dir(&load.folder)?;
    let old: Vec<String> = (0..load.files).map(|number| format!("file-{number:07}")).collect();
    let new: Vec<String> = (0..load.files).map(|number| format!("name-{number:07}")).collect();
    let scattered: Vec<&String> = scatter(&old);
    println!("ready");
    let mut word = String::new();
    if io::stdin().read_line(&mut word)? == 0 {
        return Ok(());
    }
    let operations = match load.work {
        NameWork::Create => each(&old, create)?,
        NameWork::Stat => each(&scattered, |name| rustix::fs::stat(*name).map(drop))?,
        NameWork::Restat => {
            repeat(load.seconds, || each(&scattered, |name| rustix::fs::stat(*name).map(drop)))?
        }
        NameWork::List => repeat(load.seconds, || list(load.files))?,
        NameWork::Rename => {
            let pairs: Vec<_> = old.iter().zip(&new).collect();
            each(&pairs, |(old, new)| rustix::fs::rename(*old, *new))?
        }
        NameWork::Unlink => each(&new, |name| rustix::fs::unlink(name))?,
    };
    println!("{operations}");
    Ok(())
}

fn create(name: &String) -> rustix::io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// Reads the folder in which it is, and sees that nothing is missing.
fn list(files: u64) -> io::Result<u64> {
    let mut entries = 0;
    for entry in std::fs::read_dir(".")? {
        entry?;
        entries += 1;
    }
    if entries == files {
        Ok(entries)
    } else {
        Err(io::Error::other(format!("{entries} of {files} entries")))
    }
}

fn each<T>(all: &[T], mut one: impl FnMut(&T) -> rustix::io::Result<()>) -> io::Result<u64> {
    for item in all {
        one(item)?;
    }
    Ok(all.len() as u64)
}

fn repeat(seconds: f64, mut round: impl FnMut() -> io::Result<u64>) -> io::Result<u64> {
    let (start, time) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut operations = 0;
    while operations == 0 || start.elapsed() < time {
        operations += round()?;
    }
    Ok(operations)
}

/// All of them, once each, neighbours far apart.
fn scatter<T>(all: &[T]) -> Vec<&T> {
    const STRIDE: usize = 7919;
    let step = if all.len().is_multiple_of(STRIDE) { 1 } else { STRIDE };
    (0..all.len()).filter_map(|at| all.get(at * step % all.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattering_loses_nothing() {
        for count in [1_usize, 2, 200, 7919, 15838] {
            let all: Vec<usize> = (0..count).collect();
            let mut scattered: Vec<usize> = scatter(&all).into_iter().copied().collect();
            scattered.sort_unstable();
            assert_eq!(scattered, all);
        }
        assert!(scatter::<u8>(&[]).is_empty());
    }

    #[test]
    fn what_repeats_runs_at_least_once() {
        assert_eq!(repeat(0.0, || Ok(3)).unwrap(), 3);
    }
}
