//! What a frontend is built on: the shards of the metadata and the stripes of the data.

use bytes::Bytes;
use map::{Locked, MapError, OrderedMap, Reads};
use metadata::{Locking, Member, MetadataError, ShardSet, Views};
use std::future::Future;
use std::ops::Range;
use types::{FsId, GroupId, ShardId, Slot, StripeId};

/// The shards that hold the namespace, each some of the slots.
pub trait Shards: Send + Sync + 'static {
    /// A view of all of them.
    type View: ShardsView;

    /// See [`ShardSet::submit`].
    ///
    /// # Errors
    /// Those of [`ShardSet::submit`].
    fn submit(
        &self,
        home: Slot,
        command: Bytes,
        crosses: bool,
    ) -> impl Future<Output = Result<Bytes, MetadataError>> + Send;

    /// See [`ShardSet::view`].
    fn view(&self, locking: Locking) -> Self::View;

    /// See [`ShardSet::unlocked`].
    fn unlocked(&self, locked: Locked) -> impl Future<Output = ()> + Send;

    /// See [`ShardSet::settled`].
    fn settled(&self) -> impl Future<Output = ()> + Send;

    /// The shard of a slot.
    fn shard_of(&self, slot: Slot) -> ShardId;

    /// Slots in which a transaction is about to write, also one that was acknowledged.
    ///
    /// # Errors
    /// Those of the shards.
    fn held(&self) -> impl Future<Output = Result<Vec<Slot>, MetadataError>> + Send;
}

/// A view of all shards, each as it is when it is first asked.
pub trait ShardsView: OrderedMap + Send + Sync + Sized + 'static {
    /// How many shards were asked.
    fn asked(&self) -> usize;

    /// Asks all shards now.
    ///
    /// # Errors
    /// Those of the shards.
    fn ask_all(&self) -> impl Future<Output = Result<(), MetadataError>> + Send;

    /// See [`Views::fetch`].
    ///
    /// # Errors
    /// Those of [`Views::fetch`].
    fn fetch(&self) -> impl Future<Output = Result<(), MapError>> + Send;

    /// See [`Views::forget`].
    fn forget(&self);

    /// See [`Views::older`].
    fn older(&self, reads: Reads) -> Option<Reads>;

    /// See [`Views::again`].
    #[must_use]
    fn again(&self) -> Self;
}

impl<M: Member> Shards for ShardSet<M> {
    type View = Views<M>;

    async fn submit(&self, home: Slot, command: Bytes, crosses: bool) -> Result<Bytes, MetadataError> {
        ShardSet::submit(self, home, command, crosses).await
    }

    fn view(&self, locking: Locking) -> Views<M> {
        ShardSet::view(self, locking)
    }

    async fn unlocked(&self, locked: Locked) {
        ShardSet::unlocked(self, locked).await;
    }

    async fn settled(&self) {
        ShardSet::settled(self).await;
    }

    fn shard_of(&self, slot: Slot) -> ShardId {
        ShardSet::shard_of(self, slot)
    }

    async fn held(&self) -> Result<Vec<Slot>, MetadataError> {
        ShardSet::held(self).await
    }
}

impl<M: Member> ShardsView for Views<M> {
    fn asked(&self) -> usize {
        Views::asked(self).len()
    }

    async fn ask_all(&self) -> Result<(), MetadataError> {
        Views::ask_all(self).await
    }

    async fn fetch(&self) -> Result<(), MapError> {
        Views::fetch(self).await
    }

    fn forget(&self) {
        Views::forget(self);
    }

    fn older(&self, reads: Reads) -> Option<Reads> {
        Views::older(self, reads)
    }

    fn again(&self) -> Self {
        Views::again(self)
    }
}

/// A stripe as metadata know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlacedStripe {
    /// Which.
    pub stripe: StripeId,
    /// The row of the group table.
    pub group: GroupId,
    /// Data chunks.
    pub data_chunks: u8,
    /// Parity chunks.
    pub parity_chunks: u8,
    /// The cells of the group that hold a chunk, one bit each.
    pub cells: u32,
    /// Bytes of data.
    pub length: u32,
}

/// Where a listing of stripes goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ListFrom {
    /// The group.
    pub group: GroupId,
    /// The first stripe of it.
    pub stripe: StripeId,
}

/// A stripe that drives have chunks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedStripe {
    /// As its chunks describe it.
    pub place: PlacedStripe,
    /// The chunks that are where they belong, one bit for each index.
    pub present: u32,
    /// Chunks of it that are elsewhere.
    pub strays: u32,
}

