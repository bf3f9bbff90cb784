//! The frontend's stripes: those of the data plane, over all drives.

use crate::{
    ListFrom, ListedStripe, PlacedStripe, Purpose, Room, StripeError, StripePage, Stripes, Usage, Verified,
};
use bytes::Bytes;
use cluster::Scheme;
use data::{Capacity, DataError, StripeCursor, StripePlace, StripeStore};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use types::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use types::{FsId, StripeId};

/// How old what is known of the capacity may be.
const CAPACITY_PERIOD: Duration = Duration::from_millis(500);

/// Says what room logs and maps have now.
pub type AskRoom = Arc<dyn Fn() -> Room + Send + Sync>;

/// The data plane as a frontend sees it.
#[derive(Clone)]
pub struct DataPlane {
    store: StripeStore,
    room: AskRoom,
    usage: Arc<Mutex<Usage>>,
    /// Bytes on drives of stripes that were written.
    written: Arc<AtomicU64>,
    /// What was taken at most when drives were away a moment ago.
    narrow: Arc<AtomicU32>,
    /// How often drives have been asked for their capacity; held while they are.
    asks: Arc<AsyncMutex<()>>,
    asked: Arc<AtomicU64>,
}

impl DataPlane {
    /// Over `store`; keeps count of its capacity for as long as somebody holds this.
    pub async fn start(store: StripeStore, room: AskRoom) -> DataPlane {
        let usage = Arc::new(Mutex::new(usage_of(&store).await));
        let narrow = Arc::new(AtomicU32::new(u32::MAX));
        let (written, asks, asked) = (Arc::default(), Arc::default(), Arc::default());
        let plane = DataPlane { store, room, usage, written, narrow, asks, asked };
        let (weak, rest) =
            (Arc::downgrade(&plane.usage), DataPlane { usage: Arc::default(), ..plane.clone() });
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(CAPACITY_PERIOD);
            loop {
                ticks.tick().await;
                let Some(usage) = weak.upgrade() else { return };
                DataPlane { usage, ..rest.clone() }.ask().await;
                rest.narrow.store(u32::MAX, Ordering::Relaxed);
            }
        });
        plane
    }

    /// Asks the drives, once for all who want to know at the same time.
    async fn ask(&self) {
        let asked = self.asked.load(Ordering::Relaxed);
        let _one = self.asks.lock().await;
        if self.asked.load(Ordering::Relaxed) > asked {
            // By one who began after this was called, and has come to the end.
            return;
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let before = self.written.load(Ordering::Relaxed);
        let now = usage_of(&self.store).await;
        let mut usage = self.usage.lock();
        // What was written while the drives were asked may not be in their answers; it is in the next.
        let meanwhile = self.written.load(Ordering::Relaxed) - before;
        let (room, unused) = (now.room.saturating_sub(meanwhile), now.unused.saturating_sub(meanwhile));
        *usage = Usage { room, unused, ..now };
    }
}

async fn usage_of(store: &StripeStore) -> Usage {
    let Capacity { total, free, room, unused, held_back, .. } = store.capacity_now().await;
    Usage { total, free, room, unused, held_back }
}

fn placed(place: StripePlace) -> PlacedStripe {
    PlacedStripe {
        stripe: place.stripe,
        group: place.group,
        // At most 16 and 4.
        data_chunks: place.scheme.data() as u8,
        parity_chunks: place.scheme.parity() as u8,
        cells: place.cells,
        length: place.length,
    }
}

/// A stripe as the data plane knows it.
///
/// # Errors
/// [`StripeError::Failed`] for a scheme that cannot be.
pub fn stripe_place(placed: PlacedStripe) -> Result<StripePlace, StripeError> {
    let PlacedStripe { stripe, group, data_chunks, parity_chunks, cells, length } = placed;
    let scheme = Scheme::new(data_chunks, parity_chunks).map_err(|e| StripeError::Failed(e.to_string()))?;
    Ok(StripePlace { stripe, group, scheme, cells, length })
}

