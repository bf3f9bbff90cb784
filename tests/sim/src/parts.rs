//! Shards and stripes in memory: the real machine over maps, and bytes in a table.

use crate::weather::{Mishap, Weather};
use bytes::Bytes;
use cluster::SlotTable;
use env::sim::SimClock;
use env::{Clock, Random, SeededRandom};
use frontend::{
    ListFrom, ListedStripe, PlacedStripe, Purpose, Room, StripeError, StripePage, Stripes, Usage, Verified,
};
use fsck::Shards;
use map::{MapError, MemoryMap};
use metadata::sim::{MemoryShard, MemoryView};
use metadata::{
    Answer, Anywhere, Locking, Member, MetadataError, Record, ShardSet, ShardSetConfig, TxId, UnderWay,
};
use namespace::Namespace;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use types::limits::BLOCK_BYTES;
use types::{FsId, GroupId, ShardId, StripeId};

/// The life of a process: what is on its way when it ends has no effect any more, and gets no answer.
#[derive(Clone, Default)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    /// A crash.
    pub fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    async fn goes_on(&self) {
        if self.0.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

/// Views that were taken earlier and are shown later: what a reader has that was stopped in between.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<BTreeMap<ShardId, (usize, MemoryView)>>>);

impl Held {
    fn view(&self, shard: ShardId) -> Option<MemoryView> {
        let mut held = self.0.lock();
        let (before, _) = held.get_mut(&shard)?;
        match before.checked_sub(1) {
            Some(fewer) => *before = fewer,
            None => return held.remove(&shard).map(|(_, view)| view),
        }
        None
    }
}

/// A shard that answers when the weather lets it.
#[derive(Clone)]
pub struct WeatheredShard {
    id: ShardId,
    held: Held,
    shard: MemoryShard,
    weather: Weather,
    life: Life,
}

fn silence() -> MetadataError {
    MetadataError::Stopped("no answer".to_owned())
}

impl WeatheredShard {
    async fn through<T>(
        &self,
        what: impl Future<Output = Result<T, MetadataError>> + Send,
    ) -> Result<T, MetadataError> {
        self.weather.wait().await;
        self.life.goes_on().await;
        if self.weather.strikes(Mishap::Command) {
            return Err(silence());
        }
        let answer = what.await?;
        self.weather.wait().await;
        self.life.goes_on().await;
        if self.weather.strikes(Mishap::Reply) { Err(silence()) } else { Ok(answer) }
    }
}

impl Member for WeatheredShard {
    type View = MemoryView;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        self.through(self.shard.submit(command)).await
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        self.through(self.shard.tell(record)).await
    }

    fn view(&self, locking: Locking) -> Result<MemoryView, MetadataError> {
        if self.weather.strikes(Mishap::Look) {
            return Err(silence());
        }
        self.held.view(self.id).map_or_else(|| self.shard.view(locking), Ok)
    }

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        self.shard.under_way().await
    }

    async fn ended(&self, tx: TxId) -> Result<(), MetadataError> {
        self.shard.ended(tx).await
    }
}

/// Shards in memory that together hold all slots; they outlive the executors that run on them.
#[derive(Clone)]
pub struct MemoryShards {
    slots: Arc<SlotTable>,
    members: BTreeMap<ShardId, MemoryShard>,
    weather: Weather,
    held: Held,
    /// Whether executors have them behind a fabric, whose delays this decides.
    far: Option<u64>,
}

/// How long a message to a shard that is far away takes at most.
const FAR: Duration = Duration::from_micros(300);

/// A shard as executors of simulations have it.
pub type SimShard = Anywhere<WeatheredShard>;

impl MemoryShards {
    /// So many empty ones in this weather.
    ///
    /// # Errors
    /// For a number of shards that cannot be.
    pub fn new(count: u16, weather: &Weather) -> Result<MemoryShards, MetadataError> {
        let slots = SlotTable::even(count).map_err(|error| MetadataError::Config(error.to_string()))?;
        let slots = Arc::new(slots);
        let shard = |id| Ok((id, MemoryShard::new(id, slots.clone(), Arc::new(Namespace))?));
        let members = slots.shards().into_iter().map(shard).collect::<Result<_, MetadataError>>()?;
        let far = None;
        Ok(MemoryShards { slots, members, weather: weather.clone(), held: Held::default(), far })
    }

