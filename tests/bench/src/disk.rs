//! Fresh ext4 disks for each system, all of them parts of one file, and what goes to them.
//!
//! The file is written once from end to end, so that writing to it allocates nothing. Loop devices over it
//! are disks that count what they are given; they pass it on with direct I/O, past the page cache.

use crate::{BenchError, processes, stop};
use std::fs::File;
use std::io::{self, Write};
use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECTOR_BYTES: u64 = 512;
const UNMOUNT_LIMIT: Duration = Duration::from_secs(20);

/// The file that all disks are parts of. Removed when dropped.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    bytes: u64,
}

impl Image {
    /// Writes it, in `folder`; `bytes` is made a multiple of 1 MiB.
    ///
    /// # Errors
    /// When there is no space; those of the machine.
    pub fn create(folder: &Path, bytes: u64) -> Result<Image, BenchError> {
        const STEP: usize = 1 << 20;
        let image = Image { path: folder.join("image"), bytes: bytes / STEP as u64 * STEP as u64 };
        let mut file = File::create(&image.path)?;
        let zeros = vec![0; STEP];
        for _ in 0..image.bytes / STEP as u64 {
            stop::check()?;
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        Ok(image)
    }

    /// Cuts it into `parts` equal disks with a new ext4 on each, mounted below `folder`.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn disks(&self, folder: &Path, parts: u64, options: &str) -> Result<Disks, BenchError> {
        let mut disks = Disks { all: Vec::new() };
        let bytes = self.bytes / parts / (1 << 20) * (1 << 20);
        for part in 0..parts {
            let device = self.attach(part * bytes, bytes)?;
            let folder = folder.join(format!("drive-{part}"));
            std::fs::create_dir_all(&folder)?;
            let disk = Disk { device, folder, options: options.to_owned(), mounted: false };
            disks.all.push(disk);
            disks.all.iter_mut().try_for_each(Disk::make)?;
        }
        Ok(disks)
    }

    fn attach(&self, offset: u64, bytes: u64) -> Result<String, BenchError> {
        let (offset, bytes, path) = (offset.to_string(), bytes.to_string(), self.path.to_string_lossy());
        let words = ["losetup", "--find", "--show", "--direct-io=on"];
        let part = ["--offset", &offset, "--sizelimit", &bytes, &path];
        Ok(processes::run_words(&[&words[..], &part[..]].concat())?.trim().to_owned())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One mounted disk.
#[derive(Debug)]
struct Disk {
    device: String,
    folder: PathBuf,
    options: String,
    mounted: bool,
}

impl Disk {
    fn make(&mut self) -> Result<(), BenchError> {
        if self.mounted {
            return Ok(());
        }
        // What mkfs leaves for later would be written while something is measured.
        let now = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
        processes::run_words(&["mkfs.ext4", "-q", "-F", "-m", "0", "-E", now, &self.device])?;
        self.mount()?;
        std::fs::remove_dir(self.folder.join("lost+found"))?;
        Ok(())
    }

    fn mount(&mut self) -> Result<(), BenchError> {
        let folder = self.folder.to_string_lossy();
        processes::run_words(&["mount", "-t", "ext4", "-o", &self.options, &self.device, &folder])?;
        self.mounted = true;
        Ok(())
    }

    fn counters(&self) -> io::Result<Traffic> {
        let name = self.device.trim_start_matches("/dev/");
        let line = std::fs::read_to_string(format!("/sys/block/{name}/stat"))?;
        parse_traffic(&line).ok_or_else(|| io::Error::other(format!("{name}: no counters in {line:?}")))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted
            && let Err(err) = unmount(&self.folder)
        {
            eprintln!("bench: {err}");
        }
        if let Err(err) = processes::run_words(&["losetup", "--detach", &self.device]) {
            eprintln!("bench: {err}");
        }
    }
}

/// The disks of one system. Unmounted and detached when dropped.
#[derive(Debug)]
pub struct Disks {
    all: Vec<Disk>,
}

impl Disks {
    /// Where they are mounted.
    #[must_use]
    pub fn folders(&self) -> Vec<&Path> {
        self.all.iter().map(|disk| disk.folder.as_path()).collect()
    }

    /// The only one, or the first.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.all.first().map_or(Path::new("/nonexistent"), |disk| &disk.folder)
    }

    /// Has everything written that the page cache owes them.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn settle(&self) -> io::Result<()> {
        for disk in &self.all {
            rustix::fs::syncfs(File::open(&disk.folder)?)?;
        }
        Ok(())
    }

