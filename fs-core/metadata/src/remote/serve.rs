//! A shard's end of the fabric.

use super::entries::Packer;
use super::known::after;
use super::view::one;
use super::wire::{
    Ask, Failure, Found, PAGE_BYTES, PAGE_ENTRIES, ShardAsk, ShardLimits, ShardTell, Stopped, Tell,
    VIEWS_MAX, WANTS_MAX, Want, service,
};
use crate::{Locking, Member, Record};
use bytes::Bytes;
use fabric::{Handler, Peer, Token};
use map::{MapError, OrderedMap};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use types::ShardId;

/// Serves shard `shard` of `cluster` to whoever knows `token` until `shutdown`; then connections end, and what was
/// received is finished.
pub async fn serve_shard_tcp<M: Member>(
    member: M,
    (cluster, shard): (&[u8; 16], ShardId),
    listener: TcpListener,
    token: Token,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (door, service) = (Arc::new(ShardDoor::new(member)), service(cluster, shard));
    fabric::serve_tcp(listener, token, &service, door, ShardLimits::of_connection(), shutdown).await;
}

/// How long a view is kept that nobody uses.
const UNUSED_MAX: Duration = Duration::from_secs(600);
/// How often such views are looked for.
const LOOK: Duration = Duration::from_secs(60);

/// The views of one connection, each with when it was used last.
type Views<V> = HashMap<u64, (Arc<V>, Instant)>;

/// The views of all connections.
struct Table<V> {
    of: HashMap<u64, Views<V>>,
    looked: Instant,
}

/// Answers for a shard.
pub struct ShardDoor<M: Member> {
    member: M,
    table: Mutex<Table<M::View>>,
}

impl<M: Member> ShardDoor<M> {
    /// For `member`.
    #[must_use]
    pub fn new(member: M) -> ShardDoor<M> {
        let table = Table { of: HashMap::new(), looked: Instant::now() };
        ShardDoor { member, table: Mutex::new(table) }
    }

    /// The view of that number, opened where `open` says so.
    fn view(&self, peer: &Peer, number: u64, open: Option<Locking>) -> Result<Arc<M::View>, Failure> {
        let known = {
            let mut table = self.table.lock();
            let known = table.of.get_mut(&peer.connection).and_then(|views| views.get_mut(&number));
            known.map(|(view, used)| {
                *used = Instant::now();
                view.clone()
            })
        };
        match (known, open) {
            (Some(view), None) => Ok(view),
            (Some(_), Some(_)) => Err(Failure::Nonsense),
            (None, None) => Err(Failure::NoView),
            (None, Some(locking)) => {
                let view = Arc::new(self.member.view(locking)?);
                self.keep(peer, number, view.clone());
                Ok(view)
            }
        }
    }

    fn keep(&self, peer: &Peer, number: u64, view: Arc<M::View>) {
        let (now, mut gone) = (Instant::now(), Vec::new());
        let mut table = self.table.lock();
        if now - table.looked >= LOOK {
            table.looked = now;
            gone = table.unused(now);
        }
        let views = table.of.entry(peer.connection).or_default();
        if views.len() >= VIEWS_MAX {
            let oldest = views.iter().min_by_key(|(_, (_, used))| *used).map(|(number, _)| *number);
            gone.extend(oldest.and_then(|number| views.remove(&number)).map(|(view, _)| view));
        }
        views.insert(number, (view, now));
        drop(table);
        // Snapshots end outside the lock.
        drop(gone);
    }

    fn release(&self, peer: &Peer, released: &[u64]) {
        let gone: Vec<_> = {
            let mut table = self.table.lock();
            let Some(views) = table.of.get_mut(&peer.connection) else { return };
            released.iter().filter_map(|number| views.remove(number)).collect()
        };
        // Snapshots end outside the lock.
        drop(gone);
    }

    pub(crate) async fn answer(
        &self,
        peer: &Peer,
        ask: Ask,
        payload: Bytes,
    ) -> Result<(Tell, Bytes), Failure> {
        match ask {
            Ask::Submit => Ok((Tell::Reply, self.member.submit(payload).await?)),
            Ask::Tell => {
                let record = Record::decode(&payload).map_err(|_| Failure::Nonsense)?;
                Ok((Tell::Reply, self.member.tell(record).await?.encode()))
            }
            Ask::Read { view, open, wants, released } => {
                if wants.len() > WANTS_MAX || released.len() > VIEWS_MAX {
                    return Err(Failure::Nonsense);
                }
                self.release(peer, &released);
                if open.is_none() && wants.is_empty() {
                    return Ok((Tell::Read(Vec::new()), Bytes::new()));
                }
                let view = self.view(peer, view, open)?;
                Ok(read(&*view, wants))
            }
            Ask::UnderWay => Ok((Tell::UnderWay(self.member.under_way().await?), Bytes::new())),
            Ask::Ended(tx) => {
                self.member.ended(tx).await?;
                Ok((Tell::Ended, Bytes::new()))
            }
        }
    }
}

