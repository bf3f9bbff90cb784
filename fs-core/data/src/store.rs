//! The stripe store: writes whole stripes, reads them verified, repairs, frees, counts.

mod capacity;
mod gather;
mod list;
mod read;
mod repair;
mod write;

use crate::codec::{Cauchy, Codec};
use crate::health::{Health, Kind};
use crate::peer::ChunkPeer;
use crate::place::stored_of_run;
use crate::{DataError, StripePlace};
use bytes::Bytes;
use cluster::{Cell, CellState, ClusterMap};
use drive::{ChunkKey, DriveError, DriveReply, DriveRequest, Purpose, Writer};
use env::Random;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use types::limits::CHUNK_BYTES_MAX;
use types::{DriveId, GroupId, StripeId};

pub use capacity::Capacity;
pub use list::{ListedStripe, StripeCursor, StripeListing};
pub use repair::RepairReport;

/// A drive that does not answer within this has failed.
const DEADLINE: Duration = Duration::from_secs(30);
/// A write that does not end within this goes elsewhere.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Repairs after reads at the same time; what does not fit is found again by the scrubber.
const REPAIRS: usize = 4;

/// What a stripe store needs.
pub struct StripeStoreConfig {
    /// The map.
    pub map: ClusterMap,
    /// How to reach its drives; a drive without a peer counts as out of reach.
    pub peers: BTreeMap<DriveId, Arc<dyn ChunkPeer>>,
    /// Who writes, in which of its lives.
    pub writer: Writer,
    /// For spreading.
    pub random: Arc<dyn Random>,
}

/// Stripes over the drives of a map. Clones are the same store.
#[derive(Clone)]
pub struct StripeStore {
    inner: Arc<Inner>,
}

/// What has happened since start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Chunks found damaged or missing.
    pub found: u64,
    /// Chunks written anew in their place.
    pub repaired: u64,
    /// Reads that needed parity.
    pub reconstructed: u64,
    /// Reads that did not wait for a slow drive.
    pub hedged: u64,
    /// Stripes that were written elsewhere after a drive failed.
    pub rewritten: u64,
}

#[derive(Default)]
struct AtomicCounters {
    found: AtomicU64,
    repaired: AtomicU64,
    reconstructed: AtomicU64,
    hedged: AtomicU64,
    rewritten: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A map and the way to its drives, as of one moment.
struct View {
    map: ClusterMap,
    drives: BTreeMap<DriveId, Arc<Drive>>,
}

struct Drive {
    id: DriveId,
    peer: Arc<dyn ChunkPeer>,
    health: Health,
}

struct Inner {
    view: RwLock<Arc<View>>,
    writer: Writer,
    random: Arc<dyn Random>,
    codec: Box<dyn Codec>,
    counters: AtomicCounters,
    repairs: Arc<Semaphore>,
    /// At most [`REPAIRS`] at a time.
    repairing: Mutex<HashSet<ChunkKey>>,
    space: Mutex<capacity::Space>,
    /// As [`write::narrowest`] found it last.
    narrowest: AtomicUsize,
}

impl StripeStore {
    /// Opens the store; asks no drive anything yet.
    ///
    /// # Errors
    /// `Invalid` for a map that contradicts itself.
    pub fn open(config: StripeStoreConfig) -> Result<StripeStore, DataError> {
        let view = View::new(config.map, config.peers, None)?;
        let narrowest = AtomicUsize::new(write::narrowest(&view));
        let inner = Inner {
            view: RwLock::new(Arc::new(view)),
            writer: config.writer,
            random: config.random,
            codec: Box::new(Cauchy::default()),
            counters: AtomicCounters::default(),
            repairs: Arc::new(Semaphore::new(REPAIRS)),
            repairing: Mutex::default(),
            space: Mutex::default(),
            narrowest,
        };
        Ok(StripeStore { inner: Arc::new(inner) })
    }

    /// Takes a newer map and its peers; an older one is ignored.
    ///
    /// # Errors
    /// `Invalid` for a map that contradicts itself or belongs to another cluster.
    pub fn update(
        &self,
        map: ClusterMap,
        peers: BTreeMap<DriveId, Arc<dyn ChunkPeer>>,
    ) -> Result<(), DataError> {
        let mut view = self.inner.view.write();
        if map.cluster != view.map.cluster || map.scheme != view.map.scheme {
            return Err(DataError::Invalid("the map of another cluster".into()));
        }
        if map.epoch >= view.map.epoch {
            *view = Arc::new(View::new(map, peers, Some(&view))?);
            self.inner.narrowest.store(write::narrowest(&view), Ordering::Relaxed);
        }
        Ok(())
    }

    /// The map in use.
    #[must_use]
    pub fn map(&self) -> ClusterMap {
        self.inner.view().map.clone()
    }

    /// Bytes of the longest stripe: D MiB.
    #[must_use]
    pub fn stripe_bytes_max(&self) -> u32 {
        (self.inner.view().map.scheme.data() * CHUNK_BYTES_MAX) as u32
    }

    /// A group to write the next stripe to: of two drawn by chance the healthier, then the less busy.
    #[must_use]
    pub fn pick_group(&self) -> GroupId {
        write::pick_group(&self.inner, &[])
    }

    /// Writes a stripe of 1 byte to D MiB; all chunks are durable on return. An id is for one call:
    /// after an error use another. When a drive fails, the stripe goes to another group, or to the
    /// cells that are left with the same parity: look at the place that comes back.
    ///
    /// # Errors
    /// `NoSpace`, `Fenced`, `Narrow` (too many drives gone, or free space too scattered, for this
    /// length), `Unavailable`, `Invalid`.
    pub async fn write(&self, id: StripeId, group: GroupId, data: Bytes) -> Result<StripePlace, DataError> {
        write::write(&self.inner, id, group, data, Purpose::Ordinary).await
    }