    /// The same, behind a fabric in memory with delays by this seed.
    #[must_use]
    pub fn far(self, seed: u64) -> MemoryShards {
        MemoryShards { far: Some(seed), ..self }
    }

    fn seated(&self, shard: WeatheredShard) -> SimShard {
        let Some(seed) = self.far else { return Anywhere::Here(shard) };
        let random = SeededRandom::new(seed ^ u64::from(shard.id.0) << 32);
        let wait = move || FAR.mul_f64((random.next() % 1000) as f64 / 1000.0);
        Anywhere::There(metadata::sim::far_away(shard, wait))
    }

    /// The next life of their executor; the former must have ended.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn open(
        &self,
        life: &Life,
        epoch: u32,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
    ) -> Result<ShardSet<SimShard>, MetadataError> {
        let member = |(id, shard): (&ShardId, &MemoryShard)| {
            let (shard, weather, life) = (shard.clone(), self.weather.clone(), life.clone());
            (*id, self.seated(WeatheredShard { id: *id, held: self.held.clone(), shard, weather, life }))
        };
        let config = ShardSetConfig {
            slots: self.slots.clone(),
            members: self.members.iter().map(member).collect(),
            machine: Arc::new(Namespace),
            executor: 1,
            epoch,
            clock,
        };
        ShardSet::open(config, random).await
    }

    /// What recovery would make of them now; they stay as they are.
    ///
    /// # Errors
    /// When recovery fails, or leaves anything of a transaction.
    pub async fn recovered(&self) -> Result<Shards<MemoryMap>, MetadataError> {
        let copy = |(id, shard): (&ShardId, &MemoryShard)| {
            let copy = MemoryShard::over(*id, self.slots.clone(), Arc::new(Namespace), shard.stored())?;
            Ok((*id, copy))
        };
        let members = self.members.iter().map(copy).collect::<Result<BTreeMap<_, _>, MetadataError>>()?;
        let (weather, held) = (Weather::default(), Held::default());
        let copies = MemoryShards { members, weather, held, slots: self.slots.clone(), far: None };
        let random = SeededRandom::new(0);
        drop(copies.open(&Life::default(), u32::MAX, Arc::new(SimClock::new()), &random).await?);
        for shard in copies.members.values() {
            if !shard.board().now().is_empty() {
                return Err(MetadataError::Damaged("recovery has left a transaction".to_owned()));
            }
        }
        Ok(copies.as_they_are()?)
    }

    /// The shards' maps as they are stored now.
    ///
    /// # Errors
    /// None that could be: there is one for each shard.
    pub fn as_they_are(&self) -> Result<Shards<MemoryMap>, MapError> {
        let stored = |(id, shard): (&ShardId, &MemoryShard)| (*id, MemoryMap::clone(&shard.stored()));
        Shards::new(SlotTable::clone(&self.slots), self.members.iter().map(stored).collect())
    }

    /// Views of all as they are now, for [`MemoryShards::show_again`].
    ///
    /// # Errors
    /// None that could be.
    pub fn views(&self) -> Result<BTreeMap<ShardId, MemoryView>, MetadataError> {
        let view = |(id, shard): (&ShardId, &MemoryShard)| Ok((*id, shard.view(Locking::AllOthers(None))?));
        self.members.iter().map(view).collect()
    }

    /// Gives an earlier view to the one who asks each of these shards after so many others.
    pub fn show_again(&self, views: BTreeMap<ShardId, MemoryView>, after: usize) {
        *self.held.0.lock() = views.into_iter().map(|(shard, view)| (shard, (after, view))).collect();
    }

    /// One of them.
    #[must_use]
    pub fn member(&self, shard: ShardId) -> Option<&MemoryShard> {
        self.members.get(&shard)
    }
}

#[derive(Default)]
struct Table {
    stripes: BTreeMap<StripeId, Bytes>,
    used: u64,
    /// As on a drive.
    stored: u64,
    /// Those with a chunk that has to be made good.
    hurt: BTreeSet<StripeId>,
    /// Those that cannot be read now.
    away: BTreeSet<StripeId>,
    /// How many were not there when all their chunks were looked at.
    missed: u64,
}

/// What a stripe of so many bytes takes: whole blocks and a header.
fn stored(length: usize) -> u64 {
    ((length.div_ceil(BLOCK_BYTES) + 1) * BLOCK_BYTES) as u64
}

