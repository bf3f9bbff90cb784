//! A FUSE mount of a test.

use crate::daemon::Daemon;
use crate::programs::program;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A FUSE mount by the command line; unmounted when dropped.
pub struct Mount {
    /// Where.
    pub at: PathBuf,
    child: Child,
    killed: bool,
}

impl Mount {
    /// Mounts the filesystem `default` of `daemon` at `at`, which is made.
    ///
    /// # Errors
    /// What the system says, or that the mount has ended at once.
    pub fn new(daemon: &Daemon, at: &Path) -> io::Result<Mount> {
        std::fs::create_dir_all(at)?;
        let mut child = Command::new(program("plexus")?)
            .args(["mount", "default"])
            .arg(at)
            .env("PLEXUS_DATA", daemon.data())
            .stdout(Stdio::piped())
            .stderr(File::create(at.with_extension("log"))?)
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let mount = Mount { at: at.to_owned(), child, killed: false };
        if line.contains("mounted") { Ok(mount) } else { Err(io::Error::other("the mount ended at once")) }
    }

    /// Has its process stand still.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// What the system says.
    pub fn resume(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// SIGKILL, and nothing else.
    ///
    /// # Errors
    /// What the system says.
    pub fn crash(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Whether its process is dead but for a thread that waits in the kernel.
    #[must_use]
    pub fn lingers(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.is_ok_and(|tasks| tasks.count() > 1)
    }

    /// SIGKILL: what a crash is to it. Whoever uses the mount gets errors; it is taken away even when somebody still
    /// uses it.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> io::Result<()> {
        // Another one may be where this one was.
        if self.killed {
            return Ok(());
        }
        self.killed = true;
        self.child.kill()?;
        // By force: a thread of it that has a name forgotten waits for who waits for its answer, and until then the
        // process does not end and the kernel does not notice.
        let _ = Command::new("umount").args(["-f", "-l"]).arg(&self.at).stderr(Stdio::null()).status();
        self.child.wait().map(|_| ())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
