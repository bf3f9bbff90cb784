//! A throw-away Linux that runs one script as root: User Mode Linux 6.1 or QEMU with 6.12.

use crate::daemon::tail;
use crate::programs::guest_cache;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::CpuSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Output of a script beyond this is dropped.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;
const LOOK: Duration = Duration::from_millis(10);

/// Why a script has no status.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Of the machine, or the guests are not built.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It took too long and was killed.
    #[error("the guest took over {} s; its output ends:\n{output}", limit.as_secs())]
    Late {
        /// How long it had.
        limit: Duration,
        /// What the script printed.
        output: String,
    },
    /// The guest ended without a status.
    #[error("the guest died; its console ends:\n{console}\nand its output:\n{output}")]
    Died {
        /// The end of its console.
        console: String,
        /// What the script printed.
        output: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Uml,
    Qemu,
}

/// A guest to boot. In it `$HOST` (10.0.2.2) is this machine's 127.0.0.1, `/job` the job's folder,
/// `/host` the folder of [`Guest::host`], `/dev/ubda`... (UML) the disks.
#[derive(Clone, Debug)]
pub struct Guest {
    kind: Kind,
    limit: Duration,
    memory_mb: u32,
    cpus: u32,
    host: Option<PathBuf>,
    disks: Vec<PathBuf>,
    network: bool,
    tap: Option<String>,
}

/// What a script left.
#[derive(Debug)]
pub struct GuestDone {
    /// Its exit status.
    pub status: i32,
    /// All that it printed.
    pub output: String,
    /// The job's folder: `status`, `boot`, `dmesg`, `console` and what the script left in `/job`.
    pub job: TempDir,
}

impl Guest {
    /// User Mode Linux 6.1: one processor, up in 3 seconds.
    #[must_use]
    pub fn uml() -> Guest {
        Guest::of(Kind::Uml)
    }

    /// QEMU with 6.12, emulated: up in 10 to 20 seconds.
    #[must_use]
    pub fn qemu() -> Guest {
        Guest::of(Kind::Qemu)
    }

    fn of(kind: Kind) -> Guest {
        Guest {
            kind,
            limit: Duration::from_secs(300),
            memory_mb: 1024,
            cpus: 2,
            host: None,
            disks: Vec::new(),
            network: true,
            tap: None,
        }
    }

