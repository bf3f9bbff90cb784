//! ceph/s3-tests, a foreign test of S3 servers, against the daemon.
//!
//! What fails is compared with a file of known failures, as with pynfs.

use crate::daemon::tail;
use crate::{Daemon, DaemonError, DaemonOptions, Known};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is of S3 and not of other services and of one server's own: all but accounts' and roles' administration,
/// notifications over SNS, Select, websites, other clouds, logging, storage classes, and rules that are waited for.
const CHOSEN: &str = "not iam_tenant and not iam_account and not iam_user and not iam_role and not iam_cross_account \
    and not sns and not s3website and not s3website_routing_rules and not s3website_redirect_location \
    and not cloud_transition and not cloud_restore and not bucket_logging and not bucket_logging_cleanup \
    and not storage_class and not lifecycle_expiration and not lifecycle_transition and not target_by_bucket";
/// Those that need server-side encryption.
const ENCRYPTION: &str = "encryption or sse_s3 or bucket_encryption";
/// Their files.
const FILES: [&str; 2] = ["s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py"];

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub enum S3TestsError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of the daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// There are no such tests.
    #[error("{} has no s3tests/functional/test_s3.py: it must be a clone of ceph/s3-tests", .0.display())]
    NotThere(PathBuf),
    /// They did not come to their end.
    #[error("s3-tests ended without results (python3 needs what their requirements.txt says):\n{0}")]
    NoResults(String),
}

/// A run of them.
#[derive(Clone, Debug)]
pub struct S3Tests {
    /// The clone.
    pub checkout: PathBuf,
    /// Those that need encryption, too.
    pub encryption: bool,
    /// What is known to fail.
    pub known: Known,
    /// What pytest says is kept here.
    pub log: Option<PathBuf>,
}

/// What came of a run.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct S3TestsReport {
    /// Tests that were run.
    pub ran: usize,
    /// Those that passed.
    pub passed: usize,
    /// Failures nobody knows of.
    pub new: Vec<String>,
    /// Known failures that have passed.
    pub mended: Vec<String>,
}

impl S3TestsReport {
    /// Whether all is as it is known.
    #[must_use]
    pub fn is_as_known(&self) -> bool {
        self.new.is_empty() && self.mended.is_empty()
    }
}

impl S3Tests {
    /// Runs them against a daemon on a folder of its own.
    ///
    /// # Errors
    /// See [`S3TestsError`]. What fails in them is no error, but in the report.
    pub fn run(&self) -> Result<S3TestsReport, S3TestsError> {
        if !self.checkout.join(FILES[0]).exists() {
            return Err(S3TestsError::NotThere(self.checkout.clone()));
        }
        let scratch = tempfile::tempdir()?;
        let flags = ["--drive-size", "6G"].map(str::to_owned).to_vec();
        let daemon = Daemon::start(scratch.path(), &DaemonOptions { flags, ..DaemonOptions::default() })?;
        let configuration = scratch.path().join("s3tests.conf");
        std::fs::write(&configuration, configuration_of(&daemon)?)?;
        let said = self.log.clone().unwrap_or_else(|| scratch.path().join("pytest.log"));
        let chosen = match self.encryption {
            true => CHOSEN.to_owned(),
            false => format!("{CHOSEN} and not ({ENCRYPTION})"),
        };
        let output = File::create(&said)?;
        Command::new("python3")
            .args(["-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-m", &chosen])
            .args(FILES)
            .current_dir(&self.checkout)
            .env("S3TEST_CONF", &configuration)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .status()?;
        let text = String::from_utf8_lossy(&std::fs::read(&said)?).into_owned();
        let report = judge(&text, &self.known);
        if report.ran == 0 { Err(S3TestsError::NoResults(tail(Path::new(&said)))) } else { Ok(report) }
    }
}

/// The accounts that the tests want.
fn configuration_of(daemon: &Daemon) -> io::Result<String> {
    let mut text = format!(
        "[DEFAULT]\nhost = localhost\nport = {}\nis_secure = False\nssl_verify = False\n\
         [fixtures]\nbucket prefix = plexus-{{random}}-\niam name prefix = s3-tests-\niam path prefix = /s3-tests/\n",
        daemon.s3().port()
    );
    for (section, account) in [
        ("s3 main", "main"),
        ("s3 alt", "alt"),
        ("s3 tenant", "tenant"),
        ("iam", "iam"),
        ("iam root", "root"),
        ("iam alt root", "other-root"),
    ] {
        let email = format!("{account}@example.com");
        let key = daemon.s3_key(account, &["--email", &email])?;
        let secret = key.secret_key.unwrap_or_default();
        text.push_str(&format!(
            "[{section}]\ndisplay_name = {}\nuser_id = {}\nemail = {email}\napi_name = default\ntenant =\n\
             access_key = {}\nsecret_key = {secret}\n",
            key.display_name, key.canonical_id, key.access_key
        ));
    }
    Ok(text)
}

/// Reads what pytest lists at its end.
fn judge(text: &str, known: &Known) -> S3TestsReport {
    let mut report = S3TestsReport::default();
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines() {
        let Some((outcome, rest)) = line.split_once(' ') else { continue };
        let Some(name) = rest.split(' ').next().and_then(|name| name.split_once("::")) else { continue };
        let name = name.1.to_owned();
        if !matches!(outcome, "PASSED" | "FAILED" | "ERROR") || !seen.insert(name.clone()) {
            continue;
        }
        report.ran += 1;
        let is_known = known.has(name.split('[').next().unwrap_or(&name));
        if outcome == "PASSED" {
            report.passed += 1;
            report.mended.extend(is_known.then_some(name));
        } else if !is_known {
            report.new.push(name);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_known_is_told() {
        let known = Known::parse("test_a cannot\ntest_b will not\n", 0).unwrap();
        let text = "....F\nPASSED s3tests/functional/test_s3.py::test_b\n\
                    FAILED s3tests/functional/test_s3.py::test_a - AssertionError: x\n\
                    ERROR s3tests/functional/test_headers.py::test_c - KeyError\n\
                    PASSED s3tests/functional/test_s3.py::test_d[x]\n";
        let report = judge(text, &known);
        let expected =
            S3TestsReport { ran: 4, passed: 2, new: vec!["test_c".into()], mended: vec!["test_b".into()] };
        assert_eq!(report, expected);
    }
}
