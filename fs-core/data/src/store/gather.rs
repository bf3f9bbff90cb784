//! Getting windows of some chunks of a stripe, by asking their drives or by asking the others.
//!
//! First only what is wanted is asked for. When a chunk fails, or its drive takes longer than it
//! lately did, as many others as needed are asked for the same blocks and the chunk is computed.

use super::{DEADLINE, Drive, Inner, View, count};
use crate::{DataError, StripePlace};
use bytes::Bytes;
use cluster::{Cell, CellState};
use drive::{DriveError, DriveReply, DriveRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::limits::BLOCK_BYTES;

/// Blocks `first..end` of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    pub(super) first: u16,
    pub(super) end: u16,
}

impl Window {
    fn covers(&self, other: &Window) -> bool {
        self.first <= other.first && other.end <= self.end
    }

    fn join(&self, other: &Window) -> Window {
        Window { first: self.first.min(other.first), end: self.end.max(other.end) }
    }

    fn slice<'a>(&self, whole: &Window, bytes: &'a Bytes) -> &'a [u8] {
        let at = |block: u16| usize::from(block - whole.first) * BLOCK_BYTES;
        &bytes[at(self.first)..at(self.end)]
    }
}

/// Why a chunk did not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// The drive answers, and the chunk is damaged or not there: to be repaired.
    Bad,
    /// The drive does not answer, or is not there.
    Away,
}

#[derive(Default)]
struct Chunk {
    wanted: Option<Window>,
    have: Option<(Window, Bytes)>,
    /// What its drive was asked for and has not answered.
    asked: Option<Window>,
    fault: Option<Fault>,
}

/// What was gathered.
pub(super) struct Gathered {
    /// The wanted chunks in the order they were named, each with the window it came in.
    pub(super) chunks: Vec<(Window, Bytes)>,
    /// Indexes of chunks that need repair.
    pub(super) faulty: Vec<usize>,
    pub(super) reconstructed: bool,
}

