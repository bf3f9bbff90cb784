//! What is measured: each row's work, and how it is done with programs that everybody has.

use crate::BenchError;
use crate::agent::Done;
use crate::client::Client;
use crate::names::{NameWork, NamesDone};
use crate::tree::Tree;
use serde::Deserialize;
use std::path::Path;

/// Where a guest has the archive of the tree.
pub const GUEST_ARCHIVE: &str = "/tmp/tree.tar";

const MIB: u64 = 1 << 20;
const SMALL: u64 = 4096;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// One process, 1 MiB at a time, fsync at the end and in the time.
    SequentialWrite,
    /// The same file, 1 MiB at a time, nothing of it in any memory.
    ColdRead,
    /// 4 KiB anywhere in the same file, 16 at once, O_DIRECT, cold at the start.
    RandomRead,
    /// 4 KiB anywhere in a file that is there, fsync after each.
    SyncedWrite,
    /// Work on names, in so many processes.
    Names(NameWork, u32),
    /// tar -x of a tree.
    Untar,
    /// rm -rf of it.
    Remove,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Bytes of the file that is written and read.
    pub sequential_bytes: u64,
    /// Bytes of the file that is written to in 4 KiB.
    pub synced_bytes: u64,
    /// How long the 4 KiB rows go on.
    pub seconds: u64,
    /// Files of one process alone.
    pub files_alone: u64,
    /// Files of each of four processes.
    pub files_each: u64,
    /// How long stat and list are repeated.
    pub repeat_seconds: f64,
    /// Files of the tree.
    pub tree_files: u64,
}

impl Load {
    /// For numbers that are published.
    pub const FULL: Load = Load {
        sequential_bytes: 1024 * MIB,
        synced_bytes: 64 * MIB,
        seconds: 10,
        files_alone: 2000,
        files_each: 1000,
        repeat_seconds: 2.0,
        tree_files: 1500,
    };
    /// For the pass that counts: what an operation costs does not need many of them.
    pub const COUNTED: Load = Load {
        sequential_bytes: 256 * MIB,
        synced_bytes: 16 * MIB,
        seconds: 2,
        files_alone: 500,
        files_each: 250,
        repeat_seconds: 0.5,
        ..Load::FULL
    };
    /// For a look whether all of it works.
    pub const QUICK: Load = Load {
        sequential_bytes: 64 * MIB,
        synced_bytes: 8 * MIB,
        seconds: 1,
        files_alone: 200,
        files_each: 50,
        repeat_seconds: 0.2,
        tree_files: 200,
    };

    /// Bytes that a system must hold for all of it, with room for what it does not clean at once.
    #[must_use]
    pub fn space(&self) -> u64 {
        3 * self.sequential_bytes + 2 * self.synced_bytes + self.tree_files * (64 << 10) + (512 << 20)
    }

    fn files(&self, processes: u32) -> u64 {
        if processes == 1 { self.files_alone } else { self.files_each }
    }
}

/// What a row did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Operations, in the row's unit.
    pub operations: f64,
    /// In how many seconds.
    pub seconds: f64,
    /// Bytes that the user wrote, where it is about those.
    pub user_bytes: Option<u64>,
}

impl Row {
    /// All, in the order in which they must run: each leaves what later ones need.
    #[must_use]
    pub fn all() -> Vec<Row> {
        use NameWork::{Create, List, Rename, Restat, Stat, Unlink};
        let mut rows = vec![Row::SequentialWrite, Row::ColdRead, Row::RandomRead, Row::SyncedWrite];
        for processes in [1, 4] {
            let works = [Create, Stat, Restat, List, Rename, Unlink];
            rows.extend(works.map(|work| Row::Names(work, processes)));
        }
        rows.extend([Row::Untar, Row::Remove]);
        rows
    }

