//! One system in one pass: started on fresh disks, all rows, stopped; nothing of it remains.

use crate::client::Client;
use crate::counts::{Counter, Counts};
use crate::disk::{self, Disks, Image};
use crate::network::Wire;
use crate::processes;
use crate::results::Sample;
use crate::rows::{GUEST_ARCHIVE, Load, Row, Work};
use crate::systems::{Ground, Kind, Programs, System};
use crate::tree::{self, Tree};
use crate::{BenchError, stop};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a system is mounted on this machine, below the folder of its pass.
const MOUNT: &str = "mnt";

/// What all sessions of a run share.
#[derive(Debug)]
pub struct Run {
    /// For everything that is not measured.
    pub folder: PathBuf,
    /// What disks are made of.
    pub image: Image,
    /// To the guest.
    pub wire: Wire,
    /// Bytes of the image.
    pub bytes: u64,
    /// Sizes of timed passes.
    pub load: Load,
    /// Sizes of the counting pass, not larger.
    pub counted: Load,
    /// For untar.
    pub tree: Tree,
    /// Programs.
    pub programs: Programs,
    /// The longest that one program of a row may take.
    pub limit: Duration,
}

/// What a session tells.
pub trait Listener {
    /// A row is done, in a timed pass.
    fn sample(&mut self, row: Row, sample: Sample);
    /// A row is done, in the counting pass.
    fn counts(&mut self, row: Row, counts: Counts, work: Work);
    /// A row failed.
    fn failure(&mut self, row: Row, err: &BenchError);
}

/// Runs all rows of a system, on fresh disks, and stops it. With a counter, system calls are counted and
/// nothing is timed.
///
/// # Errors
/// When it does not start, or the run is interrupted; a row that fails is told to the listener.
pub fn run(
    run: &Run,
    kind: Kind,
    counter: Option<Counter>,
    listener: &mut dyn Listener,
) -> Result<(), BenchError> {
    let folder = tempfile::Builder::new().prefix("pass-").tempdir_in(&run.folder)?;
    let done = on_disks(run, kind, counter, folder.path(), listener);
    // A folder in which something is still mounted must not be removed.
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if mounts.contains(&*folder.path().to_string_lossy()) {
        let kept = folder.keep();
        eprintln!("bench: something is still mounted below {}", kept.display());
    }
    done
}

fn on_disks(
    run: &Run,
    kind: Kind,
    counter: Option<Counter>,
    folder: &Path,
    listener: &mut dyn Listener,
) -> Result<(), BenchError> {
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    let mut disks = run.image.disks(&data, kind.disks(), kind.disk_options())?;
    let done = with_client(run, kind, counter, folder, &mut disks, listener);
    // Daemons that had detached themselves, and whatever an interrupted row left.
    processes::end_all(&processes::descendants(std::process::id()));
    disk::abandon(&folder.join(MOUNT))?;
    done
}

fn with_client(
    run: &Run,
    kind: Kind,
    counter: Option<Counter>,
    folder: &Path,
    disks: &mut Disks,
    listener: &mut dyn Listener,
) -> Result<(), BenchError> {
    let client = if kind.is_nfs() {
        Client::in_guest(&run.wire, &run.folder, run.limit)?
    } else {
        Client::here(folder, run.limit)?
    };
    let disk_bytes = run.bytes / kind.disks();
    let ground = Ground { folder, disks, disk_bytes, programs: &run.programs };
    let system = kind.start(&ground)?;
    let root = if client.is_guest() { PathBuf::from("/tmp/mnt") } else { folder.join(MOUNT) };
    // Dropped in this order: the system is unmounted while its client still lives.
    let load = if counter.is_some() { run.counted } else { run.load };
    let mut session = Session { system, client, root, run, load, kind };
    session.system.mount(&mut session.client, &session.root)?;
    if session.client.is_guest() {
        session.keep_archive()?;
    }
    if let Err(err) = session.rows(counter, folder, disks, listener) {
        // What still works on files would keep them from being unmounted.
        processes::end_all(&processes::descendants(session.client.pid()));
        return Err(err);
    }
    let Session { mut system, mut client, root, .. } = session;
    system.unmount(&mut client, &root)
}

struct Session<'a> {
    system: Box<dyn System>,
    client: Client,
    root: PathBuf,
    run: &'a Run,
    load: Load,
    kind: Kind,
}

impl Session<'_> {
    /// The guest reads files of this machine slowly; tar should not wait for that.
    fn keep_archive(&mut self) -> Result<(), BenchError> {
        self.client.must(&["cp", &Client::shared(tree::ARCHIVE), GUEST_ARCHIVE]).map(drop)
    }

    fn rows(
        &mut self,
        counter: Option<Counter>,
        folder: &Path,
        disks: &mut Disks,
        listener: &mut dyn Listener,
    ) -> Result<(), BenchError> {
        for row in Row::all() {
            stop::check()?;
            let done = match counter {
                None => self.timed(row, disks).map(|sample| listener.sample(row, sample)),
                Some(counter) => self.counted(row, counter, folder, disks).map(|counted| {
                    counted.into_iter().for_each(|(counts, work)| listener.counts(row, counts, work))
                }),
            };
            match done {
                Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
                Err(err) => listener.failure(row, &err),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn timed(&mut self, row: Row, disks: &mut Disks) -> Result<Sample, BenchError> {
        self.prepare(row, disks)?;
        let pids = self.processes();
        let (traffic, cpu) = (disks.traffic()?, processes::cpu(&pids));
        let work = self.work(row)?;
        let cpu = (!pids.is_empty()).then(|| processes::cpu(&pids).saturating_sub(cpu));
        disks.settle()?;
        Ok(Sample { work, cpu, traffic: disks.traffic()? - traffic })
    }

    fn counted(
        &mut self,
        row: Row,
        counter: Counter,
        folder: &Path,
        disks: &mut Disks,
    ) -> Result<Option<(Counts, Work)>, BenchError> {
        self.prepare(row, disks)?;
        let pids = self.processes();
        if pids.is_empty() {
            return self.work(row).map(|_| None);
        }
        let counting = counter.attach(&pids, folder)?;
        let work = self.work(row);
        let counts = counting.end()?;
        Ok(Some((counts, work?)))
    }

    fn prepare(&mut self, row: Row, disks: &mut Disks) -> Result<(), BenchError> {
        row.prepare(&mut self.client, &self.root, &self.load)?;
        if row.is_cold() {
            self.remount(disks)?;
        }
        disks.settle()?;
        Ok(())
    }

    fn work(&mut self, row: Row) -> Result<Work, BenchError> {
        row.run(&mut self.client, &self.root, &self.load, &self.run.tree)
    }

    /// So that nothing is in memory: not at the client, not in the system, not in the kernel.
    fn remount(&mut self, disks: &mut Disks) -> Result<(), BenchError> {
        self.system.unmount(&mut self.client, &self.root)?;
        self.system.cool(disks)?;
        disks.settle()?;
        disk::drop_caches()?;
        if self.client.is_guest() {
            self.client.must(&["sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches"])?;
        }
        self.system.mount(&mut self.client, &self.root)
    }

    /// The processes of the system: all below us that are not the client's.
    fn processes(&self) -> BTreeSet<u32> {
        if self.kind == Kind::Ext4 {
            return BTreeSet::new();
        }
        let client = self.client.pid();
        let theirs = processes::descendants(client);
        let mut all = processes::descendants(std::process::id());
        all.retain(|pid| *pid != client && !theirs.contains(pid));
        all
    }
}