pub(super) struct Gather<'a> {
    inner: &'a Arc<Inner>,
    view: Arc<View>,
    place: &'a StripePlace,
    cells: Vec<Cell>,
    order: Vec<usize>,
    chunks: Vec<Chunk>,
    asks: JoinSet<(usize, Window, Result<Bytes, Fault>)>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(
        inner: &'a Arc<Inner>,
        place: &'a StripePlace,
        cells: Vec<Cell>,
        wanted: Vec<(usize, Window)>,
    ) -> Gather<'a> {
        let mut chunks: Vec<Chunk> = cells.iter().map(|_| Chunk::default()).collect();
        for &(index, window) in &wanted {
            chunks[index].wanted = Some(window);
        }
        let order = wanted.into_iter().map(|(index, _)| index).collect();
        Gather { inner, view: inner.view(), place, cells, order, chunks, asks: JoinSet::new() }
    }

    /// Does not ask for chunks that are known to be bad.
    pub(super) fn without(mut self, bad: &[usize]) -> Self {
        for &index in bad {
            self.chunks[index].fault = Some(Fault::Bad);
        }
        self
    }

    pub(super) async fn run(mut self) -> Result<Gathered, DataError> {
        let parity = self.place.scheme.parity() > 0;
        let mut patience = Duration::ZERO;
        for index in self.order.clone() {
            if let Some(drive) = self.view.drive_of(&self.cells[index]) {
                patience = patience.max(drive.health.patience());
            }
            if let Some(window) = self.chunks[index].wanted
                && self.chunks[index].fault.is_none()
            {
                self.ask(index, window);
            }
        }
        let hedge_at = Instant::now() + patience;
        let mut widened = false;
        loop {
            if self.missing().is_empty() {
                return Ok(self.finish(false));
            }
            if widened {
                self.widen();
                if let Some(done) = self.reconstruct()? {
                    return Ok(done);
                }
            }
            let can_hedge = parity && !widened;
            tokio::select! {
                biased;
                ended = self.asks.join_next() => match ended {
                    Some(Ok((index, window, result))) => {
                        widened |= self.take(index, window, result) && parity;
                    }
                    Some(Err(error)) => return Err(DataError::Unavailable(error.to_string())),
                    None if can_hedge => widened = true,
                    None => return Err(self.verdict()),
                },
                () = tokio::time::sleep_until(hedge_at), if can_hedge => {
                    count(&self.inner.counters.hedged);
                    widened = true;
                }
            }
        }
    }

    /// Asks a chunk's drive for a window.
    fn ask(&mut self, index: usize, window: Window) {
        let Some(drive) = self.view.drive_of(&self.cells[index]).cloned() else {
            self.chunks[index].fault = Some(Fault::Away);
            return;
        };
        // What was wanted of it comes along, so that the later answer always takes the place of the earlier.
        let window = self.chunks[index].wanted.map_or(window, |wanted| wanted.join(&window));
        self.chunks[index].asked = Some(window);
        let place = *self.place;
        self.asks.spawn(async move { (index, window, fetch(&drive, &place, index, window).await) });
    }

    /// Takes an answer; whether it is bad news.
    fn take(&mut self, index: usize, window: Window, result: Result<Bytes, Fault>) -> bool {
        let chunk = &mut self.chunks[index];
        if chunk.asked == Some(window) {
            chunk.asked = None;
        }
        match result {
            Ok(bytes) => {
                let wider = chunk.have.as_ref().is_none_or(|(have, _)| window.covers(have));
                if wider {
                    chunk.have = Some((window, bytes));
                }
                false
            }
            Err(fault) => {
                // A cell that is being filled may lack the chunk for good reason.
                let serving = self.cells[index].state == CellState::Serving;
                if fault == Fault::Bad && chunk.fault != Some(Fault::Bad) && serving {
                    count(&self.inner.counters.found);
                }
                if chunk.fault != Some(Fault::Bad) {
                    chunk.fault = Some(fault);
                }
                true
            }
        }
    }

    /// Wanted chunks that have not come.
    fn missing(&self) -> Vec<usize> {
        let come = |chunk: &Chunk| match (&chunk.wanted, &chunk.have) {
            (Some(wanted), Some((have, _))) => have.covers(wanted),
            (None, _) => true,
            (Some(_), None) => false,
        };
        self.order.iter().copied().filter(|&index| !come(&self.chunks[index])).collect()
    }

    /// The blocks that are needed of the others.
    fn needed(&self) -> Option<Window> {
        let missing = self.missing();
        let windows = missing.iter().filter_map(|&index| self.chunks[index].wanted);
        windows.reduce(|a, b| a.join(&b))
    }

    /// Asks as many further chunks as reconstruction needs.
    fn widen(&mut self) {
        let Some(window) = self.needed() else { return };
        let missing = self.missing();
        let mut coming = 0;
        for (index, chunk) in self.chunks.iter().enumerate() {
            let has = chunk.have.as_ref().is_some_and(|(have, _)| have.covers(&window));
            // One that is missing may never come: it was asked, and it is slow.
            let will = !missing.contains(&index) && chunk.asked.is_some_and(|asked| asked.covers(&window));
            coming += usize::from(has || (will && chunk.fault.is_none()));
        }
        let drive = |index: usize| self.view.drive_of(&self.cells[index]);
        let mut candidates: Vec<usize> = (0..self.chunks.len())
            .filter(|&index| {
                let chunk = &self.chunks[index];
                let has = chunk.have.as_ref().is_some_and(|(have, _)| have.covers(&window));
                let asked = chunk.asked.is_some_and(|asked| asked.covers(&window));
                !has && !asked && chunk.fault.is_none() && drive(index).is_some()
            })
            .collect();
        candidates.sort_by_key(|&index| drive(index).map(|d| (d.health.is_suspect(), d.health.in_flight())));
        for index in candidates {
            if coming >= self.place.scheme.data() {
                break;
            }
            self.ask(index, window);
            coming += 1;
        }
    }

    /// Computes what is missing, when enough has come.
    fn reconstruct(&mut self) -> Result<Option<Gathered>, DataError> {
        let Some(window) = self.needed() else { return Ok(None) };
        let present: Vec<Option<&[u8]>> = self
            .chunks
            .iter()
            .map(|chunk| match &chunk.have {
                Some((have, bytes)) if have.covers(&window) => Some(window.slice(have, bytes)),
                _ => None,
            })
            .collect();
        if present.iter().flatten().count() < self.place.scheme.data() {
            return Ok(None);
        }
        let missing = self.missing();
        let made = self.inner.codec.reconstruct(self.place.scheme, &present, &missing);
        let made = made.map_err(|error| DataError::Invalid(error.to_string()))?;
        for (index, bytes) in missing.into_iter().zip(made) {
            self.chunks[index].have = Some((window, bytes.into()));
        }
        Ok(Some(self.finish(true)))
    }

    fn finish(&mut self, reconstructed: bool) -> Gathered {
        let bad = |index: &usize| self.chunks[*index].fault == Some(Fault::Bad);
        let faulty = (0..self.chunks.len()).filter(bad).collect();
        let order = std::mem::take(&mut self.order);
        let chunks = order.into_iter().filter_map(|index| self.chunks[index].have.take()).collect();
        Gathered { chunks, faulty, reconstructed }
    }

    /// Nothing more will come.
    fn verdict(&self) -> DataError {
        let (mut bad, mut away) = (Vec::new(), Vec::new());
        for (chunk, cell) in self.chunks.iter().zip(&self.cells) {
            match chunk.fault {
                Some(Fault::Bad) => bad.push(cell.drive.0),
                Some(Fault::Away) => away.push(cell.drive.0),
                None => {}
            }
        }
        let what = format!(
            "stripe {} ({}): chunks bad on drives {bad:?}, drives {away:?} away",
            self.place.stripe.0, self.place.scheme
        );
        if bad.len() > self.place.scheme.parity() {
            DataError::Lost(what)
        } else {
            DataError::Unavailable(what)
        }
    }
}

async fn fetch(drive: &Drive, place: &StripePlace, index: usize, window: Window) -> Result<Bytes, Fault> {
    let key = place.key(index);
    let request = DriveRequest::Read { key, first: window.first, count: window.end - window.first };
    let found = match drive.call(request, DEADLINE).await {
        Ok(DriveReply::Data(found)) => found,
        Ok(_) => return Err(Fault::Bad),
        Err(DriveError::Failed(_) | DriveError::Closed | DriveError::Busy) => return Err(Fault::Away),
        Err(error) => {
            tracing::warn!(stripe = place.stripe.0, index, drive = drive.id.0, %error, "chunk not read");
            return Err(Fault::Bad);
        }
    };
    let right = found.info.key == key
        && found.info.shape == place.shape()
        && u32::from(found.info.blocks) * BLOCK_BYTES as u32 == place.chunk_length()
        && found.crcs.len() == usize::from(window.end - window.first)
        && found.data.len() == found.crcs.len() * BLOCK_BYTES
        && (found.verified
            || drive::chunk::verify(key.chunk, u32::from(window.first), &found.data, &found.crcs));
    if right {
        Ok(found.data)
    } else {
        tracing::warn!(stripe = place.stripe.0, index, drive = drive.id.0, "the drive gave something else");
        Err(Fault::Bad)
    }
}
