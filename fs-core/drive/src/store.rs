//! The chunk store: what a drive does with its `chunks` file.
//!
//! Chunks are written to free units, then one commit makes data and index durable together for all
//! who wait. Nothing is ever overwritten while it counts. See docs/formats/chunks.md.

mod commit;
mod open;
mod read;
mod verify;
mod write;

use crate::chunk::{ChunkHeader, ChunkKey, Incarnation};
use crate::index::{ChunkIndex, Located};
use crate::service::{
    ChunkData, DriveError, DriveReply, DriveRequest, DriveStat, LIST_MAX, WriteChunk, Writer,
};
use crate::space::FreeSpace;
use crate::superblock::Superblock;
use commit::{Change, Commit};
use env::block::SharedBlockFile;
use env::durable::FileLock;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use types::DriveId;
use types::limits::BLOCK_BYTES;

/// Changes that wait for the next commit; more wait for their turn.
const COMMIT_QUEUE: usize = 1024;
/// Headers kept in memory, about 1 KiB each.
const HEADERS_CACHED: usize = 2048;
/// Writers whose epochs a drive remembers.
const WRITERS_MAX: usize = 1024;
/// Blocks on their way from the device, and as many to it: 64 MiB each.
const BLOCKS_IN_FLIGHT: usize = 16 * 1024;

/// The chunks of one drive. Cheap to share; [`ChunkStore::close`] it to skip checks at the next open.
pub struct ChunkStore {
    shared: Arc<Shared>,
    commits: Mutex<Option<mpsc::Sender<Commit>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    file: SharedBlockFile,
    layout: Superblock,
    state: Mutex<State>,
    headers: Mutex<HeaderCache>,
    corrupt: AtomicU64,
    errors: AtomicU64,
    /// Bounds the memory of transfers on their way, in blocks.
    reads: Semaphore,
    writes: Arc<Semaphore>,
    /// Given back after the file, when the last task that uses it has ended.
    lock: Mutex<Option<Arc<FileLock>>>,
}

struct State {
    index: Box<dyn ChunkIndex>,
    space: FreeSpace,
    /// Chunks whose data are on their way.
    writing: HashSet<ChunkKey>,
    fences: BTreeMap<u64, Fence>,
    sequence: u64,
    /// Why no more writes are taken.
    failed: Option<String>,
}

/// The newest life of a writer.
#[derive(Clone, Copy)]
struct Fence {
    epoch: u64,
    /// The journal has it.
    durable: bool,
}

impl ChunkStore {
    /// The drive's id, from the file itself.
    #[must_use]
    pub fn drive(&self) -> DriveId {
        self.shared.layout.drive
    }

    /// This life of the file.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.shared.layout.incarnation
    }

    /// Answers any request; the form in which the fabric will carry it.
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn call(&self, request: DriveRequest) -> Result<DriveReply, DriveError> {
        match request {
            DriveRequest::Write(write) => self.write(write).await.map(|()| DriveReply::Done),
            DriveRequest::Read { key, first, count } => {
                self.read(key, first, count).await.map(DriveReply::Data)
            }
            DriveRequest::Free { keys, writer } => self.free(keys, writer).await.map(|()| DriveReply::Done),
            DriveRequest::List { from, limit } => self.list(from, limit as usize).map(DriveReply::Chunks),
            DriveRequest::Stat => Ok(DriveReply::Stat(self.stat())),
            DriveRequest::Fence { writer } => self.fence(writer).await.map(|()| DriveReply::Done),
            DriveRequest::Verify { key } => self.verify(key).await.map(DriveReply::Whole),
        }
    }

    /// Writes a chunk; durable on return. Writing the same chunk again is no error.
    ///
    /// # Errors
    /// `Fenced`, `Conflict` (another chunk of the name), `Busy`, `NoSpace`, `Invalid`, `Corrupt`
    /// (data and checksums disagree), `Failed`, `Closed`.
    pub async fn write(&self, write: WriteChunk) -> Result<(), DriveError> {
        write::write(&self.shared, self.sender()?, write).await
    }

    /// Reads `count` blocks from block `first` of a chunk, verified.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Invalid` (beyond the chunk), `Failed`.
    pub async fn read(&self, key: ChunkKey, first: u16, count: u16) -> Result<ChunkData, DriveError> {
        read::read(&self.shared, key, first, count).await
    }

    /// Frees chunks; durable on return. What is not there is no error.
    ///
    /// # Errors
    /// `Fenced`, `Busy` (one is just being written: nothing was freed), `Invalid`, `Failed`, `Closed`.
    pub async fn free(&self, keys: Vec<ChunkKey>, writer: Writer) -> Result<(), DriveError> {
        write::free(&self.shared, &self.sender()?, keys, writer).await
    }

    /// Refuses older lives of the writer from now on; durable on return.
    ///
    /// # Errors
    /// `Fenced` when a newer one is known, `Failed`, `Closed`.
    pub async fn fence(&self, writer: Writer) -> Result<(), DriveError> {
        if self.shared.state.lock().hear(writer)? {
            return Ok(());
        }
        send(&self.sender()?, Change::Fence(writer)).await
    }

    /// Up to `limit` chunks in order, beginning at `from`.
    ///
    /// # Errors
    /// `Failed` when the index cannot be trusted.
    pub fn list(&self, from: ChunkKey, limit: usize) -> Result<Vec<crate::ChunkInfo>, DriveError> {
        let listed = self.shared.state.lock().index.list(from, limit.min(LIST_MAX));
        Ok(listed.into_iter().map(|located| located.info).collect())
    }

    /// Where a chunk lies in the `chunks` file: offset of its header in bytes.
    #[must_use]
    pub fn locate(&self, key: ChunkKey) -> Option<u64> {
        let located = self.shared.state.lock().index.get(&key)?;
        Some(located.unit * BLOCK_BYTES as u64)
    }

    /// Space and health.
    #[must_use]
    pub fn stat(&self) -> DriveStat {
        let state = self.shared.state.lock();
        let block = BLOCK_BYTES as u64;
        DriveStat {
            total: self.shared.data_units() * block,
            free: state.space.free() * block,
            held_back: self.shared.held_back() * block,
            longest: state.space.longest() * block,
            chunks: state.index.len() as u64,
            corrupt: self.shared.corrupt.load(Ordering::Relaxed),
            errors: self.shared.errors.load(Ordering::Relaxed),
            failed: state.failed.is_some(),
        }
    }

    /// Ends what has begun, then closes; later requests are refused.
    pub async fn close(&self) {
        drop(self.commits.lock().take());
        let committer = self.committer.lock().take();
        if let Some(committer) = committer
            && let Err(error) = committer.await
        {
            tracing::error!(%error, "the drive's committer ended badly");
        }
    }

    /// Keeps the drive's lock as long as anything of the store is at work.
    pub(crate) fn keep_lock(&self, lock: Arc<FileLock>) {
        *self.shared.lock.lock() = Some(lock);
    }

    fn sender(&self) -> Result<mpsc::Sender<Commit>, DriveError> {
        self.commits.lock().clone().ok_or(DriveError::Closed)
    }
}