    /// What was sent to all of them so far.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn traffic(&self) -> io::Result<Traffic> {
        let mut sum = Traffic::default();
        for disk in &self.all {
            let one = disk.counters()?;
            sum.bytes += one.bytes;
            sum.writes += one.writes;
            sum.flushes += one.flushes;
        }
        Ok(sum)
    }

    /// Unmounts and mounts them again.
    ///
    /// # Errors
    /// When something still uses them.
    pub fn remount(&mut self) -> Result<(), BenchError> {
        for disk in &mut self.all {
            unmount(&disk.folder)?;
            disk.mounted = false;
            disk.mount()?;
        }
        Ok(())
    }
}

/// What was sent to disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes written.
    pub bytes: u64,
    /// Write requests.
    pub writes: u64,
    /// Flushes of their caches.
    pub flushes: u64,
}

impl Sub for Traffic {
    type Output = Traffic;

    fn sub(self, before: Traffic) -> Traffic {
        Traffic {
            bytes: self.bytes.saturating_sub(before.bytes),
            writes: self.writes.saturating_sub(before.writes),
            flushes: self.flushes.saturating_sub(before.flushes),
        }
    }
}

/// Fields of /sys/block/*/stat, as the kernel's Documentation/block/stat.rst numbers them.
fn parse_traffic(line: &str) -> Option<Traffic> {
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    Some(Traffic {
        bytes: fields.get(6)? * SECTOR_BYTES,
        writes: *fields.get(4)?,
        flushes: fields.get(15).copied().unwrap_or(0),
    })
}

/// Unmounts a folder; what still holds it has 20 seconds to let go.
///
/// # Errors
/// When it does not.
pub fn unmount(folder: &Path) -> Result<(), BenchError> {
    let start = std::time::Instant::now();
    loop {
        let done = processes::run_words(&["umount", &folder.to_string_lossy()]);
        if done.is_ok() || !is_mounted(folder) {
            return Ok(());
        }
        if start.elapsed() > UNMOUNT_LIMIT {
            return done.map(|_| ());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes away what is still mounted there, though its server is gone.
///
/// # Errors
/// Those of umount.
pub fn abandon(folder: &Path) -> Result<(), BenchError> {
    if is_mounted(folder) {
        processes::run_words(&["umount", "--lazy", &folder.to_string_lossy()])?;
    }
    Ok(())
}

/// Whether something is mounted there.
#[must_use]
pub fn is_mounted(folder: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let at = folder.to_string_lossy();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(&at))
}

/// Has the kernel forget the pages, entries and inodes that it keeps of all file systems.
///
/// # Errors
/// When not root.
pub fn drop_caches() -> io::Result<()> {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_flushes_are_read_from_a_line_of_the_kernel() {
        let line = "  10 0 80 1  7 2 4096 9  0 30 40  0 0 0 0  5 6\n";
        let traffic = parse_traffic(line).unwrap();
        assert_eq!(traffic, Traffic { bytes: 4096 * 512, writes: 7, flushes: 5 });
        let before = Traffic { bytes: 512, writes: 1, flushes: 5 };
        assert_eq!(traffic - before, Traffic { bytes: 4095 * 512, writes: 6, flushes: 0 });
        assert_eq!(parse_traffic("1 2 3"), None);
    }

    #[test]
    fn what_is_mounted_is_known() {
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self")));
    }
}
