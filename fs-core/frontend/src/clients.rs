//! Who has something here: remembered before it gets it, owed it after a restart.

use crate::look::read;
use crate::{Frontend, Shards, ShardsView, Stripes};
use locking::{Client, Grace, Holds, ShareAccess};
use map::OrderedMap;
use namespace::Action;
use namespace::queries::client;
use namespace::records::Kept;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify};
use tokio::time::Instant;
use types::limits::{CLIENTS_MAX, COMMAND_KEYS_MAX};
use types::{Cred, FsError, FsId};
use vfs::ClientId;

/// Filesystem 0, of whose slot 0 the records of clients are.
const CLUSTER: FsId = FsId(0);
/// Changes of what is remembered that may be under way at once.
const LOCKS: usize = 64;

/// All clients that are remembered, and what they are owed.
pub(crate) struct Clients {
    table: Mutex<Table>,
    /// Of each client one change of what is remembered at a time, so that the table and the map agree.
    changing: [AsyncMutex<()>; LOCKS],
    /// Set until the time of grace is over, so that nobody needs the table afterwards.
    in_grace: AtomicBool,
    over: Notify,
}

#[derive(Default)]
struct Table {
    /// What is remembered of each.
    holds: HashMap<ClientId, Holds>,
    /// Whom we have heard of since the start.
    heard: HashSet<ClientId>,
    /// When somebody has claimed something that it was owed.
    claimed: Option<Instant>,
    grace: Grace,
}

impl Clients {
    /// With what a former life has left.
    pub(crate) async fn recall(view: &impl ShardsView) -> Result<Clients, FsError> {
        let all = |map: &dyn OrderedMap| {
            let mut holds = HashMap::new();
            client::clients(map, None, &mut |id, client| {
                holds.insert(ClientId(id), client.holds);
                true
            })?;
            Ok(holds)
        };
        let holds = read(view, all).await?;
        let grace = Grace::new(holds.iter().map(|(client, holds)| (Client(client.0), *holds)));
        Ok(Clients {
            in_grace: AtomicBool::new(!grace.is_over()),
            table: Mutex::new(Table { holds, heard: HashSet::new(), claimed: None, grace }),
            changing: [const { AsyncMutex::const_new(()) }; LOCKS],
            over: Notify::new(),
        })
    }

