//! A machine with accounts in several slots, and shards that are slow, forgetful and late.

use bytes::Bytes;
use cluster::SlotTable;
use env::sim::SimClock;
use env::{Random, SeededRandom};
use map::{Machine, MapError, OrderedMap, OrderedMapMut};
use metadata::sim::{MemoryShard, MemoryView};
use metadata::{
    Answer, Anywhere, Board, Locking, Member, MetadataError, Record, ShardSet, ShardSetConfig, TxId, UnderWay,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use types::{ShardId, Slot};

/// Commands of the [`Ledger`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Moves money once, however often it is asked to.
    Move { client: u32, request: u64, from: Account, to: Account, amount: i64 },
    /// Adds up accounts, changing nothing.
    Sum { accounts: Vec<Account> },
    /// Reads accounts and writes them as they were, in all their slots.
    Touch { accounts: Vec<Account> },
    /// Adds money from nowhere, in one slot.
    Mint { account: Account, amount: i64 },
}

/// A slot, and an account in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Account(pub(crate) u16, pub(crate) u8);

impl Account {
    fn key(self) -> Vec<u8> {
        [&self.0.to_be_bytes()[..], b"a", &[self.1]].concat()
    }
}

fn number(map: &dyn OrderedMap, key: &[u8]) -> Result<i64, MapError> {
    let value = map.get(key)?;
    Ok(value.map_or(0, |value| i64::from_be_bytes(value.as_ref().try_into().unwrap())))
}

fn put(map: &mut dyn OrderedMapMut, key: &[u8], value: i64) {
    map.put(key, Bytes::copy_from_slice(&value.to_be_bytes()));
}

impl Command {
    pub(crate) fn encode(&self) -> Bytes {
        postcard::to_extend(self, Vec::new()).unwrap().into()
    }

    pub(crate) fn home(&self) -> Slot {
        Slot(match self {
            Command::Move { from, .. } => from.0,
            Command::Sum { accounts } | Command::Touch { accounts } => accounts[0].0,
            Command::Mint { account, .. } => account.0,
        })
    }
}

/// Replies with a number: the sum, or what is left in the account that was taken from; -1 for too little.
pub(crate) struct Ledger;

impl Machine for Ledger {
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError> {
        let reply = match postcard::from_bytes(command).unwrap() {
            Command::Sum { accounts } => {
                let sums: Result<Vec<i64>, _> = accounts.iter().map(|a| number(map, &a.key())).collect();
                sums?.iter().sum()
            }
            Command::Touch { accounts } => {
                for account in &accounts {
                    let sum = number(map, &account.key())?;
                    put(map, &account.key(), sum);
                }
                0
            }
            Command::Mint { account, amount } => {
                let sum = number(map, &account.key())? + amount;
                put(map, &account.key(), sum);
                sum
            }
            Command::Move { client, request, from, to, amount } => {
                // The last request and its reply, eight bytes each.
                let last = [&from.0.to_be_bytes()[..], b"r", &client.to_be_bytes()].concat();
                if let Some(value) = map.get(&last)?
                    && value[..8] >= request.to_be_bytes()[..]
                {
                    // To an older one nobody listens any more.
                    return Ok(value.slice(8..));
                }
                let left = number(map, &from.key())? - amount;
                let reply: i64 = if left < 0 { -1 } else { left };
                if reply >= 0 {
                    put(map, &from.key(), left);
                    let sum = number(map, &to.key())? + amount;
                    put(map, &to.key(), sum);
                }
                let record = [request.to_be_bytes(), reply.to_be_bytes()].concat();
                map.put(&last, record.into());
                reply
            }
        };
        Ok(Bytes::copy_from_slice(&reply.to_be_bytes()))
    }
}

pub(crate) fn reply(bytes: &Bytes) -> i64 {
    i64::from_be_bytes(bytes.as_ref().try_into().unwrap())
}

/// What goes wrong between executors and shards, in percent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trouble {
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) doubled: u64,
    pub(crate) unheard: u64,
}

pub(crate) struct Sky {
    pub(crate) random: SeededRandom,
    pub(crate) trouble: Mutex<Trouble>,
}

impl Sky {
    fn strikes(&self, percent: u64) -> bool {
        percent > 0 && self.random.next() % 100 < percent
    }

    async fn wait(&self) {
        match self.random.next() % 3 {
            0 => tokio::task::yield_now().await,
            _ => tokio::time::sleep(Duration::from_micros(self.random.next() % 700)).await,
        }
    }
}

/// A shard with [`Trouble`] on the way to it.
#[derive(Clone)]
pub(crate) struct Rough {
    pub(crate) shard: MemoryShard,
    pub(crate) sky: Arc<Sky>,
    /// Where its executor sees what is held, if not as it is.
    board: Option<Arc<Board>>,
    /// How long its log takes, besides.
    pub(crate) slow: Duration,
}

fn silence() -> MetadataError {
    MetadataError::Stopped("no answer".to_owned())
}

