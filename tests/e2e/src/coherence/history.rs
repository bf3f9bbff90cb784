//! What workers have done: a log of each, a line before each operation and a line after it.

use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Bytes of a block. Each is written as a whole, and holds one tag over and over.
pub(super) const BLOCK_BYTES: usize = 4096;

/// What operations are on. Each is checked for itself: linearizability is local (Herlihy and Wing 1990, theorem 1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    /// A block of a file that is never truncated.
    Block {
        /// Which file.
        file: u8,
        /// Which block.
        block: u8,
    },
    /// The size of a file that is only truncated, never twice to the same size.
    Size,
    /// Size and blocks of a file that is written and truncated in whole blocks.
    Cut,
    /// A file that is appended to.
    Log,
    /// A number that is counted up under a lock.
    Counter,
    /// The names of a folder.
    Names,
}

/// An object of a generation; the next generation has others, so that histories stay short.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) struct Object {
    /// Which generation.
    #[serde(rename = "g")]
    pub(super) generation: u32,
    /// What of it.
    #[serde(rename = "k")]
    pub(super) kind: Kind,
}

/// What is asked for. Blocks, names and lengths are counted from nought; tags are never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Act {
    Write { block: u8, tag: u64 },
    Read { block: u8 },
    Truncate { size: u64 },
    Stat,
    Append { tag: u64 },
    Add,
    Create { name: u8 },
    Unlink { name: u8 },
    Rename { from: u8, to: u8 },
    Link { number: u64, to: u8 },
    Lookup { name: u8 },
    List,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    Done,
    /// What a block holds; nothing beyond the end of the file.
    Tag(Option<u64>),
    /// A size, a counted number, the number of an inode.
    Number(u64),
    /// Names and the numbers of their inodes.
    Names(Vec<(u8, u64)>),
    /// By the number of the error.
    Failed(i32),
    /// Bytes that nobody has written so.
    Torn(String),
}

/// A line of a log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// An operation is about to begin.
    #[serde(rename = "B")]
    Began(u64, Object, Act),
    /// It has ended.
    #[serde(rename = "E")]
    Ended(u64, Outcome),
}

/// An operation; times are nanoseconds of the clock of this machine.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// Who did it: where in the list of logs.
    pub(super) worker: usize,
    pub(super) began: u64,
    /// `u64::MAX` where nobody knows.
    pub(super) ended: u64,
    pub(super) object: Object,
    pub(super) act: Act,
    /// Not known of who was killed meanwhile.
    pub(super) outcome: Option<Outcome>,
    /// Whether the daemon was killed meanwhile.
    pub(super) daemon_died: bool,
}

/// What the clock of a worker is behind that of this machine: at least and at most, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Behind {
    pub(super) least: i64,
    pub(super) most: i64,
}

impl Behind {
    pub(super) const NOTHING: Behind = Behind { least: 0, most: 0 };

    /// What is not known.
    pub(super) fn unsure(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.most - self.least).unwrap_or_default())
    }
}

/// Nanoseconds of the clock that goes on steadily, in this kernel.
pub(super) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Adds the operations in a log to `operations`.
pub(super) fn read(
    log: &Path,
    worker: usize,
    behind: Behind,
    operations: &mut Vec<Operation>,
) -> io::Result<()> {
    let text = std::fs::read_to_string(log)?;
    let mut pending: Option<Operation> = None;
    for line in text.lines() {
        // A line that was torn by a kill is that of a call that was never made, or of an end that nobody knows.
        match serde_json::from_str(line) {
            Ok(Line::Began(at, object, act)) => {
                let began = at.saturating_add_signed(behind.least);
                let next = Operation {
                    worker,
                    began,
                    ended: u64::MAX,
                    object,
                    act,
                    outcome: None,
                    daemon_died: false,
                };
                operations.extend(pending.replace(next));
            }
            Ok(Line::Ended(at, outcome)) => {
                let operation = pending.take();
                let mut operation =
                    operation.ok_or_else(|| io::Error::other("an end without a beginning"))?;
                operation.ended = at.saturating_add_signed(behind.most);
                operation.outcome = Some(outcome);
                operations.push(operation);
            }
            Err(_) => {}
        }
    }
    operations.extend(pending);
    Ok(())
}
