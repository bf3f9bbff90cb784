//! Filesystems that are being removed, as this frontend knows them: nobody finds anything of theirs any more.
//!
//! Until the command that removes one has been acknowledged, whoever asks for it waits: an answer that a crash could
//! take back must not be given.

use crate::look::read;
use crate::nodes::Held;
use crate::propose::whole;
use crate::{Frontend, Shards, ShardsView, Stripes};
use bytes::Bytes;
use map::{MapError, OrderedMap, Visit};
use namespace::queries::removal;
use namespace::{Action, keys};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::Instant;
use types::{Cred, FsError, FsId, Time};

/// Pause between two tries, and between two looks of who waits.
const PAUSE: Duration = Duration::from_millis(5);
/// Pause before a shard that did not answer is asked again.
const SILENCE: Duration = Duration::from_millis(100);
/// How long an operation waits for it to be decided whether its filesystem is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far the removal of a filesystem has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Going {
    /// It is not known yet whether it is there.
    Deciding,
    /// It is not there any more.
    Gone,
}

/// All of them. Bounded by the number of filesystems.
#[derive(Default)]
pub(crate) struct Removals {
    table: Mutex<BTreeMap<FsId, Going>>,
    /// Of these, so that nobody needs the table while it is empty.
    count: AtomicUsize,
    /// Held by who removes a filesystem.
    removing: AsyncMutex<()>,
    /// There is something to remove.
    pub(crate) more: Notify,
}

/// A filesystem that is being removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilesystemRemoval {
    /// Which.
    pub fs: FsId,
    /// The name that it had.
    pub name: String,
    /// When it lost it.
    pub since: Time,
    /// Inodes left.
    pub inodes: u64,
    /// Bytes on drives left, with headers, padding and parity.
    pub stored: u64,
}

/// Why a filesystem is not removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RemoveError {
    /// Files of it are open.
    #[error("{0} of its files are open")]
    Open(usize),
    /// Objects in it are retained.
    #[error("objects in it are retained")]
    Retained,
    /// Anything else.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Removals {
    /// Those that a former life has left.
    pub(crate) async fn recall(view: &impl ShardsView) -> Result<Removals, FsError> {
        let found = read(view, removal::removals).await?;
        let table: BTreeMap<FsId, Going> = found.into_iter().map(|(fs, _)| (fs, Going::Gone)).collect();
        let this = Removals { count: table.len().into(), table: table.into(), ..Removals::default() };
        this.more.notify_one();
        Ok(this)
    }

    fn set(&self, fs: FsId, going: Option<Going>) {
        let mut table = self.table.lock();
        match going {
            Some(going) => table.insert(fs, going),
            None => table.remove(&fs),
        };
        self.count.store(table.len(), Ordering::SeqCst);
    }

    pub(crate) fn of(&self, fs: FsId) -> Option<Going> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.table.lock().get(&fs).copied()
    }

    /// All that are gone and have something left.
    pub(crate) fn gone(&self) -> Vec<FsId> {
        let table = self.table.lock();
        table.iter().filter(|(_, going)| **going == Going::Gone).map(|(fs, _)| *fs).collect()
    }

    /// The same map without what is going, where anything is.
    pub(crate) fn hide<'a>(&'a self, map: &'a dyn OrderedMap) -> Hiding<'a> {
        let any = self.count.load(Ordering::SeqCst) > 0;
        Hiding { map, removals: any.then_some(self), undecided: Cell::new(false) }
    }

    /// Waits until it is known whether the filesystem is there.
    ///
    /// # Errors
    /// [`FsError::Stale`] when it is not, [`FsError::Delay`] when that takes too long.
    pub(crate) async fn present(&self, fs: FsId) -> Result<(), FsError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.of(fs) {
                None => return Ok(()),
                Some(Going::Gone) => return Err(FsError::Stale),
                Some(Going::Deciding) if Instant::now() > end => return Err(FsError::Delay),
                Some(Going::Deciding) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// A map in which filesystems that are going have no records.
pub(crate) struct Hiding<'a> {
    map: &'a dyn OrderedMap,
    /// `None` where there is nothing to hide.
    removals: Option<&'a Removals>,
    /// Something was asked of one that is not decided: no answer counts.
    undecided: Cell<bool>,
}

