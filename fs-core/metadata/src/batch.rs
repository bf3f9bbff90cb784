//! The commands of one log entry, and what became of them.

use crate::command::{Command, Kind};
use crate::{MetadataError, Refused};
use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use types::limits::COMMAND_BYTES_MAX;

/// Most commands of one entry.
pub(crate) const COMMANDS_MAX: usize = 64;

/// Commands of one entry, in the order in which they are applied. Clones share them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Batch(pub(crate) Arc<[Command]>);

/// What was answered to each command of an entry; empty for entries without commands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Replies(pub(crate) Vec<Result<Bytes, Refused>>);

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands", self.0.len())
    }
}

impl Batch {
    /// Bytes of the commands.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|c| c.len() as u64).sum()
    }

    /// `count u16, (kind u8, length u32, bytes)*`, big endian; kind 0 is the machine's, 1 a transaction's.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(2 + self.bytes() as usize + 5 * self.0.len());
        // At most COMMANDS_MAX commands of at most COMMAND_BYTES_MAX are ever put into a batch.
        out.put_u16(self.0.len() as u16);
        for command in self.0.iter() {
            out.put_u8(match command.kind {
                Kind::Machine => 0,
                Kind::Record => 1,
            });
            out.put_u32(command.len() as u32);
            out.put_slice(&command.bytes);
        }
    }

    pub(crate) fn decode(bytes: &mut Bytes) -> Result<Batch, MetadataError> {
        let damaged = |what: &str| MetadataError::Damaged(format!("a batch with {what}"));
        let count = bytes.try_get_u16().map_err(|_| damaged("no count"))?;
        if usize::from(count) > COMMANDS_MAX {
            return Err(damaged("too many commands"));
        }
        let mut commands = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let kind = match bytes.try_get_u8() {
                Ok(0) => Kind::Machine,
                Ok(1) => Kind::Record,
                _ => return Err(damaged("a command of an unknown kind")),
            };
            let length = bytes.try_get_u32().map_err(|_| damaged("no length"))? as usize;
            if length > COMMAND_BYTES_MAX || length > bytes.len() {
                return Err(damaged("a wrong length"));
            }
            commands.push(Command { kind, bytes: bytes.split_to(length) });
        }
        Ok(Batch(commands.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_batch_comes_back(
            commands in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..50)), 0..64),
        ) {
            let command = |(record, bytes): (bool, Vec<u8>)| {
                let kind = if record { Kind::Record } else { Kind::Machine };
                Command { kind, bytes: bytes.into() }
            };
            let batch = Batch(commands.into_iter().map(command).collect());
            let mut out = Vec::new();
            batch.encode(&mut out);
            let mut bytes = Bytes::from(out);
            prop_assert_eq!(Batch::decode(&mut bytes).unwrap(), batch);
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Batch::decode(&mut Bytes::from(bytes));
        }
    }
}
