//! A run: everybody is started, disturbed, and ended.

use super::evidence::{self, Evidence};
use super::faults::{Fault, Faults};
use super::hands::{Far, Hands, Order, Push, Reply};
use super::history::{Behind, now};
use super::places::Way;
use super::worker::log_of;
use super::{Coherence, CoherenceError, CoherenceReport};
use crate::daemon::{Daemon, tail};
use crate::disk::Disk;
use crate::guest::{Guest, RunningGuest};
use crate::mount::Mount;
use crate::programs::{build_folder, program};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(20);
/// Nobody does anything for so long: somebody is stuck.
const PATIENCE: Duration = Duration::from_secs(180);
const BOOT_LIMIT: Duration = Duration::from_secs(120);
const CLOCK_EACH: Duration = Duration::from_millis(500);
/// Comparisons of clocks before work begins.
const CLOCKS_FIRST: u32 = 50;
/// Of a disk whose power is cut; it takes what is written to it.
const DISK_BYTES: u64 = 16 << 30;
/// So long after a mount is back, one of its workers may still meet what the former one had open.
const AFTER_KILL: u64 = 5_000_000_000;

/// Mounts twice and leads workers: `PORT MINOR MASTER-PORT JOB`. Two mounts of one minor version would be one client to the
/// server, which has nothing to ask back from a client for the client's own sake.
const SCRIPT: &str = r#"#!/bin/bash
modprobe nfsv4
mkdir -p /tmp/strict /tmp/defaults /tmp/job
mount -t hostfs none /tmp/job -o "$4" || exit 2
mount -t nfs4 -o vers=4.$((3 - $2)),port=$1,actimeo=0,lookupcache=none $HOST:/default /tmp/strict || exit 3
mount -t nfs4 -o vers=4.$2,port=$1 $HOST:/default /tmp/defaults || exit 3
/host/coherence-hand lead $HOST:$3 || exit 4
umount /tmp/strict /tmp/defaults || exit 5
"#;

/// The four mounts. The first two are here.
const DOORS: [(&str, Way); 4] =
    [("fuse-a", Way::Fuse), ("fuse-b", Way::Fuse), ("strict", Way::Strict), ("defaults", Way::Defaults)];

/// Where a worker works, and which of its lives it lives.
struct Post {
    door: usize,
    number: u32,
}

/// A life of a worker.
struct Life {
    door: usize,
    /// Whose clock it reads: of which life of the guest, or of this machine.
    guest: Option<usize>,
    counted: u64,
}

struct Run<'a> {
    plan: &'a Coherence,
    folder: PathBuf,
    job: PathBuf,
    daemon: Daemon,
    /// What the daemon's data are on, where its power shall be cut.
    disk: Option<Disk>,
    mounts: Vec<Mount>,
    here: Hands,
    /// The guest and the hands in it, unless it is left out.
    guest: Option<(RunningGuest, Far)>,
    listener: TcpListener,
    /// What the clock of each former guest was behind.
    clocks: Vec<Behind>,
    posts: Vec<Post>,
    /// By number.
    lives: Vec<Life>,
    /// When who stands still goes on.
    resumed: Vec<(Instant, Fault)>,
    /// When a mount was killed and was back, by door.
    excuses: Vec<(usize, u64, u64)>,
    /// When the daemon was killed.
    deaths: Vec<u64>,
    report: CoherenceReport,
    told: Vec<String>,
    begun: Instant,
}

