//! All shards together: what holds every slot, and runs any command.

mod active;
mod execute;
mod recover;
mod views;

pub use views::Views;

use crate::{Age, DigestKey, Locking, Member, MetadataError, Refused};
use active::Active;
use bytes::Bytes;
use cluster::SlotTable;
use env::{Clock, Random};
use futures_util::future::try_join_all;
use map::{Locked, Machine};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, RwLock as AsyncRwLock};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use types::{ShardId, Slot};

/// How long a command waits for what others hold.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a view for checking waits for what others have left.
const STILL: Duration = Duration::from_secs(5);
/// Times that a command of one shard meets what others hold before it is queued by age with them.
const MEETINGS: u32 = 8;

/// What shards are put together from.
pub struct ShardSetConfig<M> {
    /// Which shard holds which slot.
    pub slots: Arc<SlotTable>,
    /// All of them, open.
    pub members: BTreeMap<ShardId, M>,
    /// What commands mean, the same as in the shards.
    pub machine: Arc<dyn Machine>,
    /// Who runs transactions here: a number of its own in the cluster.
    pub executor: u32,
    /// Which life of the executor; never again.
    pub epoch: u32,
    /// For the age of transactions.
    pub clock: Arc<dyn Clock>,
}

/// All shards, and the executor of this process for transactions over them. Clones are handles of the same; with
/// the last one its tasks end where they are, as in a crash.
pub struct ShardSet<M> {
    inner: Arc<Inner<M>>,
    tasks: Arc<Tasks>,
}

impl<M> Clone for ShardSet<M> {
    fn clone(&self) -> Self {
        ShardSet { inner: self.inner.clone(), tasks: self.tasks.clone() }
    }
}

/// Tasks that end with the last handle.
#[derive(Default)]
struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

struct Inner<M> {
    slots: Arc<SlotTable>,
    members: BTreeMap<ShardId, M>,
    machine: Arc<dyn Machine>,
    clock: Arc<dyn Clock>,
    digest_key: DigestKey,
    active: Arc<Active>,
    /// Held while a transaction is anywhere between its beginning and its end.
    still: AsyncRwLock<()>,
    /// Somebody's transaction may have to be ended for it.
    recovery: Notify,
    /// Whether recovery asks the coordinator. That it does not is a bug which tests plant.
    asks: bool,
}

impl<M: Member> ShardSet<M> {
    /// Ends what a former life of this executor has left, and serves.
    ///
    /// # Errors
    /// [`MetadataError`] when a shard is missing or does not answer.
    pub async fn open(config: ShardSetConfig<M>, random: &dyn Random) -> Result<ShardSet<M>, MetadataError> {
        Self::open_asking(config, random, true).await
    }

    pub(crate) async fn open_asking(
        config: ShardSetConfig<M>,
        random: &dyn Random,
        asks: bool,
    ) -> Result<ShardSet<M>, MetadataError> {
        let ShardSetConfig { slots, members, machine, executor, epoch, clock } = config;
        if !slots.shards().iter().eq(members.keys()) {
            return Err(MetadataError::Config("not one member for each shard of the slots".to_owned()));
        }
        let mut key = [0; 16];
        random.fill(&mut key);
        let inner = Arc::new(Inner {
            slots,
            members,
            machine,
            clock,
            digest_key: DigestKey(key),
            active: Arc::new(Active::new(executor, epoch)),
            still: AsyncRwLock::default(),
            recovery: Notify::new(),
            asks,
        });
        recover::all(&inner).await?;
        // What could not be ended is tried again.
        inner.recovery.notify_one();
        let tasks = Arc::new(Tasks::default());
        tasks.spawn(recover::run(inner.clone()));
        Ok(ShardSet { inner, tasks })
    }

    /// The shard of a slot.
    #[must_use]
    pub fn shard_of(&self, slot: Slot) -> ShardId {
        self.inner.slots.shard(slot)
    }

    /// The shards.
    pub fn members(&self) -> impl Iterator<Item = (ShardId, &M)> {
        self.inner.members.iter().map(|(id, member)| (*id, member))
    }

