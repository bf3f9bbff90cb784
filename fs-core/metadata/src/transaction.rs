//! Transactions over shards: a command that needs several runs in all of them, or in none.
//!
//! An **executor** runs the machine's command over views of all shards, and sees what it reads and writes in each.
//! In every other shard than the command's home it asks to **prepare** that: the shard sees that the reads still
//! hold, stores the writes and locks all of it. Then it asks the home shard, the **coordinator**, to **commit**:
//! that one runs the command anew on its own map, with what the others have locked, and if the command does in
//! the others what is prepared there, it takes effect here and the decision is recorded, in one log entry.
//! Afterwards participants **finish** and the coordinator **forgets**.
//!
//! So the coordinator locks nothing, many may run over one busy directory, and two rounds of the log pass before
//! the caller is told. Whoever meets a lock whose executor is silent asks the coordinator to **resolve**: what
//! is not decided by then never will be. Nobody waits while it holds something an older one waits for, so that
//! there is no deadlock; a shard keeps what the oldest one waits for, so that nobody starves.

mod attempt;
mod digest;
#[cfg(test)]
mod explore;
mod foreign;
mod id;
mod plan;
mod record;

pub(crate) use attempt::{AfterCommit, AfterPrepare, Attempt};
pub use digest::{Digest, DigestKey};
pub(crate) use foreign::Foreign;
pub use id::{Age, TxId};
pub(crate) use plan::{Plan, Trial, run};
pub use record::{Answer, Commit, Holder, Prepare, Record, Rows, Write};
pub(crate) use record::{decode, encode};