pub(super) fn run(plan: &Coherence) -> Result<CoherenceReport, CoherenceError> {
    let scratch = tempfile::Builder::new().prefix("plexus-coherence-").tempdir()?;
    let folder = scratch.path().to_owned();
    let job = match &plan.kept {
        Some(kept) => kept.clone(),
        None => folder.join("job"),
    };
    // Logs of another run would be taken for this one's.
    std::fs::create_dir(&job)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", job.display())))?;
    let job = job.canonicalize()?;
    let home = folder.join("daemon");
    let disk = plan.power_cuts.then(|| Disk::make(&folder.join("disk"), &home.join("data"), DISK_BYTES));
    let disk = disk.transpose()?;
    let mut options = plan.options.clone();
    if let Some(disk) = &disk {
        options.program = Some(disk.machine(&program("plexusd")?)?);
    }
    let daemon = Daemon::start(&home, &options)?;
    let mounts = DOORS[..2].iter().map(|(name, _)| Mount::new(&daemon, &folder.join(name)));
    let mounts = mounts.collect::<io::Result<Vec<Mount>>>()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    File::create(job.join("gen-1"))?;
    let guest = plan.guest.as_ref().map(|guest| boot(guest, plan, &daemon, &listener, &job)).transpose()?;
    let doors = if guest.is_some() { DOORS.len() } else { 2 };
    let mut run = Run {
        plan,
        folder,
        job,
        daemon,
        disk,
        mounts,
        here: Hands::default(),
        guest,
        listener,
        clocks: Vec::new(),
        posts: Vec::new(),
        lives: Vec::new(),
        resumed: Vec::new(),
        excuses: Vec::new(),
        deaths: Vec::new(),
        report: CoherenceReport::default(),
        told: Vec::new(),
        begun: Instant::now(),
    };
    for door in 0..doors {
        for _ in 0..if Run::in_guest(door) { plan.at_nfs } else { plan.at_fuse } {
            run.posts.push(Post { door, number: 0 });
            run.hire(run.posts.len() - 1)?;
        }
    }
    run.work()?;
    run.end()?;
    run.check()
}

fn boot(
    guest: &Guest,
    plan: &Coherence,
    daemon: &Daemon,
    listener: &TcpListener,
    job: &Path,
) -> Result<(RunningGuest, Far), CoherenceError> {
    let limit = Duration::from_secs(600)
        + Duration::from_millis(50) * u32::try_from(plan.operations).unwrap_or(u32::MAX);
    let guest = guest.clone().host(&build_folder()?).limit(limit);
    let ports = [daemon.nfs().port().to_string(), listener.local_addr()?.port().to_string()];
    let job = job.display().to_string();
    let mut guest = guest.start(SCRIPT, &[&ports[0], &plan.minor.to_string(), &ports[1], &job])?;
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    let mut far = loop {
        match listener.accept() {
            Ok((stream, _)) => break Far::new(stream)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK),
            Err(error) => return Err(error.into()),
        }
        if guest.has_ended()? {
            let done = guest.wait()?;
            return Err(io::Error::other(format!("the guest ended: {}: {}", done.status, done.output)).into());
        }
        if start.elapsed() > BOOT_LIMIT {
            return Err(io::Error::other(format!("the guest does not come: {}", guest.cut())).into());
        }
    };
    for _ in 0..CLOCKS_FIRST {
        far.compare_clocks()?;
    }
    Ok((guest, far))
}

