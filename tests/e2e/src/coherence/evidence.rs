//! What a run has left: the logs of all workers, and what else has to be known to weigh them.

use super::CoherenceError;
use super::check::{Doer, Violation, violations};
use super::history::{Act, Behind, Operation, Outcome, read};
use super::places::Way;
use super::show::shown;
use super::worker::log_of;
use nix::libc::{EACCES, EAGAIN, EEXIST, ENOENT, ESTALE, ETXTBSY};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Violations that are shown.
const SHOWN: usize = 12;
const FILE: &str = "evidence.json";

/// A life of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) number: u32,
    pub(super) door: String,
    pub(super) way: Way,
    pub(super) behind: Behind,
}

/// What has to be known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Evidence {
    pub(super) seed: u64,
    pub(super) lives: Vec<Life>,
    /// A door, and from when until when its mount was killed and not yet back for all.
    pub(super) excuses: Vec<(String, u64, u64)>,
    /// When the daemon was killed.
    pub(super) deaths: Vec<u64>,
    /// What was done to whom, and when.
    pub(super) faults: String,
}

/// What it weighs.
pub(super) struct Weighed {
    pub(super) operations: BTreeMap<String, u64>,
    pub(super) unknown: u64,
    pub(super) undecided: u64,
    pub(super) clock: Duration,
    pub(super) took: Duration,
}

impl Evidence {
    pub(super) fn keep(&self, job: &Path) -> io::Result<()> {
        Ok(serde_json::to_writer(File::create(job.join(FILE))?, self)?)
    }

    pub(super) fn kept(job: &Path) -> io::Result<Evidence> {
        Ok(serde_json::from_reader(io::BufReader::new(File::open(job.join(FILE))?))?)
    }

    /// Checks all that the workers have said in the folder `job`.
    pub(super) fn weigh(&self, job: &Path) -> Result<Weighed, CoherenceError> {
        let start = Instant::now();
        let (mut all, mut operations, mut clock) = (Vec::new(), BTreeMap::new(), Duration::ZERO);
        for (worker, life) in self.lives.iter().enumerate() {
            let log = log_of(job, life.number);
            // Killed before it had begun.
            if !log.exists() {
                continue;
            }
            let before = all.len() as u64;
            read(&log, worker, life.behind, &mut all)?;
            *operations.entry(life.door.clone()).or_default() += all.len() as u64 - before;
            clock = clock.max(life.behind.unsure());
        }
        for one in &mut all {
            one.daemon_died = self.deaths.iter().any(|death| (one.began..=one.ended).contains(death));
        }
        let errors = self.unexplained(&all);
        let unknown = all.iter().filter(|one| one.outcome.is_none()).count() as u64;
        let doer = |life: &Life| Doer { name: format!("{}/{}", life.door, life.number), way: life.way };
        let doers: Vec<Doer> = self.lives.iter().map(doer).collect();
        let (undecided, found): (Vec<_>, Vec<_>) =
            violations(all, &doers).into_iter().partition(Violation::is_undecided);
        let undecided = undecided.len() as u64;
        let took = start.elapsed();
        if found.is_empty() && errors.is_empty() {
            return Ok(Weighed { operations, unknown, undecided, clock, took });
        }
        let mut text: Vec<String> = found.iter().take(SHOWN).map(|one| shown(one, &doers)).collect();
        text.extend(errors.iter().map(|((who, act, error), count)| {
            format!("{count} times at {who}: {act} failed with {}", io::Error::from_raw_os_error(*error))
        }));
        Err(CoherenceError::Violated {
            seed: self.seed,
            count: found.len() + errors.len(),
            shown: text.join("\n"),
            faults: self.faults.clone(),
        })
    }

    /// Errors that no kill of a mount explains: by door, act and number, how often.
    fn unexplained(&self, operations: &[Operation]) -> BTreeMap<(String, String, i32), u64> {
        let mut found = BTreeMap::new();
        for operation in operations {
            let Some(Outcome::Failed(error)) = operation.outcome else { continue };
            let is_usual = match operation.act {
                // What is linked may be gone.
                Act::Link { .. } => matches!(error, ENOENT | EEXIST | ESTALE),
                // Linux's client gives up when it finds the name that is replaced on its way elsewhere.
                Act::Rename { .. } if error == ETXTBSY => self.lives[operation.worker].way != Way::Fuse,
                Act::Create { .. } | Act::Unlink { .. } | Act::Rename { .. } => {
                    matches!(error, ENOENT | EEXIST)
                }
                Act::Add => matches!(error, EAGAIN | EACCES),
                // What an NFS client finds may be gone when it asks for attributes; it looks once more, and then gives up.
                Act::Lookup { .. } => error == ESTALE && self.lives[operation.worker].way != Way::Fuse,
                _ => false,
            };
            let door = &self.lives[operation.worker].door;
            let is_excused = self.excuses.iter().any(|(other, from, until)| {
                other == door && operation.ended >= *from && operation.began <= *until
            });
            if !is_usual && !is_excused {
                let act = format!("{:?}", operation.act);
                let act = act.split(' ').next().unwrap_or_default().to_owned();
                *found.entry((door.clone(), act, error)).or_default() += 1;
            }
        }
        found
    }
}