    /// How long the whole run may take; 300 seconds unless said.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Guest {
        self.limit = limit;
        self
    }

    /// Its memory; 1,024 MiB unless said.
    #[must_use]
    pub fn memory_mb(mut self, memory_mb: u32) -> Guest {
        self.memory_mb = memory_mb;
        self
    }

    /// A folder of this machine to be seen at `/host`.
    #[must_use]
    pub fn host(mut self, folder: &Path) -> Guest {
        self.host = Some(folder.to_owned());
        self
    }

    /// A file to be seen as a disk: `/dev/ubda` the first, `/dev/ubdb` the next. Only in UML.
    #[must_use]
    pub fn disk(mut self, image: &Path) -> Guest {
        self.disks.push(image.to_owned());
        self
    }

    /// Without a network: the guest is alone.
    #[must_use]
    pub fn alone(mut self) -> Guest {
        self.network = false;
        self
    }

    /// A tap device of this machine as the network, in the place of the user's NAT: far faster, and needs root.
    /// The script gives `eth0` its address. Only in UML.
    #[must_use]
    pub fn tap(mut self, device: &str) -> Guest {
        self.tap = Some(device.to_owned());
        self
    }

    /// Boots, runs the script (its text), and waits for its end.
    ///
    /// # Errors
    /// See [`GuestError`]; a status other than 0 is none.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Result<GuestDone, GuestError> {
        self.start(script, arguments)?.wait()
    }

    /// Boots, and leaves it running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, script: &str, arguments: &[&str]) -> Result<RunningGuest, GuestError> {
        let cache = guest_cache()?;
        let job = tempfile::Builder::new().prefix("plexus-guest-").tempdir()?;
        write_job(job.path(), script, arguments)?;
        let console = job.path().join("console");
        let mut helper = None;
        let mut command = match self.kind {
            Kind::Qemu => self.qemu_command(&cache, job.path(), &console),
            Kind::Uml => {
                let mut command = self.uml_command(&cache, job.path())?;
                if self.network && self.tap.is_none() {
                    let (ours, theirs) = frame_sockets()?;
                    command.stdin(Stdio::from(ours));
                    helper = Some(nat(Stdio::from(theirs), &console)?);
                } else {
                    command.stdin(Stdio::null());
                }
                command
            }
        };
        command.stdout(Stdio::piped()).stderr(File::options().create(true).append(true).open(&console)?);
        // UML shrugs off SIGTERM and has many processes: a group of its own, killed as one.
        let spawned = command.process_group(0).spawn();
        let mut child = match (spawned, &mut helper) {
            (Ok(child), _) => child,
            (Err(err), None) => return Err(err.into()),
            (Err(err), Some(helper)) => {
                end(helper);
                return Err(err.into());
            }
        };
        let output = child.stdout.take().map(|out| std::thread::spawn(move || read_bounded(out)));
        Ok(RunningGuest { child, helper, output, job: Some(job), started: Instant::now(), limit: self.limit })
    }

    fn uml_command(&self, cache: &Path, job: &Path) -> io::Result<Command> {
        // The shell only moves descriptors: 3 is the network, 4 the output; UML's own talk goes to the console.
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg("exec 3<&0 4>&1 </dev/null >&2; exec \"$@\"").arg("sh");
        command.args(["taskset", "-c", &processor_of_uml()?.to_string()]).arg(cache.join("linux.uml"));
        if let Some(device) = &self.tap {
            command.arg(format!("vec0:transport=tap,ifname={device},depth=128,gro=1,mac=52:54:00:12:34:56"));
        } else if self.network {
            command.arg("vec0:transport=fd,fd=3,mac=52:54:00:12:34:56");
        }
        for (at, disk) in self.disks.iter().enumerate() {
            command.arg(format!("ubd{at}={}", disk.canonicalize()?.display()));
        }
        command
            .arg(format!("mem={}M", self.memory_mb))
            .args(["con=null", "con1=null,fd:4", "ro", "rootfstype=hostfs", "init=/sbin/guest-init"])
            .args(["quiet", "panic=-1"])
            .arg(format!("rootflags={}", cache.join("root").display()))
            .arg(format!("guest_job={}", job.display()));
        if let Some(host) = &self.host {
            command.arg(format!("guest_host={}", host.canonicalize()?.display()));
        }
        Ok(command)
    }

    fn qemu_command(&self, cache: &Path, job: &Path, console: &Path) -> Command {
        let share = |folder: &Path, tag: &str| {
            format!("local,path={},mount_tag={tag},security_model=none,multidevs=remap", folder.display())
        };
        let mut command = Command::new("qemu-system-x86_64");
        command
            .stdin(Stdio::null())
            // Emulation: hosts without nested virtualisation get no further with KVM.
            .args(["-M", "q35", "-accel", "tcg,thread=multi,tb-size=256"])
            .args(["-cpu", "max,la57=off,pku=off,smap=off,smep=off"])
            .args(["-m", &self.memory_mb.to_string(), "-smp", &self.cpus.to_string()])
            .args(["-nodefaults", "-no-reboot", "-display", "none"])
            .arg("-kernel")
            .arg(cache.join("vmlinux"))
            .arg("-initrd")
            .arg(cache.join("initrd.cpio"))
            .args([
                "-append",
                "console=ttyS0 quiet panic=-1 mitigations=off nokaslr apparmor=0 audit=0 cryptomgr.notests",
            ])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-device", "virtio-serial-pci", "-chardev", "file,id=out,path=/dev/stdout,append=on"])
            .args(["-device", "virtconsole,chardev=out"])
            .arg("-drive")
            .arg(format!(
                "file={},format=raw,if=virtio,snapshot=on,cache=unsafe",
                cache.join("root.img").display()
            ))
            .arg("-virtfs")
            .arg(share(job, "job"));
        if self.network {
            command.args(["-netdev", "user,id=n0,ipv6=off", "-device", "virtio-net-pci,netdev=n0,romfile="]);
        }
        if let Some(host) = &self.host {
            command.arg("-virtfs").arg(share(host, "host"));
        }
        command
    }
}

