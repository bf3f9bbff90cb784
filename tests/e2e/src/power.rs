//! Power cuts: a guest with everything in it, its plug pulled at a random moment, booted again on
//! the same disk; all that was acknowledged must be there.

use crate::guest::{Guest, GuestError};
use crate::moments::Moments;
use crate::programs::program;
use crate::workload::acknowledged;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rounds whose trees each boot checks. Then they are removed, but of each [`KEPT`]th round, which the last boot
/// checks again: what is read again all the time would grow with the rounds, and the time of a round with it.
const CHECKED_EACH_BOOT: u32 = 4;
const KEPT: u32 = 10;
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// For the last boot, which checks all that is left and waits for what is being rebuilt.
const LAST_LIMIT: Duration = Duration::from_secs(900);
const LOOK: Duration = Duration::from_millis(5);

/// Why the rounds did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum PowerCutError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of the guest.
    #[error("round {round}: {source}")]
    Guest {
        /// Which round.
        round: u32,
        /// What happened.
        source: GuestError,
    },
    /// Set-up, check or work failed inside the guest: something acknowledged is gone.
    #[error("round {round} of seed {seed}, status {status}:\n{output}")]
    Failed {
        /// Which round.
        round: u32,
        /// The seed that all rounds follow from.
        seed: u64,
        /// Of the script.
        status: i32,
        /// What it printed.
        output: String,
    },
}

/// A way into the file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Door {
    /// A FUSE mount.
    Fuse,
    /// The kernel's NFS 4.2 client.
    Nfs,
}

/// What to do again and again.
#[derive(Clone, Debug)]
pub struct PowerCut {
    /// Shell that mounts what is tested and sets `TREES` to folders in it, one worker each.
    /// `$ROUND` is 0 on an empty disk; the disk is /dev/ubda; built programs are in /host.
    pub setup: String,
    /// Shell that runs beside checks and work; when /tmp/checked is there, the checks are done. It tells /tmp/logs/repairs, a line each, of repairs that the last cut interrupted.
    pub beside: String,
    /// Shell that runs when all trees are found good at the end.
    pub check: String,
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// How often the plug is pulled.
    pub rounds: u32,
    /// Decides the work and the moments.
    pub seed: u64,
    /// Sync folders, too: for file systems whose names are not durable when acknowledged.
    pub sync_names: bool,
    /// The plug is pulled at most so long after the first acknowledgement of a round.
    pub longest: Duration,
    /// No round begins later than this after the start.
    pub within: Duration,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PowerCutReport {
    /// Plugs pulled.
    pub rounds: u32,
    /// Steps acknowledged before their cut, all found again.
    pub acknowledged: u64,
    /// Lives that found a repair which the cut had interrupted.
    pub repairs: u64,
}

/// Replaces what the last life left failed; while there is work it fails one drive after the other and puts a new one
/// in its place, so that something is always being rebuilt.
const BESIDE: &str = r#"
drive() { PLEXUS_DATA=/mnt/data /host/plexus drive "$@"; }
found=$(drive list)
! grep -E "failed|filling" <<<"$found" || echo $ROUND >>/tmp/logs/repairs
for id in $(awk '$2 == "failed" { print $1 }' <<<"$found"); do drive replace $id; done
count=$(grep -c drive- <<<"$found")
RANDOM=$ROUND
[ -n "$last" ] || until [ -e /tmp/checked ]; do sleep 0.2; done
# It is refused while too few would be left.
[ -n "$last" ] || while :; do
  id=$((RANDOM % count))
  if drive fail $id; then drive replace $id; else sleep 0.1; fi
done
"#;

/// The same when all is done: nothing may be lacking in the end.
const REPAIRED: &str = r#"
for _ in $(seq 600); do
  PLEXUS_DATA=/mnt/data /host/plexus status --json | grep -q '"health": *"healthy"' && break
  sleep 0.5
done
"#;

impl PowerCut {
    /// The daemon inside the guest on ext4, with a worker at each door.
    #[must_use]
    pub fn plexus(flags: &str, doors: &[Door], rounds: u32, seed: u64) -> PowerCut {
        let mut setup = format!(
            r#"[ "$ROUND" != 0 ] || mkfs.ext4 -q /dev/ubda
mount /dev/ubda /mnt
modprobe -a fuse nfsv4
# Everything is folded at once and read again all the time.
# The client of the last life is dead with its machine: nobody reclaims, and a long grace is lost time.
printf 'nfs.lease = 2\nnfs.grace = 2\nfold.age = 0\nscrub.period = 1\n' >/tmp/plexus.toml
/host/plexusd --data /mnt/data --config /tmp/plexus.toml {flags} >/job/ready 2>/job/daemon.log &
daemon=$!
for _ in $(seq 600); do
  grep -q "plexus is ready" /job/ready && break
  kill -0 $daemon || {{ cat /job/daemon.log; exit 3; }}
  sleep 0.1
done
grep -q "plexus is ready" /job/ready
trap 'tail -20 /job/daemon.log' EXIT
TREES=
"#
        );
        for door in doors {
            let (name, mount) = match door {
                Door::Fuse => {
                    ("fuse", "PLEXUS_DATA=/mnt/data /host/plexus mount default /tmp/fuse --background")
                }
                Door::Nfs => ("nfs", "mount -t nfs4 -o vers=4.2,port=12049 127.0.0.1:/default /tmp/nfs"),
            };
            setup.push_str(&format!(
                "mkdir -p /tmp/{name}\n{mount}\nmkdir -p /tmp/{name}/by-{name}\n\
                 TREES=\"$TREES /tmp/{name}/by-{name}\"\n"
            ));
        }
        let fsck = "PLEXUS_DATA=/mnt/data /host/plexus fsck";
        // Where drives may be lost they are, which makes the work slower.
        let (beside, check, longest) = match flags.contains("--protection") {
            true => (BESIDE.to_owned(), format!("last=yes\n{BESIDE}{REPAIRED}{fsck}"), 4000),
            false => (String::new(), fsck.to_owned(), 1500),
        };
        PowerCut {
            setup,
            beside,
            check,
            disk_bytes: 4 << 30,
            rounds,
            seed,
            sync_names: false,
            longest: Duration::from_millis(longest),
            within: Duration::MAX,
        }
    }