impl Run<'_> {
    fn failed(&mut self, what: impl Into<String>) -> CoherenceError {
        let what = format!("{}\nfaults: {}", what.into(), self.told.join(" "));
        CoherenceError::Failed { seed: self.plan.seed, what, daemon: self.daemon.log() }
    }

    /// Has the hands in the guest do something; nothing comes back if there is no guest.
    fn with_far<T>(
        &mut self,
        does: impl FnOnce(&mut Far) -> io::Result<T>,
    ) -> Result<Option<T>, CoherenceError> {
        let Some((guest, far)) = &mut self.guest else { return Ok(None) };
        match does(far) {
            Ok(done) => Ok(Some(done)),
            Err(error) => {
                let console = guest.job().map(|job| tail(&job.join("console"))).unwrap_or_default();
                let output = guest.cut();
                Err(self.failed(format!("{error}\n{output}\n{console}")))
            }
        }
    }

    /// What it printed, once it is cut.
    fn cut(&mut self) -> String {
        self.guest.as_mut().map(|(guest, _)| guest.cut()).unwrap_or_default()
    }

    fn tell_all(&mut self, order: &Order) -> Result<Vec<(u32, String)>, CoherenceError> {
        let mut replies = vec![self.here.obey(order)];
        replies.extend(self.with_far(|far| far.tell(order))?);
        let mut ended = Vec::new();
        for reply in replies {
            match reply {
                Reply::Ended(some) => ended.extend(some),
                Reply::Failed(what) => return Err(self.failed(what)),
                _ => {}
            }
        }
        Ok(ended)
    }

    fn in_guest(door: usize) -> bool {
        DOORS[door].1 != Way::Fuse
    }

    /// A new life for who works at a post.
    fn hire(&mut self, post: usize) -> Result<(), CoherenceError> {
        let door = self.posts[post].door;
        let way = DOORS[door].1;
        let number = self.lives.len() as u32;
        let is_far = Self::in_guest(door);
        let (way_name, root, job) = match way {
            Way::Fuse => ("fuse", self.mounts[door].at.clone(), self.job.clone()),
            Way::Strict => ("strict", PathBuf::from("/tmp/strict"), PathBuf::from("/tmp/job")),
            Way::Defaults => ("defaults", PathBuf::from("/tmp/defaults"), PathBuf::from("/tmp/job")),
        };
        self.posts[post].number = number;
        self.lives.push(Life { door, guest: is_far.then_some(self.clocks.len()), counted: 0 });
        let text = |path: &Path| path.display().to_string();
        let mut arguments = vec![way_name.to_owned(), text(&root), text(&job)];
        arguments.extend([number.to_string(), self.plan.seed.to_string()]);
        // A guest that is killed has told its server less than it has said.
        arguments.extend(is_far.then(|| "--synced".to_owned()));
        self.order(door, &Order::Hire(number, arguments))
    }

    fn order(&mut self, door: usize, order: &Order) -> Result<(), CoherenceError> {
        let reply = match Self::in_guest(door) {
            true => self.with_far(|far| far.tell(order))?,
            false => Some(self.here.obey(order)),
        };
        match reply {
            Some(Reply::Failed(what)) => Err(self.failed(format!("{order:?}: {what}"))),
            _ => Ok(()),
        }
    }

    /// Until as many operations are done as shall be.
    fn work(&mut self) -> Result<(), CoherenceError> {
        let (guest, power) = (self.guest.is_some(), self.disk.is_some());
        let mut faults = Faults::new(self.plan.seed, self.posts.len(), guest, power);
        let (mut total, mut generation, mut generation_began) = (0, 1, 0);
        let (mut last_done, mut last_clock) = (Instant::now(), Instant::now());
        self.begun = Instant::now();
        while total < self.plan.operations {
            std::thread::sleep(LOOK);
            let counted = self.count()?;
            if counted > total {
                (total, last_done) = (counted, Instant::now());
            }
            if last_done.elapsed() > PATIENCE {
                return Err(self.failed("everybody is stuck"));
            }
            if total - generation_began >= self.plan.generation {
                (generation, generation_began) = (generation + 1, total);
                File::create(self.job.join(format!("gen-{generation}")))?;
            }
            self.resume(false)?;
            let guest_runs = !self.resumed.iter().any(|(_, fault)| *fault == Fault::StopGuest);
            if guest_runs && last_clock.elapsed() > CLOCK_EACH {
                self.with_far(Far::compare_clocks)?;
                self.watch()?;
                last_clock = Instant::now();
            }
            if self.plan.faults
                && let Some(fault) = faults.due()
            {
                self.disturb(fault, &mut faults)?;
            }
        }
        self.report.took = self.begun.elapsed();
        Ok(())
    }

    /// Operations that have begun.
    fn count(&mut self) -> io::Result<u64> {
        let numbers: Vec<u32> = self.posts.iter().map(|post| post.number).collect();
        for number in numbers {
            let life = &mut self.lives[number as usize];
            let length = std::fs::metadata(log_of(&self.job, number)).map_or(0, |meta| meta.len());
            life.counted = life.counted.max(length);
        }
        // What is left of a long log is as what was counted of it.
        let bytes: u64 = self.lives.iter().map(|life| life.counted).sum();
        Ok(bytes / self.bytes_each()?)
    }

    /// Bytes of an operation in the logs, of the first that were done.
    fn bytes_each(&mut self) -> io::Result<u64> {
        const LOOKED_AT: u64 = 1 << 16;
        let number = self.posts[0].number;
        let Ok(mut log) = File::open(log_of(&self.job, number)) else { return Ok(200) };
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT)))?;
        let mut bytes = Vec::new();
        log.take(LOOKED_AT).read_to_end(&mut bytes)?;
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(if lines < 100 { 200 } else { 2 * bytes.len() as u64 / lines })
    }

    fn watch(&mut self) -> Result<(), CoherenceError> {
        let ended = self.tell_all(&Order::Watch)?;
        let is_over = self.guest.as_mut().map_or(Ok(false), |(guest, _)| guest.has_ended())?;
        if is_over || !ended.is_empty() {
            let output = self.cut();
            return Err(self.failed(format!("workers have ended: {ended:?}\n{output}")));
        }
        Ok(())
    }

    /// Who has stood still for long enough goes on; or all who stand still.
    fn resume(&mut self, all: bool) -> Result<(), CoherenceError> {
        let now = Instant::now();
        let is_due = |at: Instant| all || at <= now;
        let guest_stands = self.resumed.iter().any(|(at, fault)| *fault == Fault::StopGuest && !is_due(*at));
        // Workers in the guest hear of it only when it goes on itself.
        let hears = |fault: Fault| match fault {
            Fault::StopWorker(post) => !(guest_stands && Self::in_guest(self.posts[post].door)),
            _ => true,
        };
        let (due, later): (Vec<_>, Vec<_>) =
            self.resumed.iter().copied().partition(|(at, fault)| is_due(*at) && hears(*fault));
        self.resumed = later;
        for (_, fault) in &due {
            if !matches!(fault, Fault::StopWorker(_)) {
                self.signal(*fault, Signal::CONT)?;
            }
        }
        for (_, fault) in due {
            if let Fault::StopWorker(post) = fault {
                self.push(post, Push::Continue)?;
            }
        }
        Ok(())
    }

    fn signal(&mut self, fault: Fault, signal: Signal) -> io::Result<()> {
        match fault {
            Fault::StopDaemon if signal == Signal::STOP => self.daemon.pause()?,
            Fault::StopDaemon => self.daemon.resume()?,
            Fault::StopMount(mount) if signal == Signal::STOP => self.mounts[mount].stop()?,
            Fault::StopMount(mount) => self.mounts[mount].resume()?,
            Fault::StopGuest => {
                let guest = self.guest.as_ref().and_then(|(guest, _)| i32::try_from(guest.pid()).ok());
                let guest = guest.and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process id"))?;
                // Its kernel alone: it does not expect its processes to be stopped by others.
                kill_process(guest, signal)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, post: usize, push: Push) -> Result<(), CoherenceError> {
        let Post { door, number } = self.posts[post];
        self.order(door, &Order::Push(number, push))
    }

    /// Nobody whom this one needs, or who is told something, stands still.
    fn wake(&mut self, which: impl Fn(Fault) -> bool) -> Result<(), CoherenceError> {
        let now = Instant::now();
        for (at, fault) in &mut self.resumed {
            if which(*fault) {
                *at = now;
            }
        }
        self.resume(false)
    }

    fn disturb(&mut self, fault: Fault, faults: &mut Faults) -> Result<(), CoherenceError> {
        *self.report.faults.entry(fault.name()).or_default() += 1;
        self.told.push(format!("{:.1}:{fault:?}", self.begun.elapsed().as_secs_f64()));
        let until = Instant::now() + faults.stop();
        match fault {
            Fault::StopDaemon | Fault::StopMount(_) | Fault::StopGuest => {
                self.signal(fault, Signal::STOP)?;
                self.resumed.push((until, fault));
            }
            Fault::StopWorker(post) => {
                self.wake(|other| other == Fault::StopGuest)?;
                self.push(post, Push::Stop)?;
                self.resumed.push((until, fault));
            }
            Fault::KillWorker(post) => {
                // Who waits in the kernel for somebody that stands still does not end before that goes on.
                self.wake(|other| !matches!(other, Fault::StopWorker(_)))?;
                self.resumed.retain(|(_, other)| *other != Fault::StopWorker(post));
                self.push(post, Push::Kill)?;
                self.hire(post)?;
            }
            Fault::KillDaemon => {
                self.resumed.retain(|(_, other)| *other != Fault::StopDaemon);
                self.deaths.push(now());
                self.daemon.revive()?;
            }
            Fault::CutPower => self.cut_power()?,
            Fault::KillMount(mount) => self.kill_mount(mount)?,
            Fault::KillGuest => self.kill_guest()?,
        }
        Ok(())
    }

    /// The daemon dies with its disk, and both come back.
    fn cut_power(&mut self) -> Result<(), CoherenceError> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        self.resumed.retain(|(_, other)| *other != Fault::StopDaemon);
        // Whoever is served now must not hear of a disk that fails.
        self.daemon.pause()?;
        disk.cut()?;
        self.deaths.push(now());
        self.daemon.kill()?;
        disk.restore()?;
        self.daemon.revive()?;
        Ok(())
    }

    fn kill_mount(&mut self, mount: usize) -> Result<(), CoherenceError> {
        let killed = now();
        self.mounts[mount].kill()?;
        self.resumed.retain(|(_, other)| *other != Fault::StopMount(mount));
        // It asks the daemon when it starts.
        self.wake(|other| other == Fault::StopDaemon)?;
        let at = self.folder.join(DOORS[mount].0);
        self.mounts[mount] = Mount::new(&self.daemon, &at)?;
        self.excuses.push((mount, killed, now() + AFTER_KILL));
        Ok(())
    }

    /// All that the guest has not told its server is lost, as with a client machine that loses its power.
    fn kill_guest(&mut self) -> Result<(), CoherenceError> {
        self.resumed.retain(|(_, other)| match other {
            Fault::StopWorker(post) => !Self::in_guest(self.posts[*post].door),
            other => *other != Fault::StopGuest,
        });
        let Some(plan) = &self.plan.guest else { return Ok(()) };
        if let Some((mut guest, far)) = self.guest.take() {
            guest.cut();
            self.clocks.push(far.behind);
        }
        self.wake(|other| other == Fault::StopDaemon)?;
        self.guest = Some(boot(plan, self.plan, &self.daemon, &self.listener, &self.job)?);
        for post in 0..self.posts.len() {
            if Self::in_guest(self.posts[post].door) {
                self.hire(post)?;
            }
        }
        Ok(())
    }

    /// Everybody comes to an end, and is asked how.
    fn end(&mut self) -> Result<(), CoherenceError> {
        self.resume(true)?;
        File::create(self.job.join("stop"))?;
        let ended = self.tell_all(&Order::Leave)?;
        let behind = self.with_far(|far| {
            (0..CLOCKS_FIRST).try_for_each(|_| far.compare_clocks())?;
            Ok(far.behind)
        })?;
        self.clocks.extend(behind);
        if !ended.is_empty() {
            let output = self.cut();
            return Err(self.failed(format!("workers have failed: {ended:?}\n{output}")));
        }
        let fsck = self.daemon.plexus(&["fsck"])?;
        if !fsck.status.success() {
            return Err(self.failed(String::from_utf8_lossy(&fsck.stdout)));
        }
        Ok(())
    }

    fn check(mut self) -> Result<CoherenceReport, CoherenceError> {
        let lives = self.lives.iter().enumerate().map(|(number, life)| evidence::Life {
            number: number as u32,
            door: DOORS[life.door].0.to_owned(),
            way: DOORS[life.door].1,
            behind: life.guest.map_or(Behind::NOTHING, |guest| self.clocks[guest]),
        });
        let excuses =
            self.excuses.iter().map(|(door, from, until)| (DOORS[*door].0.to_owned(), *from, *until));
        let evidence = Evidence {
            seed: self.plan.seed,
            lives: lives.collect(),
            excuses: excuses.collect(),
            deaths: self.deaths.clone(),
            faults: self.told.join(" "),
        };
        evidence.keep(&self.job)?;
        let weighed = evidence.weigh(&self.job)?;
        self.report.operations = weighed.operations;
        self.report.unknown = weighed.unknown;
        self.report.undecided = weighed.undecided;
        self.report.clock = weighed.clock;
        self.report.checked = weighed.took;
        Ok(self.report)
    }
}