/// The processor that a User Mode Linux keeps to. Each of its system calls and page faults goes to and fro between
/// two processes, which is three times as slow over two processors.
fn processor_of_uml() -> io::Result<usize> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|at| allowed.is_set(*at)).collect();
    // The kernel lets every process run somewhere, so that there is one.
    Ok(allowed[std::process::id() as usize % allowed.len()])
}

/// A guest that is up, or booting; killed when dropped.
#[derive(Debug)]
pub struct RunningGuest {
    child: Child,
    helper: Option<Child>,
    output: Option<JoinHandle<String>>,
    job: Option<TempDir>,
    started: Instant,
    limit: Duration,
}

impl RunningGuest {
    /// Its process id; all its processes are below this one, or in its group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The job's folder, shared with the guest.
    #[must_use]
    pub fn job(&self) -> Option<&Path> {
        self.job.as_ref().map(TempDir::path)
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for the script's end.
    ///
    /// # Errors
    /// See [`GuestError`].
    pub fn wait(mut self) -> Result<GuestDone, GuestError> {
        while !self.has_ended()? {
            if self.started.elapsed() > self.limit {
                return Err(GuestError::Late { limit: self.limit, output: self.cut() });
            }
            std::thread::sleep(LOOK);
        }
        let output = self.cut();
        let job = self.job.take().ok_or_else(|| io::Error::other("a guest without a job"))?;
        let status = std::fs::read_to_string(job.path().join("status")).ok();
        match status.and_then(|text| text.trim().parse().ok()) {
            Some(status) => Ok(GuestDone { status, output, job }),
            None => Err(GuestError::Died { console: tail(&job.path().join("console")), output }),
        }
    }

    /// Pulls the plug: every process of the guest is killed at once. Gives what the script printed.
    pub fn cut(&mut self) -> String {
        end(&mut self.child);
        if let Some(helper) = &mut self.helper {
            end(helper);
        }
        self.output.take().and_then(|output| output.join().ok()).unwrap_or_default()
    }
}

impl Drop for RunningGuest {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Kills a process and its group, and takes its status.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn write_job(job: &Path, script: &str, arguments: &[&str]) -> io::Result<()> {
    let path = job.join("script");
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    let mut command = File::create(job.join("command"))?;
    write!(command, "exec /job/script")?;
    for argument in arguments {
        write!(command, " '{}'", argument.replace('\'', "'\\''"))?;
    }
    writeln!(command)
}

/// Two ends that carry whole Ethernet frames.
fn frame_sockets() -> io::Result<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)> {
    let pair = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    for end in [&pair.0, &pair.1] {
        rustix::net::sockopt::set_socket_send_buffer_size(end, 1 << 22)?;
        rustix::net::sockopt::set_socket_recv_buffer_size(end, 1 << 22)?;
    }
    Ok(pair)
}

/// A QEMU without a machine, as the network between the guest's frames (its descriptor 0) and this machine.
fn nat(frames: Stdio, console: &Path) -> io::Result<Child> {
    Command::new("qemu-system-x86_64")
        .args(["-M", "none", "-nodefaults", "-display", "none"])
        .args(["-netdev", "user,id=u,ipv6=off", "-netdev", "dgram,id=d,local.type=fd,local.str=0"])
        .args(["-netdev", "hubport,id=h0,hubid=0,netdev=u", "-netdev", "hubport,id=h1,hubid=0,netdev=d"])
        .stdin(frames)
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(console)?)
        .process_group(0)
        .spawn()
}

/// All of a stream, kept up to a bound, so that the writer never waits.
fn read_bounded(mut stream: impl Read) -> String {
    let mut kept = Vec::new();
    let _ = stream.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut kept);
    let _ = io::copy(&mut stream, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}