/// Hands a change to the committer and waits until it is durable.
async fn send(commits: &mpsc::Sender<Commit>, change: Change) -> Result<(), DriveError> {
    let (reply, answer) = oneshot::channel();
    commits.send(Commit { change, reply }).await.map_err(|_| DriveError::Closed)?;
    answer.await.map_err(|_| DriveError::Closed)?
}

impl Shared {
    fn data_units(&self) -> u64 {
        self.layout.units - self.layout.data_at()
    }

    /// 3 % for cleaning and repair.
    fn held_back(&self) -> u64 {
        (self.data_units() * 3).div_ceil(100)
    }

    /// Counts a device error on the way.
    fn device(&self, error: env::BlockError) -> DriveError {
        self.errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(drive = self.layout.drive.0, %error, "drive");
        error.into()
    }
}

impl State {
    fn check_failed(&self) -> Result<(), DriveError> {
        self.failed.as_ref().map_or(Ok(()), |why| Err(DriveError::Failed(why.clone())))
    }

    /// Refuses an older life of a writer; remembers a newer one. Whether the journal has this life already.
    fn hear(&mut self, writer: Writer) -> Result<bool, DriveError> {
        self.check_fence(writer)?;
        match self.fences.get(&writer.id) {
            Some(known) if known.epoch == writer.epoch => return Ok(known.durable),
            None if self.fences.len() >= WRITERS_MAX => {
                return Err(DriveError::Invalid(format!("more than {WRITERS_MAX} writers")));
            }
            _ => {}
        }
        self.fences.insert(writer.id, Fence { epoch: writer.epoch, durable: false });
        Ok(false)
    }

    /// Refuses an older life of a writer, and everyone when the drive has failed.
    fn check_fence(&self, writer: Writer) -> Result<(), DriveError> {
        self.check_failed()?;
        match self.fences.get(&writer.id) {
            Some(known) if known.epoch > writer.epoch => Err(DriveError::Fenced { newest: known.epoch }),
            _ => Ok(()),
        }
    }

    fn fence_is_durable(&mut self, writer: Writer) {
        if let Some(known) = self.fences.get_mut(&writer.id) {
            known.durable |= known.epoch == writer.epoch;
        }
    }

    fn release(&mut self, chunk: &Located) {
        if !self.space.give(chunk.unit, chunk.units()) {
            // The same units free twice: the free map is wrong, and writing on could destroy chunks.
            self.failed = Some(format!("units of {:?} were free already", chunk.info.key));
            tracing::error!(chunk = ?chunk.info.key, "free map is wrong: the drive takes no more writes");
        }
    }
}

/// Headers of chunks lately written or read; oldest out first.
#[derive(Default)]
struct HeaderCache {
    headers: HashMap<ChunkKey, Arc<ChunkHeader>>,
    order: VecDeque<ChunkKey>,
}

impl HeaderCache {
    fn get(&self, key: &ChunkKey, unit: u64) -> Option<Arc<ChunkHeader>> {
        self.headers.get(key).filter(|header| header.unit == unit).cloned()
    }

    fn insert(&mut self, header: Arc<ChunkHeader>) {
        let key = header.info.key;
        if self.headers.insert(key, header).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > HEADERS_CACHED {
            if let Some(oldest) = self.order.pop_front() {
                self.headers.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, key: &ChunkKey) {
        // Its place in `order` stays until its turn comes, which bounds both.
        self.headers.remove(key);
    }
}

#[cfg(test)]
mod tests;
