//! A machine's worth of trouble for a daemon: a disk of its own, whose power can be cut. What the file system on it has
//! not written to the device is lost with it, and the kernel gives its start another name. What was written past the file
//! system's cache and not flushed stays: such cuts are made elsewhere.
//! Needs root, mke2fs and xfs_io.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BOOT_FILE: &str = "/proc/sys/kernel/random/boot_id";
/// How long who used the disk may take to be gone.
const LEAVE_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// An ext4 file system in a file, mounted; unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    /// What the daemon takes for the name of the kernel's start.
    boot: PathBuf,
    boots: u64,
}

impl Disk {
    /// Makes one of `bytes`, sparse, in the new file `image`, with others beside it, and mounts it at `at`, which is made.
    ///
    /// # Errors
    /// What the programs say that do it.
    pub fn make(image: &Path, at: &Path, bytes: u64) -> io::Result<Disk> {
        std::fs::File::create_new(image)?.set_len(bytes)?;
        std::fs::create_dir_all(at)?;
        run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(image))?;
        let boot = image.with_extension("boot");
        let mut disk = Disk { image: image.to_owned(), at: at.to_owned(), boot, boots: 0 };
        disk.mount()?;
        Ok(disk)
    }

    /// A program that runs `daemon` as on a machine that starts anew with each cut.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn machine(&self, daemon: &Path) -> io::Result<PathBuf> {
        let script = self.image.with_extension("machine");
        let text = format!(
            "#!/bin/sh\nexec unshare -m --propagation slave sh -c 'mount --bind \"$0\" {BOOT_FILE} && exec \"$@\"' '{}' '{}' \"$@\"\n",
            self.boot.display(),
            daemon.display()
        );
        std::fs::write(&script, text)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }

    fn mount(&mut self) -> io::Result<()> {
        self.boots += 1;
        std::fs::write(&self.boot, format!("start-{}\n", self.boots))?;
        run(Command::new("mount").args(["-o", "loop,noatime"]).arg(&self.image).arg(&self.at))
    }

    /// From now on nothing reaches the disk any more, and who uses it hears of errors: who shall not hear of them must
    /// stand still before.
    ///
    /// # Errors
    /// What the program says that does it.
    pub fn cut(&self) -> io::Result<()> {
        // Also what the journal has not written yet.
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.at))
    }

    /// Power is back: the disk has what it had, once nobody uses it any more.
    ///
    /// # Errors
    /// When somebody still does, or it cannot be mounted.
    pub fn restore(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while let Err(error) = run(Command::new("umount").arg(&self.at)) {
            if begun.elapsed() > LEAVE_LIMIT {
                return Err(error);
            }
            std::thread::sleep(LOOK);
        }
        self.mount()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let done = command.output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("{}: {}", command.get_program().display(), said.trim())))
}
