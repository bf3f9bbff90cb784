//! Kills of the daemon under live clients, two FUSE mounts and an NFS guest: nobody may notice more than a pause.

use crate::daemon::{Daemon, DaemonError, DaemonOptions};
use crate::guest::{Guest, GuestError, RunningGuest};
use crate::moments::Moments;
use crate::mount::Mount;
use crate::programs::{build_folder, program};
use crate::steady::counted;
use crate::workload::acknowledged;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A worker that does nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(5);

/// Why the rounds did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of the daemon.
    #[error("round {round}: {source}")]
    Daemon {
        /// Which round.
        round: u32,
        /// What happened.
        source: DaemonError,
    },
    /// Of the guest.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A client saw more than a pause.
    #[error("round {round} of seed {seed}: {what}\n{daemon}")]
    Noticed {
        /// Which round.
        round: u32,
        /// The seed that the moments follow from.
        seed: u64,
        /// What it saw.
        what: String,
        /// The end of what the daemon logged.
        daemon: String,
    },
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Kills {
    /// How often the daemon is killed.
    pub rounds: u32,
    /// Decides the moments.
    pub seed: u64,
    /// A kill comes at most so long after every worker has done a step again.
    pub longest: Duration,
    /// The guest whose kernel is the NFS client.
    pub guest: Guest,
    /// How the daemon runs.
    pub options: DaemonOptions,
    /// Options of the NFS mount beside its port.
    pub nfs_options: String,
    /// It is told to drain and restarted, in place of being killed.
    pub gently: bool,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KillReport {
    /// Kills.
    pub rounds: u32,
    /// Steps of all workers.
    pub steps: u64,
    /// The longest time from a kill until every worker had done a step again.
    pub longest_pause: Duration,
}

/// Mounts and runs all workers in the guest: `PORT OPTIONS`.
const SCRIPT: &str = r#"#!/bin/bash
modprobe nfsv4
mkdir -p /tmp/nfs
mount -t nfs4 -o $2,port=$1 $HOST:/default /tmp/nfs || exit 3
work() { /host/steady-work $1 /tmp/nfs/$2 /job/$3.log $3 /job/$4 2>>/job/complaints || echo "$3 failed" >>/job/complaints; }
mkdir /tmp/nfs/nfs /tmp/nfs/both
# Holders have their locks before anybody asks for them, and until they have ended who do.
work hold both nfs-hold end & hold=$!
while [ ! -s /job/fuse-hold.log ]; do sleep 0.1; done
work probe fuse nfs-probe stop & work names nfs nfs-names stop & work orphan nfs nfs-orphan stop &
work count both nfs-count-1 stop & work count both nfs-count-2 stop &
(/host/cut-workload run --until /job/stop /tmp/nfs/tree /job/nfs-tree.log 7 2>>/job/complaints || echo "nfs-tree failed" >>/job/complaints) &
for job in $(jobs -p); do [ $job = $hold ] || wait $job; done
touch /job/stopped
wait $hold
[ -s /job/complaints ] && { cat /job/complaints; dmesg | tail -5; exit 4; }
/host/cut-workload verify /tmp/nfs/tree /job/nfs-tree.log && umount /tmp/nfs
"#;

/// Workers in the guest.
const IN_GUEST: [&str; 7] =
    ["nfs-hold", "nfs-probe", "nfs-names", "nfs-orphan", "nfs-count-1", "nfs-count-2", "nfs-tree"];

impl Kills {
    /// The daemon on this machine with two FUSE mounts here and an NFS mount in a guest.
    #[must_use]
    pub fn plexus(rounds: u32, seed: u64) -> Kills {
        Kills {
            rounds,
            seed,
            longest: Duration::from_millis(500),
            guest: Guest::uml(),
            options: DaemonOptions {
                flags: vec!["--drive-size".to_owned(), "1G".to_owned()],
                configuration: "nfs.lease = 20\nnfs.grace = 20".to_owned(),
                ..DaemonOptions::default()
            },
            nfs_options: "vers=4.2".to_owned(),
            gently: false,
        }
    }

    /// Runs the workers, kills the daemon again and again, and checks what they have done.
    ///
    /// # Errors
    /// See [`KillError`].
    pub fn run(&self) -> Result<KillReport, KillError> {
        let folder = tempfile::Builder::new().prefix("plexus-kills-").tempdir()?;
        let of_daemon = |source| KillError::Daemon { round: 0, source };
        let mut daemon = Daemon::start(&folder.path().join("daemon"), &self.options).map_err(of_daemon)?;
        let mount = Mount::new(&daemon, &folder.path().join("fuse"))?;
        let other = Mount::new(&daemon, &folder.path().join("other"))?;
        for sub in ["fuse", "other", "tree"] {
            std::fs::create_dir_all(mount.at.join(sub))?;
        }
        let limit = Duration::from_secs(120) + Duration::from_secs(30) * self.rounds;
        let guest = self.guest.clone().host(&build_folder()?).limit(limit);
        let guest = guest.start(SCRIPT, &[&daemon.nfs().port().to_string(), &self.nfs_options])?;
        let job = guest.job().ok_or_else(|| io::Error::other("a guest without a job"))?.to_owned();
        let mut crew = Crew { seed: self.seed, job, guest, here: Hands::default(), round: 0 };
        // The guest's lock is there before anybody here asks for it.
        crew.until(&daemon, |crew| crew.steps("nfs-hold") > 0)?;
        crew.hire("hold", &mount.at.join("fuse"), "fuse-hold", "end")?;
        crew.until(&daemon, |crew| crew.steps("fuse-hold") > 0)?;
        for (task, folder, name) in [
            ("probe", mount.at.join("both"), "fuse-probe"),
            ("names", mount.at.join("fuse"), "fuse-names"),
            ("orphan", mount.at.join("fuse"), "fuse-orphan"),
            ("count", mount.at.join("both"), "fuse-count"),
            ("probe", other.at.join("fuse"), "other-probe"),
            ("names", other.at.join("other"), "other-names"),
            ("orphan", other.at.join("other"), "other-orphan"),
            ("count", other.at.join("both"), "other-count"),
        ] {
            crew.hire(task, &folder, name, "stop")?;
        }
        self.rounds(crew, &mut daemon, &mount)
    }

    fn rounds(&self, mut crew: Crew, daemon: &mut Daemon, mount: &Mount) -> Result<KillReport, KillError> {
        let mut moments = Moments(self.seed);
        let mut longest_pause = Duration::ZERO;
        let mut killed = Instant::now();
        for round in 0..=self.rounds {
            crew.round = round;
            let before = crew.all_steps();
            crew.until(daemon, |crew| {
                crew.all_steps().iter().zip(&before).all(|(now, before)| now > before)
            })?;
            if round > 0 {
                longest_pause = longest_pause.max(killed.elapsed());
            }
            if round == self.rounds {
                break;
            }
            std::thread::sleep(moments.next(self.longest));
            killed = Instant::now();
            if self.gently {
                let status = daemon.stop().map_err(|source| KillError::Daemon { round, source })?;
                if !status.success() {
                    return Err(crew.noticed(daemon, format!("the daemon ended with {status}")));
                }
            }
            daemon.revive().map_err(|source| KillError::Daemon { round, source })?;
        }
        let steps = self.finish(crew, daemon, mount)?;
        Ok(KillReport { rounds: self.rounds, steps, longest_pause })
    }

    /// Ends the workers, and checks what they have done.
    fn finish(&self, mut crew: Crew, daemon: &Daemon, mount: &Mount) -> Result<u64, KillError> {
        File::create(crew.job.join("stop"))?;
        crew.until(daemon, |crew| crew.job.join("stopped").exists() && crew.only_holders_work())?;
        File::create(crew.job.join("end"))?;
        crew.until(daemon, |crew| crew.here.0.is_empty())?;
        let counted = counted(&mount.at.join("both"))?;
        let counters = ["nfs-count-1", "nfs-count-2", "fuse-count", "other-count"];
        let expected: u64 = counters.iter().map(|name| crew.steps(name)).sum();
        let steps = crew.all_steps().iter().sum();
        let Crew { guest, round, seed, job, .. } = crew;
        let noticed = |what: String| KillError::Noticed { round, seed, what, daemon: daemon.log() };
        // Its folder goes with the guest.
        let complaints = std::fs::read_to_string(job.join("complaints")).unwrap_or_default();
        let done = guest.wait()?;
        if done.status != 0 || !complaints.is_empty() {
            return Err(noticed(format!("status {}: {}{complaints}", done.status, done.output)));
        }
        if counted != expected {
            return Err(noticed(format!("{expected} steps under a lock have counted to {counted}")));
        }
        let fsck = daemon.plexus(&["fsck"])?;
        if !fsck.status.success() {
            return Err(noticed(String::from_utf8_lossy(&fsck.stdout).into_owned()));
        }
        Ok(steps)
    }
}

/// The workers.
struct Crew {
    seed: u64,
    job: PathBuf,
    guest: RunningGuest,
    here: Hands,
    round: u32,
}

impl Crew {
    fn hire(&mut self, task: &str, folder: &Path, name: &'static str, until: &str) -> io::Result<()> {
        let complaints = File::options().create(true).append(true).open(self.job.join("complaints"))?;
        let child = Command::new(program("steady-work")?)
            .arg(task)
            .arg(folder)
            .arg(self.job.join(format!("{name}.log")))
            .arg(name)
            .arg(self.job.join(until))
            .stderr(complaints)
            .spawn()?;
        self.here.0.push((name, child));
        Ok(())
    }

    /// What a worker has done.
    fn steps(&self, name: &str) -> u64 {
        let path = self.job.join(format!("{name}.log"));
        if name.ends_with("tree") {
            return acknowledged(&path).unwrap_or_default();
        }
        std::fs::metadata(path).map_or(0, |meta| meta.len() / 2)
    }

    fn all_steps(&self) -> Vec<u64> {
        let here = self.here.0.iter().map(|(name, _)| *name);
        IN_GUEST.into_iter().chain(here).map(|name| self.steps(name)).collect()
    }

    fn only_holders_work(&self) -> bool {
        self.here.0.iter().all(|(name, _)| name.ends_with("hold"))
    }

    /// Waits; a worker that complains or ends in failure meanwhile ends all.
    fn until(&mut self, daemon: &Daemon, reached: impl Fn(&Crew) -> bool) -> Result<(), KillError> {
        let started = Instant::now();
        loop {
            let mut ended = None;
            for (name, child) in &mut self.here.0 {
                ended = child.try_wait()?.map(|status| (*name, status)).or(ended);
            }
            if let Some((gone, status)) = ended {
                self.here.0.retain(|(name, _)| *name != gone);
                if !status.success() {
                    return Err(self.noticed(daemon, format!("{gone} ended with {status}")));
                }
            }
            if std::fs::metadata(self.job.join("complaints")).is_ok_and(|meta| meta.len() > 0) {
                return Err(self.noticed(daemon, "a worker complains".to_owned()));
            }
            if reached(self) {
                return Ok(());
            }
            if self.guest.has_ended()? {
                return Err(self.noticed(daemon, "the guest has ended".to_owned()));
            }
            if started.elapsed() > PATIENCE {
                let steps: Vec<String> =
                    IN_GUEST.iter().map(|name| format!("{name} {}", self.steps(name))).collect();
                return Err(
                    self.noticed(daemon, format!("a worker is stuck: {steps:?} {:?}", self.all_steps()))
                );
            }
            std::thread::sleep(LOOK);
        }
    }

    fn noticed(&mut self, daemon: &Daemon, what: String) -> KillError {
        let complaints = std::fs::read_to_string(self.job.join("complaints")).unwrap_or_default();
        let console = std::fs::read_to_string(self.job.join("console")).unwrap_or_default();
        let output = self.guest.cut();
        let what = format!("{what}\n{complaints}{output}{console}");
        KillError::Noticed { round: self.round, seed: self.seed, what, daemon: daemon.log() }
    }
}

/// Workers of this machine; killed when dropped.
#[derive(Default)]
struct Hands(Vec<(&'static str, Child)>);

impl Drop for Hands {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
