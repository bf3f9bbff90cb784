//! The end client's own identity of a change, by which a retry is recognised.

use serde::{Deserialize, Serialize};

/// Names one change of one client. A client sends the changes of a `channel` one after the other,
/// with `sequence` growing by at least one; a change is retried with the identity of its first try.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RequestId {
    /// The client instance (mount session, NFS session), unique for ever.
    pub client: u128,
    /// One of the client's ordered channels (an NFSv4.1 session slot).
    pub channel: u32,
    /// Position on the channel.
    pub sequence: u64,
    /// Which change within the request, when it makes several (the operation of a compound).
    pub step: u16,
}