    /// Pulls the plug `rounds` times, then boots once more and checks everything.
    ///
    /// # Errors
    /// See [`PowerCutError`].
    pub fn run(&self) -> Result<PowerCutReport, PowerCutError> {
        self.run_telling(|_, _| ())
    }

    /// The same, telling after each round how long its machine took to the first acknowledgement.
    ///
    /// # Errors
    /// See [`PowerCutError`].
    pub fn run_telling(&self, mut tell: impl FnMut(u32, Duration)) -> Result<PowerCutReport, PowerCutError> {
        let folder = tempfile::Builder::new().prefix("plexus-power-").tempdir()?;
        let (disk, logs) = (folder.path().join("disk"), folder.path().join("logs"));
        File::create(&disk)?.set_len(self.disk_bytes)?;
        std::fs::create_dir(&logs)?;
        let (mut moments, started) = (Moments(self.seed), Instant::now());
        let mut rounds = 0;
        while rounds < self.rounds && started.elapsed() < self.within {
            tell(rounds, self.round(rounds, &disk, &logs, moments.next(self.longest))?);
            rounds += 1;
        }
        let done = self
            .guest(&disk)?
            .limit(LAST_LIMIT)
            .run(&self.script(rounds, &logs, true), &[])
            .map_err(|source| PowerCutError::Guest { round: rounds, source })?;
        if done.status != 0 {
            return Err(self.failed(rounds, done.status, done.output));
        }
        let acknowledged = acknowledged_in(&logs, None)?;
        let repairs = std::fs::read_to_string(logs.join("repairs")).unwrap_or_default();
        Ok(PowerCutReport { rounds, acknowledged, repairs: repairs.lines().count() as u64 })
    }

