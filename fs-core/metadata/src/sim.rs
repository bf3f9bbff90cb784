//! For simulations: a shard in memory, and what is wrong on purpose.

pub use crate::remote::slowly::far_away;

use crate::host::{Host, OfMachine, Unlocked};
use crate::{
    Answer, Board, Command, Locking, Member, MetadataError, Pending, Record, Shard, ShardConfig, ShardSet,
    ShardSetConfig, ShardView, TxId, UnderWay,
};
use bytes::Bytes;
use cluster::SlotTable;
use env::Random;
use map::{Machine, MapError, MemoryMap, OrderedMap, OrderedMapMut, Overlay, Visit, WriteSet};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use types::ShardId;

/// A shard whose commands take effect at once, and whose map is in memory. Clones are handles of the same.
#[derive(Clone)]
pub struct MemoryShard(Arc<Inner>);

struct Inner {
    id: ShardId,
    slots: Arc<SlotTable>,
    machine: Arc<dyn Machine>,
    state: Mutex<(Host, Arc<MemoryMap>)>,
    board: Arc<Board>,
}

impl MemoryShard {
    /// An empty shard.
    ///
    /// # Errors
    /// None that could be: an empty map can be read.
    pub fn new(
        id: ShardId,
        slots: Arc<SlotTable>,
        machine: Arc<dyn Machine>,
    ) -> Result<MemoryShard, MetadataError> {
        MemoryShard::over(id, slots, machine, Arc::default())
    }

    /// A shard over what [`MemoryShard::stored`] gave.
    ///
    /// # Errors
    /// When the map has what cannot be.
    pub fn over(
        id: ShardId,
        slots: Arc<SlotTable>,
        machine: Arc<dyn Machine>,
        stored: Arc<MemoryMap>,
    ) -> Result<MemoryShard, MetadataError> {
        let host = Host::load(id, slots.clone(), machine.clone(), &*stored)?;
        let board = Arc::new(Board::default());
        board.show(host.pending());
        let state = Mutex::new((host, stored));
        Ok(MemoryShard(Arc::new(Inner { id, slots, machine, state, board })))
    }

    /// The map as it is stored, with the host's own keys.
    #[must_use]
    pub fn stored(&self) -> Arc<MemoryMap> {
        self.0.state.lock().1.clone()
    }

    /// As after a crash: what is not in the map is forgotten.
    ///
    /// # Errors
    /// When the map has what cannot be.
    pub fn restart(&self) -> Result<(), MetadataError> {
        let (host, map) = &mut *self.0.state.lock();
        let again = Host::load(self.0.id, self.0.slots.clone(), self.0.machine.clone(), &**map)?;
        if again.pending() != host.pending() {
            return Err(MetadataError::Damaged("the host knows what is not in its map".to_owned()));
        }
        *host = again;
        self.0.board.show(host.pending());
        Ok(())
    }

    /// Applies one command of the log.
    ///
    /// # Errors
    /// Those of a shard.
    pub fn apply(&self, command: &Command) -> Result<Bytes, MetadataError> {
        let (host, map) = &mut *self.0.state.lock();
        let mut changes = WriteSet::default();
        let below = map.clone();
        let outcome = host.apply(&mut Overlay::new(&*below, &mut changes), command)?;
        drop(below);
        let map = Arc::make_mut(map);
        for (key, change) in changes.iter() {
            match change {
                Some(value) => map.put(key, value.clone()),
                None => map.delete(key),
            }
        }
        self.0.board.show(host.pending());
        Ok(outcome?)
    }
}

impl MemoryShard {
    /// Where it shows what transactions have under way.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        self.0.board.clone()
    }

    /// A board on which what is let go of stays for a while: for somebody who always comes late. It needs a
    /// runtime, and is kept up to date while it is there.
    #[must_use]
    pub fn board_of_the_late(&self, by: Duration) -> Arc<Board> {
        let (board, late) = (self.0.board.clone(), Arc::new(Board::default()));
        let shown = Arc::downgrade(&late);
        tokio::spawn(async move {
            let mut known = Arc::<Pending>::default();
            let mut leaving: Vec<(Instant, TxId)> = Vec::new();
            while let Some(shown) = shown.upgrade() {
                let now = board.now();
                let gone = known.prepared.keys().filter(|tx| !now.prepared.contains_key(tx));
                let new = gone.filter(|tx| leaving.iter().all(|(_, known)| known != *tx));
                leaving.extend(new.map(|tx| (Instant::now() + by, *tx)).collect::<Vec<_>>());
                leaving.retain(|(until, _)| *until > Instant::now());
                let mut all = Pending::clone(&now);
                let stays = |tx: &TxId| leaving.iter().any(|(_, leaving)| leaving == tx);
                all.prepared.extend(
                    known.prepared.iter().filter(|(tx, _)| stays(tx)).map(|(tx, held)| (*tx, held.clone())),
                );
                known = Arc::new(all);
                shown.show(&known);
                drop(shown);
                let next = leaving.iter().map(|(until, _)| *until).min();
                let moved = board.until(|pending| !std::ptr::eq(pending, &*now));
                let next = next.unwrap_or_else(|| Instant::now() + by);
                // Whichever is first.
                let _ = tokio::time::timeout_at(next, moved).await;
            }
        });
        late
    }
}

/// A view of a [`MemoryShard`].
pub struct MemoryView {
    shard: ShardId,
    map: Arc<MemoryMap>,
    pending: Arc<Pending>,
    own: Option<TxId>,
}

impl MemoryView {
    fn read<T>(&self, ask: impl FnOnce(&dyn OrderedMap) -> Result<T, MapError>) -> Result<T, MapError> {
        let below = &OfMachine(&*self.map);
        ask(&Unlocked { below, pending: &self.pending, shard: self.shard, own: self.own })
    }
}

impl OrderedMap for MemoryView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.read(|map| map.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.read(|map| map.scan(from, to, visit))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.read(|map| map.scan_back(from, to, visit))
    }
}

impl ShardView for MemoryView {}

impl Member for MemoryShard {
    type View = MemoryView;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        self.apply(&Command::of_machine(command))
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        let command = Command::of_transaction(&record);
        let command = command.ok_or(MetadataError::TooLarge(types::limits::COMMAND_BYTES_MAX + 1))?;
        Answer::decode(&self.apply(&command)?)
    }

    fn view(&self, locking: Locking) -> Result<MemoryView, MetadataError> {
        let (pending, own) = match locking {
            Locking::AllOthers(own) => (self.0.board.now(), own),
            Locking::Nobody => (Arc::default(), None),
        };
        Ok(MemoryView { shard: self.0.id, map: self.stored(), pending, own })
    }

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        Ok(self.0.board.under_way())
    }

    async fn ended(&self, tx: TxId) -> Result<(), MetadataError> {
        self.0.board.until_ended(tx).await;
        Ok(())
    }
}

/// [`Shard::open`] with a bug that tests must find: an entry is acknowledged with one home too few.
///
/// # Errors
/// Those of [`Shard::open`].
pub async fn open_acknowledging_early(config: ShardConfig) -> Result<Shard, MetadataError> {
    let needed = (config.home_count / 2).max(1);
    Shard::open_counting(config, needed).await
}

/// [`ShardSet::open`] with a bug that tests must find: what is prepared is let go of without asking what the
/// coordinator has decided.
///
/// # Errors
/// Those of [`ShardSet::open`].
pub async fn open_without_asking<M: Member>(
    config: ShardSetConfig<M>,
    random: &dyn Random,
) -> Result<ShardSet<M>, MetadataError> {
    ShardSet::open_asking(config, random, false).await
}
