//! A view of a shard elsewhere.

use super::entries::unpack;
use super::known::{Known, after};
use super::member::Way;
use super::wire::{Ask, Found, PAGE_ENTRIES, Tell, WANTS_MAX, Want};
use crate::{Locking, ShardView};
use bytes::Bytes;
use map::{MapError, OrderedMap, Visit};
use parking_lot::Mutex;
use std::sync::Arc;

/// Bytes that a view keeps; a question that needs more is too large.
const BYTES_MAX: usize = 64 << 20;
/// Entries of a range that are fetched at first.
const FIRST_ENTRIES: u32 = 128;
/// Entries behind a key that are fetched with it: with the first, the second, and all others.
const BEHIND: [u32; 3] = [0, 64, 256];

/// A shard's map as it was when this was first asked for something. Empty at first: what is read and not here gives
/// [`MapError::Absent`], and is here after [`ShardView::fetch`].
pub struct RemoteView {
    way: Arc<Way>,
    number: u64,
    locking: Locking,
    state: Mutex<State>,
    /// Held while something is fetched.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    known: Arc<Known>,
    wants: Vec<Want>,
    bytes: usize,
    /// The server may know the view; it does.
    asked: bool,
    open: bool,
    /// Keys that were fetched, as far as it matters.
    keys: usize,
}

impl RemoteView {
    pub(crate) fn new(way: Arc<Way>, locking: Locking) -> RemoteView {
        let number = way.number();
        RemoteView { way, number, locking, state: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    fn known(&self) -> Arc<Known> {
        self.state.lock().known.clone()
    }

    fn want(&self, want: impl FnOnce(&mut State) -> Want) -> MapError {
        let mut state = self.state.lock();
        let want = want(&mut state);
        if state.wants.len() < WANTS_MAX && !state.wants.contains(&want) {
            state.wants.push(want);
        }
        MapError::Absent
    }

    /// Asks for `wants`, which may be none.
    async fn ask(&self, wants: Vec<Want>) -> Result<(), MapError> {
        let open = {
            let mut state = self.state.lock();
            state.asked = true;
            (!state.open).then_some(self.locking)
        };
        let released = self.way.released();
        let ask = Ask::Read { view: self.number, open, wants: wants.clone(), released };
        let answer = self.way.read(ask).await;
        let (tell, payload) = answer.map_err(|error| MapError::Away(error.to_string()))?;
        let mut state = self.state.lock();
        state.open = true;
        let Tell::Read(found) = tell else { return Err(confused()) };
        self.learn(&mut state, &wants, found, payload)
    }

    fn learn(
        &self,
        state: &mut State,
        wants: &[Want],
        found: Vec<Found>,
        mut payload: Bytes,
    ) -> Result<(), MapError> {
        state.bytes += payload.len();
        if state.bytes > BYTES_MAX {
            return Err(MapError::Away(format!("a question that reads over {BYTES_MAX} bytes of a shard")));
        }
        if found.len() != wants.len() {
            return Err(confused());
        }
        let known = Arc::make_mut(&mut state.known);
        for (want, found) in wants.iter().zip(found) {
            if let Some(stopped) = found.stopped {
                return Err(stopped.into());
            }
            if !answers(want, &found) {
                return Err(confused());
            }
            let mut entries = Vec::new();
            for _ in 0..found.entries {
                let (key, value) = unpack(&mut payload).ok_or_else(confused)?;
                let in_order = entries.last().is_none_or(|(last, _)| *last < key);
                if key < found.from || key >= found.to || !in_order {
                    return Err(confused());
                }
                entries.push((key, value));
            }
            known.learn(&found.from, &found.to, entries);
        }
        if payload.is_empty() { Ok(()) } else { Err(confused()) }
    }
}

/// Entries to fetch of a range. Who looks for the first of many wants few; who has read some and goes on, all.
fn page(goes_on: bool) -> u32 {
    if goes_on { PAGE_ENTRIES as u32 } else { FIRST_ENTRIES }
}

#[cfg(feature = "fuzz")]
impl RemoteView {
    /// Takes an answer of somebody.
    pub(crate) fn learns(&self, wants: &[Want], found: Vec<Found>, payload: Bytes) -> Result<(), MapError> {
        self.learn(&mut self.state.lock(), wants, found, payload)
    }

    /// Whether anything is known.
    pub(crate) fn begins(&self, ascending: bool) -> bool {
        let known = self.known();
        if ascending {
            known.end_behind(b"\0\x07key").is_some()
        } else {
            known.begin_before(b"\0\x08").is_some()
        }
    }
}

/// Whether this brings nearer to an end what was asked.
fn answers(want: &Want, found: &Found) -> bool {
    if found.entries as usize > PAGE_ENTRIES || found.from >= found.to {
        return false;
    }
    match want {
        Want::Key { key, .. } => found.from == *key,
        Want::Range { from, to, ascending: true, .. } => found.from == *from && found.to <= *to,
        Want::Range { from, to, ascending: false, .. } => found.from >= *from && found.to == *to,
    }
}

fn confused() -> MapError {
    MapError::Away("the shard answers what was not asked".to_owned())
}

impl Drop for RemoteView {
    fn drop(&mut self) {
        if self.state.get_mut().asked {
            self.way.release(self.number);
        }
    }
}

impl ShardView for RemoteView {
    async fn open(&self) -> Result<(), MapError> {
        let _one = self.fetching.lock().await;
        if self.state.lock().open { Ok(()) } else { self.ask(Vec::new()).await }
    }

    fn forget(&self) {
        let mut state = self.state.lock();
        (state.known, state.bytes) = Default::default();
    }

    async fn fetch(&self) -> Result<bool, MapError> {
        let _one = self.fetching.lock().await;
        let wants = std::mem::take(&mut self.state.lock().wants);
        if wants.is_empty() {
            return Ok(false);
        }
        self.ask(wants).await.map(|()| true)
    }
}

impl OrderedMap for RemoteView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        let known = self.known();
        if known.end_behind(key).is_some() {
            return Ok(known.get(key).cloned());
        }
        Err(self.want(|state| {
            // One key is often all that is needed. Of many that are read one by one, those that are near each
            // other come together.
            let behind = BEHIND[state.keys];
            state.keys = (state.keys + 1).min(BEHIND.len() - 1);
            Want::Key { key: Bytes::copy_from_slice(key), behind }
        }))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        if from >= to {
            return Ok(());
        }
        let known = self.known();
        let end = known.end_behind(from).map_or(from, |end| &end[..]).min(to);
        let entries = page(end > from);
        for (key, value) in known.entries(from, end) {
            if !visit(key, value) {
                return Ok(());
            }
        }
        if end == to {
            return Ok(());
        }
        let (from, to) = (Bytes::copy_from_slice(end), Bytes::copy_from_slice(to));
        Err(self.want(|_| Want::Range { from, to, ascending: true, entries }))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        if from >= to {
            return Ok(());
        }
        let known = self.known();
        let begin = known.begin_before(to).map_or(to, |begin| &begin[..]).max(from);
        let entries = page(begin < to);
        for (key, value) in known.entries(begin, to).rev() {
            if !visit(key, value) {
                return Ok(());
            }
        }
        if begin == from {
            return Ok(());
        }
        let (from, to) = (Bytes::copy_from_slice(from), Bytes::copy_from_slice(begin));
        Err(self.want(|_| Want::Range { from, to, ascending: false, entries }))
    }
}

/// The range of one key.
pub(crate) fn one(key: &Bytes) -> (Bytes, Bytes) {
    (key.clone(), after(key))
}