impl<M: Member> Handler<ShardAsk, ShardTell> for ShardDoor<M> {
    async fn handle(&self, peer: &Peer, ShardAsk(ask): ShardAsk, payload: Bytes) -> (ShardTell, Bytes) {
        match self.answer(peer, ask, payload).await {
            Ok((tell, payload)) => (ShardTell(Ok(tell)), payload),
            Err(failure) => (ShardTell(Err(failure)), Bytes::new()),
        }
    }

    fn gone(&self, peer: &Peer) {
        // Snapshots end outside the lock.
        let views = self.table.lock().of.remove(&peer.connection);
        drop(views);
    }
}

impl<V> Table<V> {
    /// Takes out what nobody uses, and what was opened by a question whose connection had ended.
    fn unused(&mut self, now: Instant) -> Vec<Arc<V>> {
        let mut gone = Vec::new();
        for views in self.of.values_mut() {
            let old = |_: &u64, (_, used): &mut (Arc<V>, Instant)| now - *used >= UNUSED_MAX;
            gone.extend(views.extract_if(old).map(|(_, (view, _))| view));
        }
        self.of.retain(|_, views| !views.is_empty());
        gone
    }
}

/// Reads what is wanted, as much as fits.
fn read(view: &dyn OrderedMap, wants: Vec<Want>) -> (Tell, Bytes) {
    let mut packer = Packer::default();
    let found = wants.into_iter().map(|want| match want {
        Want::Key { key, behind } => read_key(view, key, behind, &mut packer),
        Want::Range { from, to, ascending, entries } => {
            read_range(view, (from, to), ascending, entries as usize, &mut packer)
        }
    });
    let found = found.collect();
    (Tell::Read(found), packer.finish())
}

fn too_large() -> MapError {
    MapError::Broken("an entry is too large to travel".to_owned())
}

fn stopped(from: Bytes, to: Bytes, error: MapError) -> Found {
    Found { from, to, entries: 0, stopped: Some(Stopped::from(error)) }
}

fn has_room(packer: &Packer) -> bool {
    packer.bytes() < PAGE_BYTES && packer.entries() < PAGE_ENTRIES
}

fn read_key(view: &dyn OrderedMap, key: Bytes, behind: u32, packer: &mut Packer) -> Found {
    let (from, mut to) = one(&key);
    if !has_room(packer) {
        return stopped(from, to, MapError::Away("the question is too large".to_owned()));
    }
    let before = packer.entries();
    match view.get(&key) {
        Ok(Some(value)) if !packer.push(&key, &value) => return stopped(from, to, too_large()),
        Ok(_) => {}
        Err(error) => return stopped(from, to, error),
    }
    if behind > 0 {
        // Of the same kind in the same slot, as far as can be told here: what begins alike.
        let end = alike(&key);
        let (mut left, mut last, mut cut) = (behind, None, false);
        let scanned = view.scan(&to, &end, &mut |key, value| {
            cut = left == 0 || !has_room(packer) || !packer.push(key, value);
            if cut {
                return false;
            }
            left -= 1;
            last = Some(after(key));
            true
        });
        // What stopped it, nobody has asked for.
        to = match last {
            _ if scanned.is_ok() && !cut => Bytes::from(end.max(to.to_vec())),
            Some(last) => last,
            None => to,
        };
    }
    Found { from, to, entries: (packer.entries() - before) as u32, stopped: None }
}

/// Bytes of a machine's key that tell its slot and its kind, about.
const ALIKE: usize = 11;

/// The end of the keys that begin as `key` does.
fn alike(key: &[u8]) -> Vec<u8> {
    let mut end = key[..key.len().min(ALIKE)].to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    key.to_vec()
}

fn read_range(
    view: &dyn OrderedMap,
    (from, to): (Bytes, Bytes),
    ascending: bool,
    most: usize,
    packer: &mut Packer,
) -> Found {
    if !has_room(packer) || from >= to || most == 0 {
        return stopped(from, to, MapError::Away("the question is too large".to_owned()));
    }
    let before = packer.entries();
    let (mut last, mut full, mut large) = (None, false, false);
    let mut entries: Vec<(Bytes, Bytes)> = Vec::new();
    let mut bytes = packer.bytes();
    let mut visit = |key: &[u8], value: &[u8]| {
        full = bytes >= PAGE_BYTES || before + entries.len() >= PAGE_ENTRIES || entries.len() >= most;
        if full {
            return false;
        }
        bytes += key.len() + value.len() + 8;
        entries.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        true
    };
    let scanned = match ascending {
        true => view.scan(&from, &to, &mut visit),
        false => view.scan_back(&from, &to, &mut visit),
    };
    if let Some((key, _)) = entries.last() {
        last = Some(key.clone());
    }
    if !ascending {
        entries.reverse();
    }
    for (key, value) in &entries {
        large |= !packer.push(key, value);
    }
    if large {
        return stopped(from, to, too_large());
    }
    let entries = (packer.entries() - before) as u32;
    let (from, to) = match (scanned, last) {
        (Ok(()), _) if !full => (from, to),
        // Up to what stopped it: who wants more asks again, and hears why.
        (_, Some(last)) if ascending => (from, after(&last)),
        (_, Some(last)) => (last, to),
        (Err(error), None) => return stopped(from, to, error),
        (Ok(()), None) => return stopped(from, to, too_large()),
    };
    Found { from, to, entries, stopped: None }
}
