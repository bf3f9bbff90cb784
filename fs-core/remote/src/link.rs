//! The way to the daemon: where it is, how the mount behaves, the present connection.

use crate::door;
use crate::wire::{self, Ask, Tell};
use bytes::Bytes;
use fabric::{Client, FabricError};
use std::path::PathBuf;
use std::time::Duration;
use types::FsId;
use vfs::ClientId;

/// Where the daemon listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// Here.
    At(fabric::Address),
    /// Where the daemon of this data folder says that it listens, looked up for each connection.
    Folder(PathBuf),
}

/// How a mount deals with its daemon.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The mount session: unique for ever, drawn at random. Opens and locks belong to [`ClientId`] of
    /// the same number.
    pub session: u128,
    /// Bytes of unstable data to keep; beyond, writers wait for a commit.
    pub retained_bytes: u64,
    /// Age at which unstable data are committed in the background.
    pub commit_after: Duration,
}

impl RemoteOptions {
    /// Sensible values for the mount session `session`.
    #[must_use]
    pub fn new(session: u128) -> RemoteOptions {
        RemoteOptions { session, retained_bytes: 64 << 20, commit_after: Duration::from_secs(2) }
    }

    /// To whom opens and locks belong.
    #[must_use]
    pub fn client(&self) -> ClientId {
        ClientId(self.session)
    }
}

/// Why there is no way to the daemon.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It does not listen, or refuses.
    #[error("cannot reach the daemon: {0}")]
    Unreachable(#[from] FabricError),
    /// What it says about where it listens cannot be read.
    #[error("cannot find the daemon: {0}")]
    Unknown(#[from] std::io::Error),
    /// It answers something else than was asked.
    #[error("the daemon answers what was not asked")]
    Confused,
}

/// One connection that has been greeted.
pub(crate) struct Greeted {
    pub(crate) client: Client<Ask, Tell>,
    /// The daemon's life.
    pub(crate) instance: u64,
    /// Whether it still has our opens and locks.
    pub(crate) known: bool,
}

pub(crate) async fn connect(
    address: &Address,
    client: ClientId,
    mounted: Option<FsId>,
) -> Result<Greeted, RemoteError> {
    let address = match address {
        Address::At(address) => address.clone(),
        Address::Folder(folder) => door::of(folder)?,
    };
    let peer: Client<Ask, Tell> = address.connect(wire::SERVICE, wire::limits()).await?;
    match peer.call(Ask::Hello { client, mounted }, Bytes::new(), None).await?.0 {
        Tell::Hello { instance, known } => Ok(Greeted { client: peer, instance, known }),
        _ => Err(RemoteError::Confused),
    }
}