    /// Held by who changes what is remembered of the client.
    async fn changing(&self, client: ClientId) -> AsyncMutexGuard<'_, ()> {
        // Clients differ in their low bits, be they drawn at random or counted.
        self.changing[client.0 as usize % LOCKS].lock().await
    }

    /// A claim has to be of somebody who is owed something; everything else must not be in a claim's way.
    fn may(&self, client: ClientId, reclaim: bool, delays: impl Fn(&Grace) -> bool) -> Result<(), FsError> {
        if !self.in_grace.load(Ordering::Acquire) {
            return if reclaim { Err(FsError::NoGrace) } else { Ok(()) };
        }
        let mut table = self.table.lock();
        match reclaim {
            true if table.grace.owes(Client(client.0)) => {
                table.claimed = Some(Instant::now());
                Ok(())
            }
            true => Err(FsError::NoGrace),
            false if delays(&table.grace) => Err(FsError::Grace),
            false => Ok(()),
        }
    }

    pub(crate) fn may_open(&self, client: ClientId, reclaim: bool, deny: ShareAccess) -> Result<(), FsError> {
        self.may(client, reclaim, |grace| grace.delays_open(deny))
    }

    pub(crate) fn may_lock(&self, client: ClientId, reclaim: bool) -> Result<(), FsError> {
        self.may(client, reclaim, Grace::delays_locks)
    }

    /// Reading or writing without an open.
    pub(crate) fn may_use(&self, client: ClientId) -> Result<(), FsError> {
        self.may(client, false, |grace| grace.delays_use(Client(client.0)))
    }

    /// Whether inodes without a name may be claimed yet.
    pub(crate) fn keep_orphans(&self) -> bool {
        self.in_grace.load(Ordering::Acquire) && self.table.lock().grace.keeps_orphans()
    }

    /// What a client is going to have that it is not known for yet.
    fn new_holds(&self, client: ClientId, gets: Holds) -> Result<Option<Holds>, FsError> {
        let mut table = self.table.lock();
        if self.in_grace.load(Ordering::Acquire) {
            table.heard.insert(client);
        }
        let known = table.holds.get(&client).copied();
        if known.is_none() && table.holds.len() >= CLIENTS_MAX {
            return Err(FsError::Delay);
        }
        let all = known.unwrap_or_default().and(gets);
        Ok((known != Some(all)).then_some(all))
    }

    /// Whether somebody may still claim what it had.
    pub(crate) fn in_grace(&self) -> bool {
        self.in_grace.load(Ordering::Acquire)
    }

    /// Whether the client may still claim what it had.
    pub(crate) fn owes(&self, client: ClientId) -> bool {
        self.table.lock().grace.owes(Client(client.0))
    }

    /// Waits for the end of the time of grace.
    pub(crate) async fn grace_is_over(&self) {
        let over = self.over.notified();
        tokio::pin!(over);
        over.as_mut().enable();
        if self.in_grace.load(Ordering::Acquire) {
            over.await;
        }
    }

    /// When somebody has last claimed something that it was owed.
    pub(crate) fn claimed(&self) -> Option<Instant> {
        self.table.lock().claimed
    }

    /// Ends the claims of a client. Says whether the time of grace is over with it.
    fn settle(&self, client: ClientId) -> bool {
        let mut table = self.table.lock();
        let over = table.grace.settle(Client(client.0));
        if over {
            self.in_grace.store(false, Ordering::Release);
            self.over.notify_waiters();
        }
        over
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Before a client gets something: durable when it comes back.
    pub(crate) async fn note_holds(&self, client: ClientId, gets: Holds) -> Result<(), FsError> {
        let clients = &self.0.clients;
        if client == ClientId(0) || clients.new_holds(client, gets)?.is_none() {
            return Ok(());
        }
        self.0.forgetting.settled(client.0, u32::MAX).await?;
        let _one = clients.changing(client).await;
        let Some(all) = clients.new_holds(client, gets)? else { return Ok(()) };
        let action = Action::KeepClient { client: client.0, holds: Some(all), kept: None };
        self.propose_as(Cred::root(), CLUSTER, action).await?;
        clients.table.lock().holds.insert(client, all);
        Ok(())
    }

    pub(crate) async fn keep_client(&self, client: ClientId, kept: Kept) -> Result<(), FsError> {
        let clients = &self.0.clients;
        self.0.forgetting.settled(client.0, u32::MAX).await?;
        let _one = clients.changing(client).await;
        clients.new_holds(client, Holds::NOTHING)?;
        let action = Action::KeepClient { client: client.0, holds: None, kept: Some(kept) };
        self.propose_as(Cred::root(), CLUSTER, action).await?;
        clients.table.lock().holds.entry(client).or_default();
        Ok(())
    }

    /// The client can claim nothing after a restart. Says whether anything was remembered of it; then it is, until its
    /// replies are forgotten, that it has ended.
    pub(crate) async fn end_remembered(&self, client: ClientId) -> Result<bool, FsError> {
        let clients = &self.0.clients;
        let _one = clients.changing(client).await;
        let remembered = clients.table.lock().holds.contains_key(&client);
        if remembered {
            let action = Action::EndClients { clients: vec![client.0] };
            self.propose_as(Cred::root(), CLUSTER, action).await?;
            clients.table.lock().holds.remove(&client);
        }
        Ok(remembered)
    }

    /// The client claims nothing more.
    pub(crate) fn settle_client(&self, client: ClientId) {
        if self.0.clients.settle(client) {
            tracing::info!("every client has reclaimed what it had");
        }
    }

    /// Whoever has not come back can claim nothing any more, also not after a crash at any moment of this: first it is
    /// written down, then others may have what it had.
    pub(crate) async fn end_grace(&self) -> Result<(), FsError> {
        let clients = &self.0.clients;
        let mut all = Vec::with_capacity(LOCKS);
        for lock in &clients.changing {
            all.push(lock.lock().await);
        }
        let late: Vec<ClientId> =
            clients.table.lock().grace.owed().map(|client| ClientId(client.0)).collect();
        for part in late.chunks(COMMAND_KEYS_MAX) {
            // Who has come back and was too slow has what it has reclaimed by now.
            let gone: Vec<u128> = {
                let heard = &clients.table.lock().heard;
                part.iter().filter(|client| !heard.contains(client)).map(|client| client.0).collect()
            };
            tracing::warn!(late = part.len(), gone = gone.len(), "clients have not reclaimed in time");
            let action = Action::DisownClients { clients: gone.clone() };
            self.propose_as(Cred::root(), CLUSTER, action).await?;
            let mut table = clients.table.lock();
            table.holds.extend(gone.into_iter().map(|client| (ClientId(client), Holds::NOTHING)));
        }
        for client in late {
            self.settle_client(client);
        }
        Ok(())
    }
}