    /// Its head.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Row::SequentialWrite => "write, 1 MiB sequential, fsync at the end".into(),
            Row::ColdRead => "read, 1 MiB sequential, cold".into(),
            Row::RandomRead => "read, 4 KiB random, 16 deep".into(),
            Row::SyncedWrite => "write, 4 KiB random, each with fsync".into(),
            Row::Names(work, processes) => {
                let work = match work {
                    NameWork::Create => "create",
                    NameWork::Stat => "stat, after a remount",
                    NameWork::Restat => "stat, again",
                    NameWork::List => "list",
                    NameWork::Rename => "rename",
                    NameWork::Unlink => "unlink",
                };
                if processes == 1 { work.into() } else { format!("{work}, {processes} processes") }
            }
            Row::Untar => "untar".into(),
            Row::Remove => "rm -rf".into(),
        }
    }

    /// What is counted in a second.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Row::SequentialWrite | Row::ColdRead => "MiB",
            Row::RandomRead | Row::SyncedWrite => "ops",
            Row::Names(NameWork::List, _) | Row::Untar | Row::Remove => "entries",
            Row::Names(..) => "files",
        }
    }

    /// Whether everything is mounted anew, and all caches are dropped, before it.
    #[must_use]
    pub fn is_cold(self) -> bool {
        matches!(self, Row::ColdRead | Row::RandomRead | Row::Names(NameWork::Stat, _))
    }

    /// Makes what it needs, below `root`, where `client` is. Not measured.
    ///
    /// # Errors
    /// When that cannot be made.
    pub fn prepare(self, client: &mut Client, root: &Path, load: &Load) -> Result<(), BenchError> {
        match self {
            Row::SyncedWrite => {
                let file = path(root, "synced");
                let size = load.synced_bytes.to_string();
                let options = ["--rw=write", "--bs=1M", "--end_fsync=1"];
                fio(client, &file, &size, &options).map(drop)
            }
            Row::Untar => client.must(&["mkdir", "-p", &path(root, "untar")]).map(drop),
            _ => Ok(()),
        }
    }

    /// Does it, below `root`, where `client` is.
    ///
    /// # Errors
    /// When a program fails or says what is not understood.
    pub fn run(self, client: &mut Client, root: &Path, load: &Load, tree: &Tree) -> Result<Work, BenchError> {
        let (big, time) = (path(root, "sequential"), format!("--runtime={}", load.seconds));
        let big_size = load.sequential_bytes.to_string();
        match self {
            Row::SequentialWrite => {
                let done = fio(client, &big, &big_size, &["--rw=write", "--bs=1M", "--end_fsync=1"])?;
                done.write.work(MIB, true)
            }
            Row::ColdRead => fio(client, &big, &big_size, &["--rw=read", "--bs=1M"])?.read.work(MIB, false),
            Row::RandomRead => {
                let deep = ["--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=16", "--direct=1"];
                let options = [&deep[..], &["--time_based", &time]].concat();
                fio(client, &big, &big_size, &options)?.read.work(SMALL, false)
            }
            Row::SyncedWrite => {
                let (file, size) = (path(root, "synced"), load.synced_bytes.to_string());
                let options = ["--rw=randwrite", "--bs=4k", "--fsync=1", "--time_based", &time];
                fio(client, &file, &size, &options)?.write.work(SMALL, true)
            }
            Row::Names(work, processes) => names(client, root, work, processes, load),
            Row::Untar => {
                let archive = if client.is_guest() { Path::new(GUEST_ARCHIVE) } else { &tree.archive };
                let archive = archive.to_string_lossy();
                let done = client.must(&["tar", "-xf", &archive, "-C", &path(root, "untar")])?;
                Ok(tree_work(&done, tree, Some(tree.bytes)))
            }
            Row::Remove => {
                let done = client.must(&["rm", "-rf", &path(root, "untar/tree")])?;
                Ok(tree_work(&done, tree, None))
            }
        }
    }
}

fn path(root: &Path, name: &str) -> String {
    root.join(name).to_string_lossy().into_owned()
}

fn tree_work(done: &Done, tree: &Tree, user_bytes: Option<u64>) -> Work {
    Work { operations: tree.entries as f64, seconds: done.seconds, user_bytes }
}

