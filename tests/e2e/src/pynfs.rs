//! pynfs, a foreign test of NFS servers, against the daemon.
//!
//! What fails is compared with a file of known failures: a failure that is not in it and a line of it that is not true any
//! more are both errors.

use crate::daemon::tail;
use crate::{Daemon, DaemonError, DaemonOptions};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often it is looked whether something is wanted.
const LOOK: Duration = Duration::from_millis(20);
/// What pynfs runs to have the server restarted: it connects, and is answered by the end of the connection. What pynfs
/// adds to it is a comment.
const HELPER: &str = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", PORT)).recv(1)' #";

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub enum PynfsError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of the daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// There is no pynfs, or none that is built.
    #[error("{} is no pynfs that is built: clone it, then `python3 setup.py build` in it (needs the package ply)", .0.display())]
    NotBuilt(PathBuf),
    /// It did not come to its end.
    #[error("pynfs ended without results:\n{0}")]
    NoResults(String),
    /// The file of known failures.
    #[error("line {0} of the known failures is not a code and a reason")]
    BadLine(usize),
}

/// A run of it.
#[derive(Clone, Debug)]
pub struct Pynfs {
    /// Its checkout, built.
    pub checkout: PathBuf,
    /// The minor version.
    pub minor: u32,
    /// Seconds of a lease, and of grace. Many tests wait for one to run out; in those of restarts a thousand clients keep
    /// theirs without saying anything.
    pub lease: u32,
    /// Its flags and codes of tests: `all`, `reboot`.
    pub tests: Vec<String>,
    /// What is known to fail, as [`Known`] has it.
    pub known: Known,
}

/// What is known to fail in one minor version: a reason for each code.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Known(BTreeMap<String, String>);

/// What came of a run.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PynfsReport {
    /// Tests that were run.
    pub ran: usize,
    /// Those that passed.
    pub passed: usize,
    /// Failures nobody knows of, with what pynfs says.
    pub new: Vec<(String, String)>,
    /// Known failures that have passed.
    pub mended: Vec<String>,
}

impl Known {
    /// Reads lines of a code and a reason; those that begin with `#` are not read. `CODE/2` is of minor version 2 alone.
    ///
    /// # Errors
    /// [`PynfsError::BadLine`].
    pub fn parse(text: &str, minor: u32) -> Result<Known, PynfsError> {
        let mut known = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parts = line.split_once(' ').map(|(code, reason)| (code, reason.trim()));
            let (code, reason) =
                parts.filter(|(_, reason)| !reason.is_empty()).ok_or(PynfsError::BadLine(number))?;
            let (code, only) = code.split_once('/').map_or((code, None), |(code, only)| (code, Some(only)));
            if only.is_some_and(|only| only != minor.to_string()) {
                continue;
            }
            if known.insert(code.to_owned(), reason.to_owned()).is_some() {
                return Err(PynfsError::BadLine(number));
            }
        }
        Ok(Known(known))
    }

    /// Whether a test is known to fail.
    pub(crate) fn has(&self, code: &str) -> bool {
        self.0.contains_key(code)
    }
}

impl PynfsReport {
    /// Whether all is as it is known.
    #[must_use]
    pub fn is_as_known(&self) -> bool {
        self.new.is_empty() && self.mended.is_empty()
    }
}

impl Pynfs {
    /// Runs it against a daemon on a folder of its own.
    ///
    /// # Errors
    /// See [`PynfsError`]. What fails in it is no error, but in the report.
    pub fn run(&self) -> Result<PynfsReport, PynfsError> {
        let home = self.checkout.join("nfs4.1");
        if !home.join("xdrdef/nfs4_type.py").is_file() {
            return Err(PynfsError::NotBuilt(self.checkout.clone()));
        }
        let folder = tempfile::tempdir()?;
        let options = DaemonOptions {
            flags: ["--drive-size", "1G"].map(str::to_owned).to_vec(),
            configuration: format!("nfs.lease = {0}\nnfs.grace = {0}", self.lease),
            ..DaemonOptions::default()
        };
        let mut daemon = Daemon::start(folder.path(), &options)?;
        let restarts = TcpListener::bind("127.0.0.1:0")?;
        restarts.set_nonblocking(true)?;
        let helper = HELPER.replace("PORT", &restarts.local_addr()?.port().to_string());
        let (said, results) = (folder.path().join("said"), folder.path().join("results.json"));
        let output = File::create(&said)?;
        let mut pynfs = Command::new("python3")
            .current_dir(&home)
            .args(["testserver.py", &format!("{}/default", daemon.nfs()), "--maketree", "--nocleanup"])
            .arg(format!("--minorversion={}", self.minor))
            .arg(format!("--json={}", results.display()))
            .arg(format!("--serverhelper={helper}"))
            .args(&self.tests)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let ended = attend(&mut pynfs, &restarts, &mut daemon);
        if ended.is_err() {
            pynfs.kill()?;
            pynfs.wait()?;
        }
        ended?;
        let results = std::fs::read(results).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ok(judge(results.ok_or_else(|| PynfsError::NoResults(tail(&said)))?, &self.known))
    }
}

/// Restarts the daemon whenever it is asked for, until pynfs has ended.
fn attend(pynfs: &mut Child, restarts: &TcpListener, daemon: &mut Daemon) -> Result<(), PynfsError> {
    while pynfs.try_wait()?.is_none() {
        match restarts.accept() {
            // The connection ends when the daemon is there again.
            Ok(_asked) => daemon.revive()?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOOK),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What pynfs writes about a run.
#[derive(Deserialize)]
struct Results {
    testcase: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    code: String,
    skipped: Option<Value>,
    failure: Option<Value>,
    error: Option<Value>,
}

fn judge(results: Results, known: &Known) -> PynfsReport {
    let mut report = PynfsReport::default();
    for Case { code, skipped, failure, error } in results.testcase {
        if skipped.is_some() {
            continue;
        }
        report.ran += 1;
        let Some(failure) = failure.or(error) else {
            report.passed += 1;
            report.mended.extend(known.0.contains_key(&code).then_some(code));
            continue;
        };
        if !known.0.contains_key(&code) {
            let said = failure.get("message").and_then(Value::as_str).unwrap_or_default();
            report.new.push((code, said.trim().to_owned()));
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_known_is_told() {
        let known = Known::parse("# why\n\nA1 cannot\nB2/1 will not\nC3/2 will not\n", 1).unwrap();
        let text = r#"{"tests": 6, "testcase": [
            {"code": "A1", "failure": {"message": "no"}}, {"code": "B2"}, {"code": "C3"},
            {"code": "D4", "failure": {"message": "oh\n", "err": "Traceback"}},
            {"code": "E5", "skipped": 1}, {"code": "F6", "error": {"message": "ah"}}]}"#;
        let report = judge(serde_json::from_str(text).unwrap(), &known);
        let new = [("D4", "oh"), ("F6", "ah")].map(|(code, said)| (code.to_owned(), said.to_owned()));
        let expected = PynfsReport { ran: 5, passed: 2, new: new.to_vec(), mended: vec!["B2".to_owned()] };
        assert_eq!(report, expected);
        assert!(!report.is_as_known());
    }

    #[test]
    fn a_known_failure_has_a_reason_and_one_line() {
        for (text, line) in [("A1\n", 1), ("A1 one\nA1 two\n", 2), ("A1 \n", 1)] {
            let error = Known::parse(text, 1).unwrap_err();
            assert!(matches!(error, PynfsError::BadLine(bad) if bad == line), "{text}");
        }
    }
}