fn failed(stripe: StripeId, error: DataError) -> StripeError {
    match error {
        DataError::NoSpace => StripeError::NoSpace,
        DataError::Narrow { length_max } => StripeError::Narrow { bytes_max: length_max as usize },
        // Every chunk gone is what a stripe looks like that was freed since its extent was read.
        DataError::Lost(_) => StripeError::Gone(stripe),
        error => StripeError::Failed(error.to_string()),
    }
}

impl Stripes for DataPlane {
    fn stripe_bytes_max(&self) -> usize {
        self.store.stripe_bytes_max().min(self.narrow.load(Ordering::Relaxed)) as usize
    }

    fn stripe_bytes_full(&self) -> usize {
        self.store.stripe_bytes_max() as usize / CHUNK_BYTES_MAX * BLOCK_BYTES
    }

    fn stored_bytes(&self, bytes: u64) -> u64 {
        self.store.stored_bytes(bytes)
    }

    async fn write(
        &self,
        purpose: Purpose,
        _: FsId,
        stripe: StripeId,
        data: Bytes,
    ) -> Result<PlacedStripe, StripeError> {
        let purpose = match purpose {
            Purpose::Ordinary => data::Purpose::Ordinary,
            Purpose::Promised => data::Purpose::Promised,
            Purpose::Essential => data::Purpose::Essential,
        };
        let group = self.store.pick_group();
        let written = self.store.write_for(purpose, stripe, group, data).await;
        if let Ok(place) = &written {
            let mut usage = self.usage.lock();
            self.written.fetch_add(place.stored_bytes(), Ordering::Relaxed);
            usage.room = usage.room.saturating_sub(place.stored_bytes());
            usage.unused = usage.unused.saturating_sub(place.stored_bytes());
        }
        if let Err(DataError::Narrow { length_max }) = written {
            self.narrow.fetch_min(length_max.max(1), Ordering::Relaxed);
        }
        written.map(placed).map_err(|e| failed(stripe, e))
    }

    async fn read(&self, at: PlacedStripe, range: Range<u32>) -> Result<Bytes, StripeError> {
        self.store.read(&stripe_place(at)?, range).await.map_err(|e| failed(at.stripe, e))
    }

    async fn verify(&self, at: PlacedStripe) -> Result<Verified, StripeError> {
        let report = self.store.repair(&stripe_place(at)?).await.map_err(|e| failed(at.stripe, e))?;
        // A stripe has at most 20 chunks.
        let repaired = report.repaired.len() as u8;
        Ok(Verified { whole: report.whole, repaired, away: report.unread })
    }

    async fn free(&self, at: &[PlacedStripe]) -> Vec<Result<(), StripeError>> {
        let places: Vec<Result<StripePlace, StripeError>> = at.iter().map(|at| stripe_place(*at)).collect();
        let good: Vec<StripePlace> = places.iter().filter_map(|place| place.clone().ok()).collect();
        let mut freed = self.store.free_all(&good).await.into_iter();
        let mut result = |place: Result<StripePlace, StripeError>| {
            let at = place?;
            freed.next().unwrap_or(Ok(())).map_err(|error| failed(at.stripe, error))
        };
        places.into_iter().map(&mut result).collect()
    }

    async fn list(&self, from: Option<ListFrom>, limit: usize) -> Result<StripePage, StripeError> {
        let from = from.map_or(StripeCursor::START, |at| StripeCursor { group: at.group, stripe: at.stripe });
        let listing = self.store.list_stripes(from, limit).await;
        let listing = listing.map_err(|error| StripeError::Failed(error.to_string()))?;
        let listed = |listed: data::ListedStripe| {
            let data::ListedStripe { place, present, strays } = listed;
            ListedStripe { place: placed(place), present, strays }
        };
        let next = listing.next.map(|at| ListFrom { group: at.group, stripe: at.stripe });
        Ok(StripePage { stripes: listing.stripes.into_iter().map(listed).collect(), next })
    }

    fn usage(&self) -> Usage {
        *self.usage.lock()
    }

    fn metadata_room(&self) -> Room {
        (self.room)()
    }

    async fn look_at_usage(&self) {
        self.ask().await;
    }
}