/// A part of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StripePage {
    /// In order of group and stripe; one that was begun at several places stands there several times.
    pub stripes: Vec<ListedStripe>,
    /// Where to go on; `None` at the end.
    pub next: Option<ListFrom>,
}

/// Why stripes could not be written, read or freed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StripeError {
    /// No room.
    #[error("no space")]
    NoSpace,
    /// The stripe is not on its drives: freed meanwhile, if the extent has changed.
    #[error("stripe {0:?} is not there")]
    Gone(StripeId),
    /// Only shorter stripes can be written now, because drives are away or their free space is scattered.
    #[error("stripes of up to {bytes_max} bytes are possible now")]
    Narrow {
        /// Bytes of data; shorter than what was refused.
        bytes_max: usize,
    },
    /// Anything else; the line is for the log.
    #[error("{0}")]
    Failed(String),
}

/// What looking at all chunks of a stripe found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Chunks that were whole.
    pub whole: u8,
    /// Chunks that were damaged or not there, and were written anew.
    pub repaired: u8,
    /// Chunks whose drives do not answer now; not those that are lost for good, and made anew elsewhere.
    pub away: u8,
}

/// Capacity, net of protection, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// In all.
    pub total: u64,
    /// Unused.
    pub free: u64,
    /// Unused, in bytes on drives, as [`Stripes::stored_bytes`] counts them; a stripe that was written is not in it.
    pub room: u64,
    /// As `room`, with what drives hold back.
    pub unused: u64,
    /// What drives hold back, in bytes on them.
    pub held_back: u64,
}

/// What may be done, by the space that is left for logs and maps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Room {
    /// Nothing: a log that is full cannot go on.
    None,
    /// What frees space, or was promised.
    Freeing,
    /// What needs no new space.
    Scarce,
    /// Everything.
    Ample,
}

/// What a stripe is written for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Something that may be refused.
    Ordinary,
    /// Data that were acknowledged on the promise that they fit: may use some of what is held back.
    Promised,
    /// What makes room: may use all of it.
    Essential,
}

/// The stripes of the data plane.
pub trait Stripes: Send + Sync + 'static {
    /// Bytes of the largest stripe that is likely to be taken now.
    fn stripe_bytes_max(&self) -> usize;

    /// Bytes of the shortest stripe that has a block in each of its data chunks: shorter ones take more space
    /// than they hold.
    fn stripe_bytes_full(&self) -> usize;

    /// Bytes on drives that a run of so many bytes takes as stripes.
    fn stored_bytes(&self, bytes: u64) -> u64;

    /// Writes a stripe; durable when it comes back. `fs` is kept with it. An id is for one call.
    ///
    /// # Errors
    /// [`StripeError`]; after `Narrow` the same data may be written as several shorter stripes.
    fn write(
        &self,
        purpose: Purpose,
        fs: FsId,
        stripe: StripeId,
        data: Bytes,
    ) -> impl Future<Output = Result<PlacedStripe, StripeError>> + Send;

    /// Reads verified bytes of a stripe.
    ///
    /// # Errors
    /// [`StripeError`].
    fn read(
        &self,
        place: PlacedStripe,
        range: Range<u32>,
    ) -> impl Future<Output = Result<Bytes, StripeError>> + Send;

    /// Reads all chunks of a stripe from their devices, and writes anew what is damaged or missing.
    ///
    /// # Errors
    /// [`StripeError::Gone`] when too few chunks are left.
    fn verify(&self, place: PlacedStripe) -> impl Future<Output = Result<Verified, StripeError>> + Send;

    /// Frees stripes; one that is not there is fine. What came of each comes back in their order.
    fn free(&self, places: &[PlacedStripe]) -> impl Future<Output = Vec<Result<(), StripeError>>> + Send;

    /// Stripes that drives have chunks of, in order, from `from` or the beginning on; about as many as `limit`.
    ///
    /// # Errors
    /// [`StripeError`]: a drive cannot be asked, and nothing must be concluded.
    fn list(
        &self,
        from: Option<ListFrom>,
        limit: usize,
    ) -> impl Future<Output = Result<StripePage, StripeError>> + Send;

    /// Capacity, as of a moment ago.
    fn usage(&self) -> Usage;

    /// What the drives still take for metadata; cheap.
    fn metadata_room(&self) -> Room;

    /// Looks at the drives again, so that [`Stripes::usage`] is what it is now.
    fn look_at_usage(&self) -> impl Future<Output = ()> + Send;
}