    fn failed(&self, round: u32, status: i32, output: String) -> PowerCutError {
        PowerCutError::Failed { round, seed: self.seed, status, output }
    }

    fn guest(&self, disk: &Path) -> io::Result<Guest> {
        let programs = program("cut-workload")?;
        let folder = programs.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        Ok(Guest::uml().alone().disk(disk).host(&folder).limit(BOOT_LIMIT))
    }

    fn round(
        &self,
        round: u32,
        disk: &Path,
        logs: &Path,
        after: Duration,
    ) -> Result<Duration, PowerCutError> {
        let of_guest = |source| PowerCutError::Guest { round, source };
        let mut guest = self.guest(disk)?.start(&self.script(round, logs, false), &[]).map_err(of_guest)?;
        let started = Instant::now();
        while acknowledged_in(logs, Some(round))? == 0 {
            if guest.has_ended()? {
                let done = guest.wait().map_err(of_guest)?;
                return Err(self.failed(round, done.status, done.output));
            }
            if started.elapsed() > BOOT_LIMIT {
                return Err(of_guest(GuestError::Late { limit: BOOT_LIMIT, output: guest.cut() }));
            }
            std::thread::sleep(LOOK);
        }
        let took = started.elapsed();
        std::thread::sleep(after);
        if guest.has_ended()? {
            // The work has no end of its own.
            let done = guest.wait().map_err(of_guest)?;
            return Err(self.failed(round, done.status, done.output));
        }
        guest.cut();
        Ok(took)
    }

    fn script(&self, round: u32, logs: &Path, last: bool) -> String {
        let first = round.saturating_sub(CHECKED_EACH_BOOT);
        let kept = (0..if last { first } else { 0 }).step_by(KEPT as usize);
        let checked: Vec<String> = kept.chain(first..round).map(|old| old.to_string()).collect();
        let sync = if self.sync_names { "--sync-names" } else { "" };
        // From before the trees are checked, so that what the last life left is being rebuilt meanwhile.
        let beside = match &self.beside {
            none if none.is_empty() || last => String::new(),
            beside => format!("{{{beside}}} &\n"),
        };
        let work = format!(
            "for tree in $TREES; do\n  worker=$((worker + 1))\n  /host/cut-workload run {sync} $tree/round-$ROUND \
             /tmp/logs/$ROUND-$worker $(({} + ROUND * 100 + worker)) &\n  jobs=\"$jobs $!\"\ndone\n\
             for job in $jobs; do wait $job || exit 4; done\n",
            self.seed % 1_000_000_007
        );
        format!(
            "#!/bin/bash\nset -e\nROUND={round}\nmkdir -p /tmp/logs\n\
             mount -t hostfs none /tmp/logs -o {logs}\n{setup}\n{beside}\
             [ -z \"$(ls /dev/ubda 2>/dev/null)\" ] && exit 5\n\
             for old in {checked}; do\n  worker=0\n  for tree in $TREES; do\n    \
             worker=$((worker + 1))\n    [ ! -e /tmp/logs/$old-$worker ] ||\n      \
             /host/cut-workload verify $tree/round-$old /tmp/logs/$old-$worker || exit 6\n  done\ndone\n\
             for tree in $TREES; do\n  for old in $tree/round-*; do\n    number=${{old##*-}}\n    \
             [ \"$number\" = '*' ] || [ $number -ge {first} ] || [ $((number % {KEPT})) = 0 ] || rm -rf $old\n  \
             done\ndone\ntouch /tmp/checked\nworker=0\n{end}",
            logs = logs.display(),
            checked = checked.join(" "),
            setup = self.setup,
            end = if last { self.check.clone() + "\n" } else { work },
        )
    }
}

/// Steps that were acknowledged to the workers of a round, or of all.
fn acknowledged_in(logs: &Path, round: Option<u32>) -> io::Result<u64> {
    let prefix = round.map_or(String::new(), |round| format!("{round}-"));
    let mut steps = 0;
    for entry in std::fs::read_dir(logs)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            steps += acknowledged(&entry.path())?;
        }
    }
    Ok(steps)
}