    /// As [`StripeStore::write`], for another purpose.
    ///
    /// # Errors
    /// As [`StripeStore::write`].
    pub async fn write_for(
        &self,
        purpose: Purpose,
        id: StripeId,
        group: GroupId,
        data: Bytes,
    ) -> Result<StripePlace, DataError> {
        write::write(&self.inner, id, group, data, purpose).await
    }

    /// Bytes on the drives, as in [`Capacity::room`], that a run of so many bytes takes as stripes in the group of
    /// which most drives were away when [`StripeStore::capacity`] looked last, while free space is not in small pieces.
    #[must_use]
    pub fn stored_bytes(&self, bytes: u64) -> u64 {
        let usable = self.inner.narrowest.load(Ordering::Relaxed);
        stored_of_run(bytes, self.inner.view().map.scheme, usable)
    }

    /// Writes a run of any length as stripes, in order, each under a new id; all durable on return.
    /// Where drives are away, or free space is in small pieces, the stripes are shorter. After an
    /// error nothing of the run counts.
    ///
    /// # Errors
    /// As [`StripeStore::write`].
    pub async fn write_run(
        &self,
        next_id: impl FnMut() -> StripeId + Send,
        data: Bytes,
    ) -> Result<Vec<StripePlace>, DataError> {
        write::write_run(&self.inner, next_id, data).await
    }

    /// Reads bytes of a stripe, every block verified, around dead, slow and lying drives.
    ///
    /// # Errors
    /// `Lost`, `Unavailable`, `BadPlace`, `Invalid` (beyond the stripe).
    pub async fn read(&self, place: &StripePlace, range: Range<u32>) -> Result<Bytes, DataError> {
        read::read(&self.inner, place, range).await
    }

    /// Frees a stripe on all its drives. Fails closed: an error means that some chunks may still be
    /// there; freeing again is no error. Chunks in lost cells are gone with their drive.
    ///
    /// # Errors
    /// `Fenced`, `Unavailable`, `BadPlace`.
    pub async fn free(&self, place: &StripePlace) -> Result<(), DataError> {
        self.free_all(std::slice::from_ref(place)).await.into_iter().collect()
    }

    /// Frees many stripes with one request per drive and 512 chunks. What came of each comes back in their
    /// order, as from [`StripeStore::free`]; the chunks on drives that answer are freed in any case.
    pub async fn free_all(&self, places: &[StripePlace]) -> Vec<Result<(), DataError>> {
        write::free(&self.inner, places).await
    }

    /// Lets every drive verify its chunk of a stripe, and writes anew what is damaged or missing.
    ///
    /// # Errors
    /// `Lost`, `Unavailable`, `BadPlace`, and those of writing.
    pub async fn repair(&self, place: &StripePlace) -> Result<RepairReport, DataError> {
        repair::repair(&self.inner, place).await
    }

    /// Stripes that are on the drives, in order of group and id, for the search for orphans. Fails
    /// closed: when one drive of the map does not answer there is no listing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_stripes(&self, from: StripeCursor, limit: usize) -> Result<StripeListing, DataError> {
        list::list(&self.inner, from, limit).await
    }

    /// Space, net of protection.
    pub async fn capacity(&self) -> Capacity {
        capacity::capacity(&self.inner).await
    }

    /// As [`StripeStore::capacity`], asking the drives in any case.
    pub async fn capacity_now(&self) -> Capacity {
        capacity::capacity_now(&self.inner).await
    }

    /// What has happened since start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.inner.counters;
        Counters {
            found: get(&counters.found),
            repaired: get(&counters.repaired),
            reconstructed: get(&counters.reconstructed),
            hedged: get(&counters.hedged),
            rewritten: get(&counters.rewritten),
        }
    }
}

impl View {
    fn new(
        map: ClusterMap,
        peers: BTreeMap<DriveId, Arc<dyn ChunkPeer>>,
        before: Option<&View>,
    ) -> Result<View, DataError> {
        map.validate().map_err(|error| DataError::Invalid(error.to_string()))?;
        let known = |id: &DriveId| before.and_then(|view| view.drives.get(id));
        let mut drives = BTreeMap::new();
        for (id, peer) in peers {
            let drive = match known(&id) {
                Some(drive) if Arc::ptr_eq(&drive.peer, &peer) => drive.clone(),
                _ => Arc::new(Drive { id, peer, health: Health::default() }),
            };
            drives.insert(id, drive);
        }
        Ok(View { map, drives })
    }

    /// The drive of a cell, unless the cell is lost or the drive has no peer.
    fn drive_of(&self, cell: &Cell) -> Option<&Arc<Drive>> {
        if cell.state == CellState::Lost { None } else { self.drives.get(&cell.drive) }
    }
}

impl Inner {
    fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }
}

impl Drive {
    /// Asks the drive, measures it, and notes when it fails.
    async fn call(&self, request: DriveRequest, deadline: Duration) -> Result<DriveReply, DriveError> {
        let kind = match &request {
            DriveRequest::Read { .. } => Kind::Read,
            DriveRequest::Write(_) | DriveRequest::Free { .. } | DriveRequest::Fence { .. } => Kind::Write,
            DriveRequest::List { .. } | DriveRequest::Stat | DriveRequest::Verify { .. } => Kind::Other,
        };
        let _in_flight = self.health.begin();
        let start = Instant::now();
        let answer = match tokio::time::timeout(deadline, self.peer.call(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(DriveError::Failed("no answer in time".into())),
        };
        match &answer {
            Err(DriveError::Failed(_) | DriveError::Closed) => self.health.failed(kind),
            _ => self.health.answered(kind, start.elapsed()),
        }
        answer
    }
}

#[cfg(test)]
mod tests;