impl Table {
    /// False, and nothing changes, when it is there already.
    fn insert(&mut self, stripe: StripeId, data: Bytes) -> bool {
        if self.stripes.contains_key(&stripe) {
            return false;
        }
        self.used += data.len() as u64;
        self.stored += stored(data.len());
        self.stripes.insert(stripe, data);
        true
    }

    fn remove(&mut self, stripe: StripeId) {
        self.hurt.remove(&stripe);
        if let Some(data) = self.stripes.remove(&stripe) {
            self.used -= data.len() as u64;
            self.stored -= stored(data.len());
        }
    }
}

/// Stripes in a table, small so that tests make many.
#[derive(Clone)]
pub struct MemoryStripes {
    stripes: Arc<Mutex<Table>>,
    bytes_max: usize,
    bytes_full: usize,
    narrow: Arc<AtomicUsize>,
    total: u64,
    held_back: u64,
    room: Arc<Mutex<Room>>,
    weather: Weather,
    life: Life,
}

impl MemoryStripes {
    /// With stripes of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> MemoryStripes {
        let narrow = Arc::new(AtomicUsize::new(bytes_max));
        MemoryStripes {
            stripes: Arc::default(),
            bytes_max,
            bytes_full: BLOCK_BYTES.min(bytes_max),
            narrow,
            total: 1 << 40,
            held_back: 0,
            room: Arc::new(Mutex::new(Room::Ample)),
            weather: Weather::default(),
            life: Life::default(),
        }
    }

    /// The same stripes as one life has them.
    #[must_use]
    pub fn in_life(&self, life: &Life) -> MemoryStripes {
        MemoryStripes { life: life.clone(), ..self.clone() }
    }

    /// The same in this weather.
    #[must_use]
    pub fn in_weather(self, weather: &Weather) -> MemoryStripes {
        MemoryStripes { weather: weather.clone(), ..self }
    }

    /// The same with room for so many bytes.
    #[must_use]
    pub fn of_size(self, total: u64) -> MemoryStripes {
        MemoryStripes { total, ..self }
    }

    /// The same, holding back so much of it.
    #[must_use]
    pub fn holding_back(self, held_back: u64) -> MemoryStripes {
        MemoryStripes { held_back, ..self }
    }

    /// The same, with stripes of so many bytes worth while.
    #[must_use]
    pub fn worth_from(self, bytes_full: usize) -> MemoryStripes {
        MemoryStripes { bytes_full, ..self }
    }

    /// Puts a stripe there that nobody has asked for.
    pub fn plant(&self, stripe: StripeId, data: Bytes) {
        self.stripes.lock().insert(stripe, data);
    }

    /// Loses a stripe.
    pub fn lose(&self, stripe: StripeId) {
        self.stripes.lock().remove(stripe);
    }

    /// Damages a stripe in a way that can be made good.
    pub fn hurt(&self, stripe: StripeId) {
        self.stripes.lock().hurt.insert(stripe);
    }

    /// From now on the stripe cannot be read.
    pub fn keep_away(&self, stripe: StripeId) {
        self.stripes.lock().away.insert(stripe);
    }

    /// All can be read again.
    pub fn all_are_back(&self) {
        self.stripes.lock().away.clear();
    }

    /// Stripes that are damaged.
    #[must_use]
    pub fn hurt_count(&self) -> usize {
        self.stripes.lock().hurt.len()
    }

    /// How many were not there when all their chunks were looked at: real drives count their chunks as damaged.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.stripes.lock().missed
    }

    /// From now on drives have so much room for metadata.
    pub fn set_room(&self, room: Room) {
        *self.room.lock() = room;
    }

    /// From now on takes no longer stripes than this, as when drives are away.
    pub fn narrow(&self, bytes_max: usize) {
        self.narrow.store(bytes_max, Ordering::Relaxed);
    }

    /// The stripes that exist, with their lengths.
    #[must_use]
    pub fn ids(&self) -> BTreeMap<StripeId, usize> {
        self.stripes.lock().stripes.iter().map(|(id, data)| (*id, data.len())).collect()
    }

    /// Number of stripes that exist.
    #[must_use]
    pub fn count(&self) -> usize {
        self.stripes.lock().stripes.len()
    }
}

impl Stripes for MemoryStripes {
    fn stripe_bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn stripe_bytes_full(&self) -> usize {
        self.bytes_full
    }

    fn stored_bytes(&self, bytes: u64) -> u64 {
        let longest = self.bytes_max as u64;
        let rest = (bytes % longest) as usize;
        bytes / longest * stored(self.bytes_max) + if rest == 0 { 0 } else { stored(rest) }
    }

