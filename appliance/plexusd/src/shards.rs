//! The frontend's shards: one Raft group that holds every slot.

use bytes::Bytes;
use metadata::{Shard, View};
use std::sync::Arc;

/// The shard of all slots. More of them, and transactions over them, come with more machines.
pub(crate) struct OneShard(pub(crate) Arc<Shard>);

impl frontend::Shards for OneShard {
    type View = View;

    async fn submit(&self, command: Bytes) -> Result<Bytes, String> {
        self.0.submit(command).await.map_err(|error| error.to_string())
    }

    fn view(&self) -> Result<View, String> {
        self.0.view().map_err(|error| error.to_string())
    }
}
