//! A drive as seen from here: something that answers requests, wherever it is.

mod remote;
mod serve;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use remote::RemoteDrive;
pub use serve::{serve_drive_tcp, serve_drive_unix};

use drive::{ChunkStore, DriveError, DriveReply, DriveRequest};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// An answer on its way.
pub type PeerFuture = Pin<Box<dyn Future<Output = Result<DriveReply, DriveError>> + Send + 'static>>;

/// Carries requests to one drive: a call in this process ([`ChunkStore`]), or over the fabric ([`RemoteDrive`]).
pub trait ChunkPeer: Send + Sync + 'static {
    /// Asks; dropping the answer does not undo what was asked.
    fn call(&self, request: DriveRequest) -> PeerFuture;
}

impl ChunkPeer for Arc<ChunkStore> {
    fn call(&self, request: DriveRequest) -> PeerFuture {
        let store = self.clone();
        Box::pin(async move { store.as_ref().call(request).await })
    }
}