    async fn write(
        &self,
        purpose: Purpose,
        _: FsId,
        stripe: StripeId,
        data: Bytes,
    ) -> Result<PlacedStripe, StripeError> {
        let length = u32::try_from(data.len()).map_err(|_| StripeError::Failed("too long".into()))?;
        let bytes_max = self.narrow.load(Ordering::Relaxed);
        if data.len() > bytes_max {
            return Err(StripeError::Narrow { bytes_max });
        }
        self.weather.wait().await;
        self.life.goes_on().await;
        if self.weather.strikes(Mishap::Write) {
            return Err(StripeError::Failed("a drive does not answer".into()));
        }
        let mut table = self.stripes.lock();
        let kept = match purpose {
            Purpose::Ordinary => self.held_back,
            Purpose::Promised => self.held_back / 2,
            Purpose::Essential => 0,
        };
        if table.stored + stored(data.len()) + kept > self.total {
            return Err(StripeError::NoSpace);
        }
        if !table.insert(stripe, data) {
            return Err(StripeError::Failed("a stripe is written once".into()));
        }
        Ok(PlacedStripe { stripe, group: GroupId(0), data_chunks: 1, parity_chunks: 0, cells: 1, length })
    }

    async fn read(&self, place: PlacedStripe, range: Range<u32>) -> Result<Bytes, StripeError> {
        self.weather.wait().await;
        let table = self.stripes.lock();
        let data = table.stripes.get(&place.stripe).ok_or(StripeError::Gone(place.stripe))?;
        if table.away.contains(&place.stripe) {
            return Err(StripeError::Failed("drives are away".into()));
        }
        Ok(data.slice(range.start as usize..range.end as usize))
    }

    async fn verify(&self, place: PlacedStripe) -> Result<Verified, StripeError> {
        self.weather.wait().await;
        self.life.goes_on().await;
        let mut table = self.stripes.lock();
        if !table.stripes.contains_key(&place.stripe) {
            table.missed += 1;
            return Err(StripeError::Gone(place.stripe));
        }
        if table.away.contains(&place.stripe) {
            return Ok(Verified { whole: 0, repaired: 0, away: 1 });
        }
        let repaired = u8::from(table.hurt.remove(&place.stripe));
        Ok(Verified { whole: 1 - repaired, repaired, away: 0 })
    }

    async fn free(&self, places: &[PlacedStripe]) -> Vec<Result<(), StripeError>> {
        self.weather.wait().await;
        self.life.goes_on().await;
        let mut stripes = self.stripes.lock();
        let mut free = |place: &PlacedStripe| {
            if self.weather.strikes(Mishap::Free) {
                return Err(StripeError::Failed("a drive does not answer".into()));
            }
            stripes.remove(place.stripe);
            Ok(())
        };
        places.iter().map(&mut free).collect()
    }

    async fn list(&self, from: Option<ListFrom>, limit: usize) -> Result<StripePage, StripeError> {
        self.weather.wait().await;
        if self.weather.strikes(Mishap::List) {
            return Err(StripeError::Failed("a drive does not answer".into()));
        }
        let table = self.stripes.lock();
        let mut all = table.stripes.range(from.map_or(StripeId(0), |from| from.stripe)..);
        let listed = |(&stripe, data): (&StripeId, &Bytes)| ListedStripe {
            place: PlacedStripe {
                stripe,
                group: GroupId(0),
                data_chunks: 1,
                parity_chunks: 0,
                cells: 1,
                // The table only holds what `write` let in.
                length: data.len() as u32,
            },
            present: 1,
            strays: 0,
        };
        let stripes = all.by_ref().take(limit).map(listed).collect();
        let next = all.next().map(|(&stripe, _)| ListFrom { group: GroupId(0), stripe });
        Ok(StripePage { stripes, next })
    }

    fn usage(&self) -> Usage {
        let (used, stored) = {
            let table = self.stripes.lock();
            (table.used, table.stored)
        };
        let left = |used: u64| self.total.saturating_sub(used);
        let (unused, held_back) = (left(stored), self.held_back);
        Usage {
            total: self.total,
            free: left(used),
            room: unused.saturating_sub(held_back),
            unused,
            held_back,
        }
    }

    fn metadata_room(&self) -> Room {
        *self.room.lock()
    }

    async fn look_at_usage(&self) {
        self.weather.wait().await;
    }
}
