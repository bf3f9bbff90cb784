//! System calls and context switches of running processes, counted from outside: by perf, else by strace.

use crate::BenchError;
use crate::processes::{self, Program};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const ATTACH_LIMIT: Duration = Duration::from_secs(20);
const CALLS: &str = "raw_syscalls:sys_enter";
const SWITCHES: &str = "context-switches";

/// What counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// `perf stat`: next to no cost, and context switches too.
    Perf,
    /// `strace -c -f`: slow, calls only.
    Strace,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// System calls.
    pub calls: u64,
    /// Times that a thread gave its processor up, or lost it; not from strace.
    pub switches: Option<u64>,
}

impl Counter {
    /// The better one that works here.
    #[must_use]
    pub fn find() -> Option<Counter> {
        if processes::run_words(&["perf", "stat", "-e", CALLS, "--", "true"]).is_ok() {
            return Some(Counter::Perf);
        }
        let traced = processes::run_words(&["strace", "-c", "-o", "/dev/null", "true"]).is_ok();
        traced.then_some(Counter::Strace)
    }

    /// Begins with what all threads of these processes do, and threads and processes that they start.
    ///
    /// # Errors
    /// When it cannot attach.
    pub fn attach(self, pids: &BTreeSet<u32>, folder: &Path) -> Result<Counting, BenchError> {
        let (output, log) = (folder.join("counts"), folder.join("counts.log"));
        for old in [&output, &log] {
            let _ = std::fs::remove_file(old);
        }
        let list: Vec<String> = pids.iter().map(u32::to_string).collect();
        let mut control_of_perf = None;
        let mut command = match self {
            Counter::Perf => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x", ",", "-e", CALLS, "-e", SWITCHES, "-p", &list.join(",")]);
                let control = Control::create(folder)?;
                command.args(["--delay", "-1", "--control"]).arg(control.option());
                control_of_perf = Some(control);
                command
            }
            Counter::Strace => {
                let mut command = Command::new("strace");
                command.args(["-c", "-f"]);
                for pid in &list {
                    command.args(["-p", pid]);
                }
                command
            }
        };
        command.arg("-o").arg(&output);
        let mut program = Program::start(command, &log)?;
        match control_of_perf {
            Some(control) => control.enable(&mut program)?,
            None => program.wait_until("strace", ATTACH_LIMIT, || {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                said.matches("attached").count() >= pids.len()
            })?,
        }
        Ok(Counting { counter: self, program, output })
    }
}

/// The two pipes over which perf is told to begin, and says that it has.
#[derive(Debug)]
struct Control {
    tell: PathBuf,
    told: PathBuf,
}

impl Control {
    fn create(folder: &Path) -> Result<Control, BenchError> {
        let control = Control { tell: folder.join("perf-tell"), told: folder.join("perf-told") };
        for path in [&control.tell, &control.told] {
            let _ = std::fs::remove_file(path);
            rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                .map_err(std::io::Error::from)?;
        }
        Ok(control)
    }

    fn option(&self) -> String {
        format!("fifo:{},{}", self.tell.display(), self.told.display())
    }

    fn enable(&self, perf: &mut Program) -> Result<(), BenchError> {
        // Opened both ways a pipe neither waits for the other end nor is ever without one.
        let open = |path| -> std::io::Result<File> {
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
        };
        let (mut tell, mut told) = (open(&self.tell)?, open(&self.told)?);
        tell.write_all(b"enable\n")?;
        let mut answer = [0; 16];
        perf.wait_until("perf", ATTACH_LIMIT, || told.read(&mut answer).is_ok_and(|count| count > 0))
    }
}

/// A count in progress.
#[derive(Debug)]
pub struct Counting {
    counter: Counter,
    program: Program,
    output: PathBuf,
}

impl Counting {
    /// Ends it.
    ///
    /// # Errors
    /// When nothing was counted.
    pub fn end(mut self) -> Result<Counts, BenchError> {
        self.program.end(Signal::INT);
        let text = std::fs::read_to_string(&self.output)?;
        let counts = match self.counter {
            Counter::Perf => parse_perf(&text),
            Counter::Strace => parse_strace(&text),
        };
        counts.ok_or(BenchError::Unreadable { what: "counts of system calls", text })
    }
}

/// `perf stat -x ,`: value, unit, event, ...
fn parse_perf(text: &str) -> Option<Counts> {
    let value = |event: &str| {
        let line = text.lines().find(|line| line.split(',').nth(2) == Some(event))?;
        line.split(',').next()?.parse().ok()
    };
    Some(Counts { calls: value(CALLS)?, switches: value(SWITCHES) })
}

/// `strace -c`: the last line is the sum: per cent, seconds, microseconds for each call, calls, maybe errors.
fn parse_strace(text: &str) -> Option<Counts> {
    let total = text.lines().rev().find(|line| line.trim_end().ends_with("total"))?;
    let calls = total.split_whitespace().nth(3)?.parse().ok()?;
    Some(Counts { calls, switches: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_perf_are_read() {
        let text =
            "# started on Fri\n\n123,,raw_syscalls:sys_enter,99,100.00,,\n45,,context-switches,99,100.00,,\n";
        assert_eq!(parse_perf(text), Some(Counts { calls: 123, switches: Some(45) }));
        assert_eq!(parse_perf("<not counted>,,raw_syscalls:sys_enter,0,0.00,,\n"), None);
    }

    #[test]
    fn counts_of_strace_are_read() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
             60.00    0.000030          10         3         1 read\n\
             40.00    0.000020          10         2           write\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000050          10         5         1 total\n";
        assert_eq!(parse_strace(text), Some(Counts { calls: 5, switches: None }));
        assert_eq!(parse_strace(""), None);
    }
}
