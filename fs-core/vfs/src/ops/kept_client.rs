//! What is remembered of clients over restarts.

use crate::ClientId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// A head that keeps records of its clients; its number is on drives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Head {
    /// NFS.
    Nfs,
}

/// Keeps `data`, which only the head understands, until the client ends; durable with the reply, in place of what
/// was kept before. The head versions it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeepClient {
    /// The client.
    pub client: ClientId,
    /// Whose record it is.
    pub head: Head,
    /// The record, at most [`types::limits::CLIENT_RECORD_BYTES_MAX`].
    pub data: Bytes,
}

/// Asks for the records that a head has kept, in the order of clients.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptClients {
    /// Whose records.
    pub head: Head,
    /// From after this client on; `None` for the first.
    pub after: Option<ClientId>,
}

/// A part of the records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptClientsReply {
    /// Some clients and their records.
    pub clients: Vec<(ClientId, Bytes)>,
    /// Whether no others follow.
    pub end: bool,
}

/// The client has claimed what it wants of what it had before the restart. With the last client that is owed
/// anything, the time of grace ends for all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reclaimed {
    /// The client.
    pub client: ClientId,
}

/// The client will not send changes of these channels again: their replies are forgotten.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ForgetRequests {
    /// [`types::RequestId::client`].
    pub client: u128,
    /// [`types::RequestId::channel`].
    pub channels: RangeInclusive<u32>,
}