    /// Runs a command of the machine; when the reply comes back it is durable and every later view sees it,
    /// in all shards. `home` is the slot where the command's client is remembered; `crosses` tells that the
    /// command is likely to need other shards than that slot's. Waits for what others hold. Giving up waiting
    /// does not take the command back.
    ///
    /// # Errors
    /// [`MetadataError::TooLarge`], [`MetadataError::Refused`], [`MetadataError::Busy`]: it changed nothing. All
    /// others: it may yet take effect.
    pub async fn submit(&self, home: Slot, command: Bytes, crosses: bool) -> Result<Bytes, MetadataError> {
        let shard = self.shard_of(home);
        if !crosses || self.inner.members.len() == 1 {
            let member = self.inner.member(shard)?;
            let mut meetings = 0;
            loop {
                match member.submit(command.clone()).await {
                    Err(MetadataError::Refused(Refused::Locked(tx))) if meetings < MEETINGS => {
                        meetings += 1;
                        self.unlocked(Locked { shard, holder: tx.as_u128() }).await;
                    }
                    Err(MetadataError::Refused(Refused::Elsewhere | Refused::Locked(_))) => break,
                    outcome => return outcome,
                }
            }
        }
        self.transact(shard, command).await
    }

    /// A view of all shards, each as it is when it is first asked; [`Views::hold`] tells whether that makes a
    /// difference.
    #[must_use]
    pub fn view(&self, locking: Locking) -> Views<M> {
        Views::new(self.inner.clone(), locking)
    }

    /// Slots in which a transaction that is prepared is about to write. What was acknowledged before this is asked
    /// is in every later view, or its slots are among these.
    ///
    /// # Errors
    /// Those of the shards.
    pub async fn held(&self) -> Result<Vec<Slot>, MetadataError> {
        let under_way = try_join_all(self.inner.members.values().map(Member::under_way)).await?;
        let mut slots: Vec<Slot> = under_way.into_iter().flat_map(|it| it.written).collect();
        slots.sort_unstable();
        slots.dedup();
        Ok(slots)
    }

    /// What `open` has of all shards at one moment, at which no transaction of this executor is under way: for
    /// checking. What others have under way, or what could not be ended for some seconds, is in it as it is.
    ///
    /// # Errors
    /// Those of the shards, and of `open`.
    pub async fn still<T>(
        &self,
        open: impl Fn() -> Result<T, MetadataError> + Send,
    ) -> Result<T, MetadataError> {
        let deadline = Instant::now() + STILL;
        loop {
            // Who waits here bars new transactions: those must not wait for the slowest that is under way.
            let none = timeout(STILL / 20, self.inner.still.write()).await;
            let is_late = Instant::now() > deadline;
            if none.is_ok() || is_late {
                let mut left = false;
                for member in self.inner.members.values() {
                    left |= !member.under_way().await?.is_empty();
                }
                if !left || is_late {
                    return open();
                }
            }
            drop(none);
            self.inner.recovery.notify_one();
            tokio::time::sleep(STILL / 100).await;
        }
    }

    /// Waits until a transaction holds nothing any more in a shard, but not for ever: look again afterwards.
    pub async fn unlocked(&self, locked: Locked) {
        self.inner.unlocked(locked).await;
    }

    /// Waits until all that transactions hold now has been let go, but not for ever: what was acknowledged before is
    /// then in every view, whatever regard that has to locks.
    pub async fn settled(&self) {
        for (shard, member) in &self.inner.members {
            let Ok(under_way) = member.under_way().await else { continue };
            for (tx, _) in under_way.prepared {
                self.unlocked(Locked { shard: *shard, holder: tx.as_u128() }).await;
            }
        }
    }

    /// Ends its tasks where they are, as a crash would.
    pub fn end(&self) {
        self.tasks.0.lock().abort_all();
    }

    /// Waits until all transactions of this executor have come to an end; there must be no new ones.
    pub async fn finish(&self) {
        let _none = self.inner.still.write().await;
    }
}

impl<M: Member> Inner<M> {
    fn member(&self, shard: ShardId) -> Result<&M, MetadataError> {
        let missing = || MetadataError::Config(format!("there is no shard {}", shard.0));
        self.members.get(&shard).ok_or_else(missing)
    }

    /// The age of an operation that begins now.
    fn age(&self) -> Age {
        let now = self.clock.now();
        let born = u64::try_from(now.seconds).unwrap_or(0).saturating_mul(1_000_000);
        let (executor, number) = self.active.operation();
        Age { born: born.saturating_add(u64::from(now.nanoseconds / 1000)), executor, number }
    }

    async fn unlocked(&self, locked: Locked) {
        /// A lock that is older may be nobody's any more.
        const SILENCE: Duration = Duration::from_millis(500);
        let tx = crate::TxId::from_u128(locked.holder);
        let Ok(member) = self.member(locked.shard) else { return };
        match timeout(SILENCE, member.ended(tx)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tokio::time::sleep(SILENCE / 10).await,
            Err(_) => self.recovery.notify_one(),
        }
    }
}