impl Member for Rough {
    type View = MemoryView;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        self.sky.wait().await;
        let trouble = *self.sky.trouble.lock();
        if self.sky.strikes(trouble.lost) {
            return Err(silence());
        }
        let reply = self.shard.submit(command).await;
        self.sky.wait().await;
        if self.sky.strikes(trouble.unheard) { Err(silence()) } else { reply }
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        let trouble = *self.sky.trouble.lock();
        self.sky.wait().await;
        if self.sky.strikes(trouble.late) || self.sky.strikes(trouble.doubled) {
            let (late, again) = (self.clone(), record.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(late.sky.random.next() % 200_000)).await;
                late.shard.tell(again).await
            });
            if !self.sky.strikes(trouble.doubled) {
                return Err(silence());
            }
        }
        if self.sky.strikes(trouble.lost) {
            return Err(silence());
        }
        if !self.slow.is_zero() {
            tokio::time::sleep(self.slow).await;
        }
        let answer = self.shard.tell(record).await;
        self.sky.wait().await;
        if self.sky.strikes(trouble.unheard) { Err(silence()) } else { answer }
    }

    fn view(&self, locking: Locking) -> Result<MemoryView, MetadataError> {
        self.shard.view(locking)
    }

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        Ok(self.shown().under_way())
    }

    async fn ended(&self, tx: TxId) -> Result<(), MetadataError> {
        self.shown().until_ended(tx).await;
        Ok(())
    }
}

impl Rough {
    fn shown(&self) -> Arc<Board> {
        self.board.clone().unwrap_or_else(|| self.shard.board())
    }
}

/// What outlives an executor.
pub(crate) struct Site {
    pub(crate) slots: Arc<SlotTable>,
    pub(crate) members: Vec<Rough>,
    pub(crate) sky: Arc<Sky>,
    epoch: u32,
    /// Whether executors have the shards behind a fabric.
    far: bool,
}

impl Site {
    pub(crate) fn new(shards: u16, seed: u64, trouble: Trouble) -> Site {
        let slots = Arc::new(SlotTable::even(shards).unwrap());
        let sky = Arc::new(Sky { random: SeededRandom::new(seed), trouble: Mutex::new(trouble) });
        let member = |shard: &ShardId| {
            let shard = MemoryShard::new(*shard, slots.clone(), Arc::new(Ledger)).unwrap();
            Rough { shard, sky: sky.clone(), board: None, slow: Duration::ZERO }
        };
        Site { members: slots.shards().iter().map(member).collect(), slots, sky, epoch: 0, far: false }
    }

    /// The same with the shards behind a fabric.
    pub(crate) fn far(self) -> Site {
        Site { far: true, ..self }
    }

    fn seated(&self, member: Rough) -> Anywhere<Rough> {
        if !self.far {
            return Anywhere::Here(member);
        }
        let sky = self.sky.clone();
        let wait = move || Duration::from_micros(sky.random.next() % 300);
        Anywhere::There(metadata::sim::far_away(member, wait))
    }

    pub(crate) fn config(&mut self) -> ShardSetConfig<Anywhere<Rough>> {
        self.epoch += 1;
        ShardSetConfig {
            slots: self.slots.clone(),
            members: self
                .slots
                .shards()
                .into_iter()
                .zip(self.members.iter().cloned().map(|member| self.seated(member)))
                .collect(),
            machine: Arc::new(Ledger),
            executor: 1,
            epoch: self.epoch,
            clock: Arc::new(SimClock::new()),
        }
    }

    /// An executor's next life; the former must have ended. Tries until the shards answer.
    pub(crate) async fn open(&mut self, asks: bool) -> ShardSet<Anywhere<Rough>> {
        loop {
            let (config, random) = (self.config(), SeededRandom::new(u64::from(self.epoch)));
            let opened = if asks {
                ShardSet::open(config, &random).await
            } else {
                metadata::sim::open_without_asking(config, &random).await
            };
            match opened {
                Ok(set) => return set,
                Err(MetadataError::Stopped(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Another executor beside the one of this site, who is always so late to see that something is free.
    pub(crate) async fn open_late(&self, by: Duration) -> ShardSet<Anywhere<Rough>> {
        let late = |member: &Rough| {
            self.seated(Rough { board: Some(member.shard.board_of_the_late(by)), ..member.clone() })
        };
        let config = ShardSetConfig {
            slots: self.slots.clone(),
            members: self.slots.shards().into_iter().zip(self.members.iter().map(late)).collect(),
            machine: Arc::new(Ledger),
            // Of those of one moment, the smaller number is older.
            executor: 0,
            epoch: 1,
            clock: Arc::new(SimClock::new()),
        };
        ShardSet::open(config, &SeededRandom::new(2)).await.unwrap()
    }

    /// The accounts as they are, with nothing under way.
    pub(crate) fn balance(&self, account: Account) -> i64 {
        let shard = &self.members[usize::from(self.slots.shard(Slot(account.0)).0)].shard;
        number(&shard.view(Locking::AllOthers(None)).unwrap(), &account.key()).unwrap()
    }

    pub(crate) fn calm(&self) {
        *self.sky.trouble.lock() = Trouble::default();
    }

    pub(crate) fn nothing_is_left(&self) {
        for member in &self.members {
            let pending = member.shard.board().now();
            assert!(pending.is_empty(), "{pending:?}");
            member.shard.restart().unwrap();
        }
    }
}
