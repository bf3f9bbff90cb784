//! One tree through two doors, FUSE here and NFS in a guest, compared with a local folder step by step.
//!
//! Four hands do single steps as they are told. Each door's hand has a twin on this machine; both twins work in one
//! local folder, which is the reference: what the kernel makes of the same system calls on a file system of its own.
//! A step is drawn from a seed and done by one door's hand and by its twin, and both must answer the same.

mod differences;
mod draw;
mod hand;
mod hands;
mod run;
mod shrink;
mod step;

pub use hand::serve;

use crate::daemon::{Daemon, DaemonError, DaemonOptions};
use crate::guest::{Guest, GuestError};
use crate::mount::Mount;
use crate::programs::build_folder;
use draw::Draw;
use hands::{Worker, meet};
use run::{Run, TREE};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Why a run did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum DoorsError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of the daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Of the guest.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A hand is gone or stuck.
    #[error("the last steps:\n{last}\n{daemon}\nstep {step} of seed {seed}: the hand at {hand}: {what}")]
    Hand {
        /// Which step.
        step: u64,
        /// The seed that the steps follow from.
        seed: u64,
        /// Whose hand.
        hand: String,
        /// What happened.
        what: String,
        /// The last steps.
        last: String,
        /// The end of what the daemon logged.
        daemon: String,
    },
    /// A door does not answer as the reference.
    #[error("the last steps:\n{last}\n{daemon}\nstep {step} of seed {seed}, {what}")]
    Different {
        /// Which step.
        step: u64,
        /// The seed that the steps follow from.
        seed: u64,
        /// The difference.
        what: String,
        /// The last steps.
        last: String,
        /// The end of what the daemon logged.
        daemon: String,
    },
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Decides the steps.
    pub seed: u64,
    /// How many.
    pub steps: u64,
    /// The guest whose kernel is the NFS client.
    pub guest: Guest,
    /// Minor version of NFS: 1 or 2.
    pub minor: u32,
    /// How the daemon runs.
    pub options: DaemonOptions,
    /// Steps to begin with, as a failure shows them.
    pub replayed: Vec<String>,
    /// Steps that a failure shows.
    pub shown: usize,
    /// Look for fewer steps that end in the same failure.
    pub shrinks: bool,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DoorsReport {
    /// By kind of step: how many did what they say, and how many were refused, at the reference.
    pub steps: BTreeMap<String, (u64, u64)>,
    /// How long they took.
    pub took: Duration,
}

impl DoorsReport {
    /// Steps that did what they say, and steps that were refused.
    #[must_use]
    pub fn total(&self) -> (u64, u64) {
        self.steps.values().fold((0, 0), |sum, kind| (sum.0 + kind.0, sum.1 + kind.1))
    }
}

/// Mounts and puts a hand there: `PORT MINOR MASTER`. Nothing is taken for known, and nothing is kept back.
const SCRIPT: &str = r#"#!/bin/bash
modprobe nfsv4
mkdir -p /tmp/nfs
mount -t nfs4 -o vers=4.$2,port=$1,noac,lookupcache=none $HOST:/default /tmp/nfs || exit 3
/host/hand --nfs $HOST:$3 nfs /tmp/nfs || exit 4
umount /tmp/nfs || exit 5
"#;

impl Doors {
    /// The daemon on this machine with a FUSE mount here and an NFS mount in User Mode Linux.
    #[must_use]
    pub fn plexus(seed: u64, steps: u64) -> Doors {
        Doors {
            seed,
            steps,
            guest: Guest::uml(),
            minor: 2,
            options: DaemonOptions {
                flags: vec!["--drive-size".to_owned(), "2G".to_owned()],
                ..DaemonOptions::default()
            },
            replayed: Vec::new(),
            shown: 50,
            shrinks: false,
        }
    }

    /// Does all steps.
    ///
    /// # Errors
    /// See [`DoorsError`].
    pub fn run(&self) -> Result<DoorsReport, DoorsError> {
        let folder = tempfile::Builder::new().prefix("plexus-doors-").tempdir()?;
        // Beside the programs, which are on a file system that has attributes, not in a memory that may not.
        let reference = tempfile::Builder::new().prefix("plexus-doors-").tempdir_in(build_folder()?)?;
        let local = reference.path();
        let daemon = Daemon::start(&folder.path().join("daemon"), &self.options)?;
        let mount = Mount::new(&daemon, &folder.path().join("fuse"))?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;

        let workers = [("fuse", &*mount.at), ("fuse-twin", local), ("nfs-twin", local)];
        let workers = workers.map(|(name, root)| Worker::new(&address.to_string(), name, root));
        let _workers = workers.into_iter().collect::<io::Result<Vec<Worker>>>()?;
        let limit = Duration::from_secs(300)
            + Duration::from_millis(300) * u32::try_from(self.steps).unwrap_or(u32::MAX);
        let guest = self.guest.clone().host(&build_folder()?).limit(limit);
        let (port, minor) = (daemon.nfs().port().to_string(), self.minor.to_string());
        let mut guest = guest.start(SCRIPT, &[&port, &minor, &address.port().to_string()])?;
        let hands = match meet(&listener, &mut guest) {
            Ok(hands) => hands,
            Err(error) if guest.has_ended()? => {
                let done = guest.wait()?;
                return Err(io::Error::other(format!("{error}; {}: {}", done.status, done.output)).into());
            }
            Err(error) => return Err(error.into()),
        };
        let start = Instant::now();
        let mut run = Run {
            doors: self,
            daemon: &daemon,
            hands,
            draw: Draw::new(self.seed, &local.join(TREE), self.minor >= 2),
            step: 0,
            last: VecDeque::new(),
            done: Vec::new(),
            difference: String::new(),
            report: DoorsReport::default(),
        };
        if let Err(error) = run.all() {
            let shrinks = self.shrinks && matches!(error, DoorsError::Different { .. });
            return Err(if shrinks { run.shrink(error)? } else { error });
        }
        let Run { mut report, hands, step, .. } = run;
        report.took = start.elapsed();
        drop(hands);
        let done = guest.wait()?;
        let different = |what: String| DoorsError::Different {
            step,
            seed: self.seed,
            what,
            last: String::new(),
            daemon: daemon.log(),
        };
        if done.status != 0 {
            return Err(different(format!("at the end: status {}: {}", done.status, done.output)));
        }
        let fsck = daemon.plexus(&["fsck"])?;
        if !fsck.status.success() {
            return Err(different(String::from_utf8_lossy(&fsck.stdout).into_owned()));
        }
        Ok(report)
    }
}