impl Hiding<'_> {
    pub(crate) fn is_undecided(&self) -> bool {
        self.undecided.get()
    }

    fn hides(&self, key: &[u8]) -> Result<bool, MapError> {
        let Some(removals) = self.removals else { return Ok(false) };
        match keys::parse_fs(key).and_then(|fs| removals.of(fs)) {
            None => Ok(false),
            Some(Going::Gone) => Ok(true),
            Some(Going::Deciding) => {
                self.undecided.set(true);
                Err(MapError::Away("a filesystem is about to be removed".to_owned()))
            }
        }
    }

    fn walk(
        &self,
        visit: &mut Visit<'_>,
        scan: impl FnOnce(&mut Visit<'_>) -> Result<(), MapError>,
    ) -> Result<(), MapError> {
        if self.removals.is_none() {
            return scan(visit);
        }
        let mut outcome = Ok(());
        scan(&mut |key, value| match self.hides(key) {
            Ok(true) => true,
            Ok(false) => visit(key, value),
            Err(error) => {
                outcome = Err(error);
                false
            }
        })?;
        outcome
    }
}

impl OrderedMap for Hiding<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        if self.hides(key)? { Ok(None) } else { self.map.get(key) }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk(visit, |visit| self.map.scan(from, to, visit))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk(visit, |visit| self.map.scan_back(from, to, visit))
    }

    fn get_under(&self, key: &[u8], guard: &[u8]) -> Result<Option<Bytes>, MapError> {
        if self.hides(key)? { Ok(None) } else { self.map.get_under(key, guard) }
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Removes a filesystem: when this comes back its name is free, nobody finds anything of it any more, also through
    /// what was opened before, and that stays so. What it takes is given back in the background.
    ///
    /// # Errors
    /// [`RemoveError::Open`] while files of it are open, unless `force`; [`RemoveError::Retained`] while something in it
    /// is, unless `retained`; [`FsError::NotFound`]; those of the shards.
    pub async fn remove_filesystem(&self, fs: FsId, force: bool, retained: bool) -> Result<(), RemoveError> {
        let this = self.clone();
        // It is decided, also when who asked goes away.
        whole(async move { Ok(this.remove_whole(fs, force, retained).await) }).await?
    }

    async fn remove_whole(&self, fs: FsId, force: bool, retained: bool) -> Result<(), RemoveError> {
        let removals = &self.0.removals;
        let _one = removals.removing.lock().await;
        if removals.of(fs).is_some() {
            return Err(FsError::NotFound.into());
        }
        removals.set(fs, Some(Going::Deciding));
        let open = self.0.opens.count_of(fs);
        if open > 0 && !force {
            removals.set(fs, None);
            return Err(RemoveError::Open(open));
        }
        if let Err(error) = self.decide(fs, retained).await {
            removals.set(fs, None);
            return Err(match error {
                FsError::NotPermitted => RemoveError::Retained,
                error => RemoveError::Fs(error),
            });
        }
        removals.set(fs, Some(Going::Gone));
        // What waits to be written nobody can read any more.
        self.0.nodes.of(fs).iter().for_each(|node: &Held| self.discard(node));
        removals.more.notify_one();
        Ok(())
    }

    /// Proposes until it is known what came of it.
    async fn decide(&self, fs: FsId, retained: bool) -> Result<(), FsError> {
        let mut may_be_done = false;
        loop {
            let action = Action::RemoveFilesystem { id: fs, retained };
            match self.propose_as(Cred::root(), FsId(0), action).await {
                Ok(_) => return Ok(()),
                Err(FsError::NotFound) if !may_be_done => return Err(FsError::NotFound),
                Err(FsError::NotFound) => return Ok(()),
                Err(error) if error != FsError::Uncertain && !may_be_done => return Err(error),
                Err(error) => {
                    tracing::warn!(fs = fs.0, %error, "it is not known whether a filesystem is removed; it is tried again");
                    may_be_done = true;
                    tokio::time::sleep(SILENCE).await;
                }
            }
        }
    }

    /// Filesystems that are being removed, and what is left of them.
    ///
    /// # Errors
    /// Those of reading the metadata.
    pub async fn removals(&self) -> Result<Vec<FilesystemRemoval>, FsError> {
        let mut all = Vec::new();
        for (fs, record) in self.past(removal::removals).await? {
            let (inodes, stored) = self.left_of(fs).await?;
            all.push(FilesystemRemoval { fs, name: record.name, since: record.since, inodes, stored });
        }
        Ok(all)
    }

    pub(crate) fn forget_removal(&self, fs: FsId) {
        self.0.removals.set(fs, None);
    }
}
