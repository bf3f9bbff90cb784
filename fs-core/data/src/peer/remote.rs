//! A drive behind the fabric.

use super::wire::{self, Ask, Expected, Tell};
use super::{ChunkPeer, PeerFuture};
use drive::{DriveError, DriveRequest};
use fabric::{Address, FabricError, Link};
use std::sync::Arc;
use types::DriveId;

/// Asks a drive over the fabric. A connection that has ended is made again by the next request; until that succeeds
/// the drive is out of reach. Every request can be repeated, so one whose reply is lost does no harm.
pub struct RemoteDrive {
    drive: DriveId,
    link: Arc<Link<Ask, Tell>>,
}

impl RemoteDrive {
    /// Drive `drive` of `cluster`, which is served at `address`; nothing is connected yet.
    #[must_use]
    pub fn new(address: Address, cluster: &[u8; 16], drive: DriveId) -> RemoteDrive {
        let link = Link::new(address, wire::service(cluster, drive), wire::limits());
        RemoteDrive { drive, link: Arc::new(link) }
    }
}

impl ChunkPeer for RemoteDrive {
    /// How long to wait is for the caller to decide: the drive finishes what it has received.
    fn call(&self, request: DriveRequest) -> PeerFuture {
        let (drive, link) = (self.drive, self.link.clone());
        Box::pin(async move {
            let expected = Expected::of(&request);
            let (ask, payload) = wire::split_request(request);
            match link.call(ask, payload, None).await {
                Ok((reply, payload)) => expected.join(reply, payload),
                Err(error) => {
                    tracing::debug!(drive = drive.0, %error, "drive not asked");
                    Err(failed(error))
                }
            }
        })
    }
}

fn failed(error: FabricError) -> DriveError {
    match error {
        FabricError::Closed
        | FabricError::TimedOut
        | FabricError::Io(_)
        | FabricError::Busy
        | FabricError::Refused(_) => DriveError::Closed,
        error @ FabricError::TooLarge { .. } => DriveError::Invalid(error.to_string()),
        error @ (FabricError::Protocol(_) | FabricError::Form(_)) => DriveError::Failed(error.to_string()),
    }
}
