//! Names and ages of transactions.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Names one try of a transaction; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TxId {
    /// Who runs it; a number that lives as long as the cluster.
    pub executor: u32,
    /// Which life of the executor.
    pub epoch: u32,
    /// Counted by the executor in this life.
    pub number: u64,
}

impl TxId {
    /// Bytes of the id in keys.
    pub const BYTES: usize = 16;

    /// As a number: executor, epoch, number from the top.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        (self.executor as u128) << 96 | (self.epoch as u128) << 64 | self.number as u128
    }

    /// What [`TxId::as_u128`] gave.
    #[must_use]
    pub const fn from_u128(id: u128) -> TxId {
        TxId { executor: (id >> 96) as u32, epoch: (id >> 64) as u32, number: id as u64 }
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.executor, self.epoch, self.number)
    }
}

/// When an operation was first tried; all its tries have the same. The smaller one goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Age {
    /// Microseconds since 1970 on the executor's clock. Clocks that differ cost fairness, nothing else.
    pub born: u64,
    /// The executor.
    pub executor: u32,
    /// Its number for the operation.
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number_and_back() {
        let id = TxId { executor: 7, epoch: u32::MAX, number: u64::MAX - 1 };
        assert_eq!(TxId::from_u128(id.as_u128()), id);
        assert!(TxId { number: 0, epoch: 3, ..id } < TxId { number: 9, epoch: 3, ..id });
    }
}