fn names(
    client: &mut Client,
    root: &Path,
    work: NameWork,
    processes: u32,
    load: &Load,
) -> Result<Work, BenchError> {
    let agent = client.agent()?.to_string_lossy().into_owned();
    let folder = path(root, &format!("names-{processes}"));
    let (files, seconds) = (load.files(processes).to_string(), load.repeat_seconds.to_string());
    let head = [&agent, "names", work.word(), &folder, "--files", &files];
    let rest = ["--processes", &processes.to_string(), "--seconds", &seconds];
    let done = client.must(&[&head[..], &rest[..]].concat())?;
    let done: NamesDone = serde_json::from_str(&done.out)
        .map_err(|_| BenchError::Unreadable { what: "work on names", text: done.out })?;
    Ok(Work { operations: done.operations as f64, seconds: done.seconds, user_bytes: None })
}

/// What we read of fio's JSON.
#[derive(Debug, Deserialize)]
struct Fio {
    jobs: Vec<FioJob>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct FioJob {
    error: i32,
    read: FioSide,
    write: FioSide,
}

/// Milliseconds, bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
struct FioSide {
    io_bytes: u64,
    runtime: u64,
}

impl FioSide {
    fn work(self, unit: u64, writes: bool) -> Result<Work, BenchError> {
        if self.runtime == 0 || self.io_bytes == 0 {
            return Err(BenchError::Unreadable { what: "what fio did", text: format!("{self:?}") });
        }
        Ok(Work {
            operations: self.io_bytes as f64 / unit as f64,
            seconds: self.runtime as f64 / 1000.0,
            user_bytes: writes.then_some(self.io_bytes),
        })
    }
}

fn fio(client: &mut Client, file: &str, size: &str, options: &[&str]) -> Result<FioJob, BenchError> {
    let (file, size) = (format!("--filename={file}"), format!("--size={size}"));
    let always = ["fio", "--name=row", &file, &size, "--output-format=json", "--fallocate=none"];
    let done = client.must(&[&always[..], options].concat())?;
    parse_fio(&done.out)
}

/// Warnings may stand before the object.
fn parse_fio(text: &str) -> Result<FioJob, BenchError> {
    let object = text.find('{').and_then(|start| text.get(start..));
    let parsed: Option<Fio> = object.and_then(|object| serde_json::from_str(object).ok());
    let job = parsed.and_then(|fio| fio.jobs.first().copied()).filter(|job| job.error == 0);
    job.ok_or_else(|| BenchError::Unreadable {
        what: "what fio says",
        text: text.chars().take(400).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fio_says_is_read() {
        let text = "fio: a note\n{\"fio version\": \"fio-3.33\", \"jobs\": [{\"jobname\": \"row\", \"error\": 0,\
            \"read\": {\"io_bytes\": 0, \"runtime\": 0}, \"write\": {\"io_bytes\": 8192, \"runtime\": 500}}]}";
        let work = parse_fio(text).unwrap().write.work(SMALL, true).unwrap();
        assert_eq!(work, Work { operations: 2.0, seconds: 0.5, user_bytes: Some(8192) });
        assert!(parse_fio(text).unwrap().read.work(SMALL, false).is_err());
        assert!(parse_fio(&text.replace("\"error\": 0", "\"error\": 5")).is_err());
        assert!(parse_fio("fio: no such file").is_err());
    }

    #[test]
    fn files_are_made_before_they_are_used() {
        let rows = Row::all();
        let place = |row| rows.iter().position(|&other| other == row).unwrap();
        assert!(place(Row::SequentialWrite) < place(Row::ColdRead));
        assert!(place(Row::Untar) < place(Row::Remove));
        for processes in [1, 4] {
            let of = |work| place(Row::Names(work, processes));
            assert!(of(NameWork::Create) < of(NameWork::List) && of(NameWork::List) < of(NameWork::Rename));
            assert!(of(NameWork::Rename) < of(NameWork::Unlink));
        }
    }
}
