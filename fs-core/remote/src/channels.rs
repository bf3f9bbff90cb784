//! Identities of changes: a pool of channels, each with one change at a time.

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use types::{FsError, RequestId};
use vfs::FsResult;

/// Changes of one mount under way at once.
const CHANNELS: u32 = 64;

/// The channels of one mount session.
pub(crate) struct Channels {
    session: u128,
    /// Free channels with their last sequence.
    free: Mutex<Vec<(u32, u64)>>,
    room: Semaphore,
}

/// A channel for one change; free again when dropped.
pub(crate) struct Channel<'a> {
    channels: &'a Channels,
    number: u32,
    sequence: u64,
    _permit: SemaphorePermit<'a>,
}

impl Channels {
    pub(crate) fn new(session: u128) -> Channels {
        let free = Mutex::new((0..CHANNELS).map(|number| (number, 0)).collect());
        Channels { session, free, room: Semaphore::new(CHANNELS as usize) }
    }

    pub(crate) async fn take(&self) -> FsResult<Channel<'_>> {
        let permit = self.room.acquire().await.map_err(|_| FsError::Io)?;
        let (number, last) = self.free.lock().pop().ok_or(FsError::Io)?;
        Ok(Channel { channels: self, number, sequence: last + 1, _permit: permit })
    }
}

impl Channel<'_> {
    /// The identity, the same for every try.
    pub(crate) fn id(&self) -> RequestId {
        RequestId { client: self.channels.session, channel: self.number, sequence: self.sequence, step: 0 }
    }
}

impl Drop for Channel<'_> {
    fn drop(&mut self) {
        self.channels.free.lock().push((self.number, self.sequence));
    }
}
