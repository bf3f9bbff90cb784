//! A drive as seen from here: something that answers requests, wherever it is.

use drive::{ChunkStore, DriveError, DriveReply, DriveRequest};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// An answer on its way.
pub type PeerFuture = Pin<Box<dyn Future<Output = Result<DriveReply, DriveError>> + Send + 'static>>;

/// Carries requests to one drive: in this process today, over the fabric later.
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
