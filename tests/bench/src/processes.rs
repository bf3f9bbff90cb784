//! What runs below this process: started, counted and ended by process id.
//!
//! This process adopts what its children leave behind, so that daemons that detach themselves stay its
//! descendants.

use crate::{BenchError, stop};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A processor second in the ticks of /proc, on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;
/// The end of a log that an error shows.
const SHOWN_BYTES: u64 = 2000;
const END_LIMIT: Duration = Duration::from_secs(10);
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// From now on, what descendants leave behind becomes a child of this process.
///
/// # Errors
/// Those of the machine.
pub fn adopt() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// A program in the background. Told to end when dropped, killed when it does not.
#[derive(Debug)]
pub struct Program {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Program {
    /// Starts it in a process group of its own (Ctrl-C is not for it), all its output to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Result<Program, BenchError> {
        let name = command.get_program().to_string_lossy().into_owned();
        let out = File::options().create(true).append(true).open(log)?;
        let err = out.try_clone()?;
        let spawned = command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn();
        let child =
            spawned.map_err(|err| BenchError::Program { program: name.clone(), what: err.to_string() })?;
        Ok(Program { child, name, log: log.to_owned() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says so, as long as it runs.
    ///
    /// # Errors
    /// When it ends before, or is late; with the end of its log.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), BenchError> {
        let child = &mut self.child;
        let waited = stop::wait_for(what, limit, || {
            let ended = child.try_wait()?;
            Ok(if ready() { Some(None) } else { ended.map(Some) })
        });
        match waited {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.error(&format!("ended with {status}"))),
            Err(BenchError::Late { what, seconds }) => {
                Err(self.error(&format!("{what}: not within {seconds} s")))
            }
            Err(err) => Err(err),
        }
    }

    /// Tells it to end with `signal` and waits for that, at most 10 seconds; then kills it.
    pub fn end(&mut self, signal: Signal) {
        if let Some(pid) = raw(self.child.id()) {
            let _ = kill_process(pid, signal);
        }
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > END_LIMIT {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn error(&self, what: &str) -> BenchError {
        BenchError::Program { program: self.name.clone(), what: format!("{what}\n{}", tail(&self.log)) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end(Signal::TERM);
    }
}

/// Runs a program to its end, and gives what it printed.
///
/// # Errors
/// With what it complained of, when its status is not 0; when it takes over 2 minutes.
pub fn run(command: &mut Command) -> Result<String, BenchError> {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let name = words.join(" ");
    let fail = |what: String| BenchError::Program { program: name.clone(), what };
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let spawned = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .process_group(0)
        .spawn();
    let mut child = spawned.map_err(|err| fail(err.to_string()))?;
    // Not given up when the run is interrupted: these also clean up after it.
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > COMMAND_LIMIT {
            child.kill()?;
            child.wait()?;
            return Err(fail(format!("not within {} s", COMMAND_LIMIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let said = text(&mut out)?;
    if status.success() {
        return Ok(said);
    }
    let complaint = text(&mut err)?;
    let complaint = if complaint.trim().is_empty() { said } else { complaint };
    Err(fail(format!("{status}: {}", complaint.trim())))
}

/// As [`run`], of words.
///
/// # Errors
/// As [`run`].
pub fn run_words(words: &[&str]) -> Result<String, BenchError> {
    let [program, arguments @ ..] = words else { return Ok(String::new()) };
    run(Command::new(find(program)).args(arguments))
}

/// Where a program is, also when only root looks there; its bare name when it is nowhere.
#[must_use]
pub fn find(program: &str) -> PathBuf {
    look_up(program).unwrap_or_else(|| PathBuf::from(program))
}

/// Where a program is, also when only root looks there.
#[must_use]
pub fn look_up(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/local/sbin", "/usr/sbin", "/sbin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

fn text(file: &mut File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of a log.
#[must_use]
pub fn tail(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(SHOWN_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(SHOWN_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// One line of /proc.
#[derive(Clone, Copy, Debug)]
struct Stat {
    parent: u32,
    ticks: u64,
    zombie: bool,
}

fn stat(pid: u32) -> Option<Stat> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&line)
}

/// The name of a process may hold anything, brackets too: what counts begins behind the last one.
fn parse_stat(line: &str) -> Option<Stat> {
    let (_, fields) = line.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
        zombie: fields.first() == Some(&"Z"),
    })
}

/// All processes below `root`, without itself and without the dead.
#[must_use]
pub fn descendants(root: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = stat(pid).filter(|stat| !stat.zombie) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
    found
}

/// The processor time that these processes have used so far, in user and kernel mode.
#[must_use]
pub fn cpu(pids: &BTreeSet<u32>) -> Duration {
    let ticks: u64 = pids.iter().filter_map(|&pid| stat(pid)).map(|stat| stat.ticks).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// Ends these processes: SIGTERM, after 10 seconds SIGKILL; and takes the status of those that are ours.
pub fn end_all(pids: &BTreeSet<u32>) {
    let signal_all = |signal| {
        for pid in pids.iter().filter_map(|&pid| raw(pid)) {
            let _ = kill_process(pid, signal);
        }
    };
    signal_all(Signal::TERM);
    let start = Instant::now();
    loop {
        for pid in pids.iter().filter_map(|&pid| raw(pid)) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        if !pids.iter().any(|&pid| stat(pid).is_some_and(|stat| !stat.zombie)) {
            return;
        }
        if start.elapsed() > END_LIMIT {
            signal_all(Signal::KILL);
        }
        if start.elapsed() > END_LIMIT * 2 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_skipped() {
        let line = "77 (a) b (c) S 12 77 77 0 -1 4194560 1 0 0 0 250 50 9 9 20 0 1 0 100 0 0";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.parent, stat.ticks, stat.zombie), (12, 300, false));
        assert!(parse_stat("nothing").is_none());
    }

    #[test]
    fn a_child_of_a_child_is_found_counted_and_ended() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & wait"]);
        let mut program = Program::start(command, log.path()).unwrap();
        let own = std::process::id();
        let all = stop::wait_for("two processes", END_LIMIT, || {
            let all = descendants(own);
            let below = descendants(program.pid());
            Ok((all.contains(&program.pid()) && below.len() == 1).then_some(below))
        });
        let below = all.unwrap();
        assert!(cpu(&below) < END_LIMIT);
        program.end(Signal::TERM);
        end_all(&below);
        assert!(below.iter().all(|&pid| stat(pid).is_none_or(|stat| stat.zombie)));
    }

    #[test]
    fn what_a_program_complains_of_is_said() {
        let err = run_words(&["sh", "-c", "echo no such thing >&2; exit 3"]).unwrap_err();
        assert!(err.to_string().contains("no such thing"), "{err}");
        assert_eq!(run_words(&["echo", "yes"]).unwrap(), "yes\n");
    }
}
