//! Work whose every step is announced, done, made durable and acknowledged in a log elsewhere, and
//! the check that a tree has all that its log acknowledges: what a power cut is survived by.

mod model;
mod op;
mod tree;

use model::Model;
use op::{Op, sync_folder};
use rustix::fs::OFlags;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use suites::Random;
use tree::{differences, read_tree};

const XATTR: &str = "user.plexus";

/// Why work or its check did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Of the tree or the log.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: String,
        /// What happened.
        source: io::Error,
    },
    /// The tree is not as the log says.
    #[error("{0}")]
    Wrong(String),
}

pub(crate) fn failed(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> WorkloadError {
    move |source| WorkloadError::Io { what: what.to_string(), source }
}

/// Steps that a log acknowledges so far.
pub(crate) fn acknowledged(log: &Path) -> io::Result<u64> {
    let log = fs::read(log)?;
    // A line without an end was cut while it was written.
    let whole = log.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    Ok(whole.filter(|line| line.starts_with(b"A")).count() as u64)
}

/// Work in one tree.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Where; made when missing, must be empty.
    pub tree: PathBuf,
    /// What is announced (`T`) and acknowledged (`A`), on storage that outlives the cut.
    pub log: PathBuf,
    /// Decides everything.
    pub seed: u64,
    /// Sync folders, too: for file systems whose names are not durable when acknowledged.
    pub sync_names: bool,
}

impl Workload {
    /// Works for so many steps.
    ///
    /// # Errors
    /// The first step that fails: none should.
    pub fn run(&self, steps: u64) -> Result<(), WorkloadError> {
        let mut left = steps;
        self.run_while(|| {
            let more = left > 0;
            left = left.saturating_sub(1);
            more
        })
    }

    /// Works for as long as `more` says so before a step.
    ///
    /// # Errors
    /// The first step that fails: none should.
    pub fn run_while(&self, mut more: impl FnMut() -> bool) -> Result<(), WorkloadError> {
        fs::create_dir_all(&self.tree).map_err(failed(self.tree.display()))?;
        if self.sync_names {
            let parent = self.tree.parent().unwrap_or(Path::new("/"));
            sync_folder(parent).map_err(failed(parent.display()))?;
        }
        let flags = i32::try_from(OFlags::SYNC.bits()).unwrap_or_default();
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .custom_flags(flags)
            .open(&self.log)
            .map_err(failed(self.log.display()))?;
        let mut say = |line: String| log.write_all(line.as_bytes()).map_err(failed(self.log.display()));
        let mut model = Model::default();
        let mut random = Random::new(self.seed);
        for step in 0.. {
            if !more() {
                break;
            }
            let op = model.next(&mut random);
            say(format!("T {step} {}\n", op.text()))?;
            op.perform(&self.tree, self.sync_names).map_err(failed(op.text()))?;
            model.apply(&op);
            say(format!("A {step}\n"))?;
        }
        Ok(())
    }
}

/// Compares a tree with its log: everything acknowledged is there; of a step that was announced and
/// not acknowledged, all or nothing of its names and any part of its data. Gives the number of
/// acknowledged steps.
///
/// # Errors
/// What is wrong, or cannot be read.
pub fn verify(tree: &Path, log: &Path) -> Result<u64, WorkloadError> {
    let text = fs::read(log).map_err(failed(log.display()))?;
    let text = String::from_utf8_lossy(&text);
    let (mut model, mut open, mut acknowledged) = (Model::default(), None, 0);
    // A line without an end was cut while it was written.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("T"), Some(_)) => {
                let op = Op::parse(&mut words);
                open = Some(op.ok_or_else(|| WorkloadError::Wrong(format!("the log has {line:?}")))?);
            }
            (Some("A"), Some(_)) => {
                if let Some(op) = open.take() {
                    model.apply(&op);
                    acknowledged += 1;
                }
            }
            _ => return Err(WorkloadError::Wrong(format!("the log has {line:?}"))),
        }
    }
    if !tree.exists() && acknowledged == 0 {
        return Ok(0);
    }
    let found = read_tree(tree)?;
    let before = model.expected();
    let after = open.as_ref().map(|op| {
        let mut model = model.clone();
        model.apply(op);
        model.expected()
    });
    let as_before = differences(&found, &before, after.as_ref(), open.as_ref());
    if as_before.is_empty() {
        return Ok(acknowledged);
    }
    if let Some(after) = &after
        && differences(&found, after, Some(&before), open.as_ref()).is_empty()
    {
        return Ok(acknowledged);
    }
    let in_flight = open.map_or_else(|| "none".to_owned(), |op| op.text());
    Err(WorkloadError::Wrong(format!(
        "{} is not as acknowledged ({acknowledged} steps, in flight: {in_flight}):\n  {}",
        tree.display(),
        as_before.join("\n  ")
    )))
}

/// Bytes that no other seed gives; never zero, so that a hole is not taken for them.
pub(crate) fn content(seed: u64, bytes: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut content = Vec::with_capacity(bytes as usize + 8);
    while (content.len() as u64) < bytes {
        content.extend(random.next().to_le_bytes().map(|byte| byte.max(1)));
    }
    content.truncate(bytes as usize);
    content
}
