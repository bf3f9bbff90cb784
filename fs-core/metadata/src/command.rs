//! What is written into a shard's log: the machine's commands, and what transactions have to say.

use crate::transaction::Record;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Whose business the bytes of a command are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The machine's.
    Machine,
    /// A transaction's.
    Record,
}

/// An entry of a shard's log asks for this.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Command {
    pub(crate) kind: Kind,
    pub(crate) bytes: Bytes,
}

impl Command {
    /// One of the machine's.
    #[must_use]
    pub fn of_machine(bytes: Bytes) -> Command {
        Command { kind: Kind::Machine, bytes }
    }

    /// One of a transaction's; `None` where it is too large.
    #[must_use]
    pub fn of_transaction(record: &Record) -> Option<Command> {
        Some(Command { kind: Kind::Record, bytes: record.encode()? })
    }

    /// Bytes of it.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}
