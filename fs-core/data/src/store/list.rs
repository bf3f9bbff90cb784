//! Listing what is on the drives, merged over all of them.

use super::{DEADLINE, Inner};
use crate::{DataError, StripePlace};
use cluster::{CellState, ClusterMap, DriveState, Scheme};
use drive::service::LIST_MAX;
use drive::{ChunkInfo, ChunkKey, DriveReply, DriveRequest};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{ChunkId, DriveId, GroupId, StripeId};

/// Where a listing goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StripeCursor {
    /// The group.
    pub group: GroupId,
    /// The first stripe of it.
    pub stripe: StripeId,
}

impl StripeCursor {
    /// From the beginning.
    pub const START: StripeCursor = StripeCursor { group: GroupId(0), stripe: StripeId(0) };

    fn key(self) -> ChunkKey {
        ChunkKey { group: self.group, chunk: ChunkId { stripe: self.stripe, index: 0 } }
    }
}

/// A stripe that drives have chunks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedStripe {
    /// As its chunks describe it.
    pub place: StripePlace,
    /// Chunks that are on the drives of their cells, one bit for each index.
    pub present: u32,
    /// Chunks that are on other drives.
    pub strays: u32,
}

/// A part of what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StripeListing {
    /// In order; a stripe of which only some chunks are there is listed like any other. Leftovers of
    /// a write that went elsewhere show as a place of their own.
    pub stripes: Vec<ListedStripe>,
    /// Where to go on; `None` at the end.
    pub next: Option<StripeCursor>,
}

pub(super) async fn list(
    inner: &Arc<Inner>,
    from: StripeCursor,
    limit: usize,
) -> Result<StripeListing, DataError> {
    // A stripe's chunks must all fit one answer of a drive, or the cursor would stand still.
    let limit = limit.clamp(32, LIST_MAX);
    let view = inner.view();
    let mut found: BTreeMap<(StripeCursor, u32), ListedStripe> = BTreeMap::new();
    let mut horizon: Option<StripeCursor> = None;
    for info in view.map.drives.iter().filter(|drive| drive.state == DriveState::Up) {
        let away = |why: String| DataError::Unavailable(format!("drive {}: {why}", info.id.0));
        let drive = view.drives.get(&info.id).ok_or_else(|| away("no way to it".into()))?;
        let request = DriveRequest::List { from: from.key(), limit: limit as u32 };
        let chunks = match drive.call(request, DEADLINE).await {
            Ok(DriveReply::Chunks(chunks)) => chunks,
            Ok(_) => return Err(away("a wrong answer".into())),
            Err(error) => return Err(away(error.to_string())),
        };
        if chunks.len() >= limit
            && let Some(last) = chunks.last()
        {
            // Of the last stripe there may be more.
            let last = cursor(last);
            horizon = Some(horizon.map_or(last, |h| h.min(last)));
        }
        for chunk in &chunks {
            let Some(place) = place(chunk) else { continue };
            let listed = found.entry((cursor(chunk), place.cells));
            let listed = listed.or_insert(ListedStripe { place, present: 0, strays: 0 });
            let index = chunk.key.chunk.index;
            if drive_of(&view.map, &place, index) == Some(info.id) {
                listed.present |= 1 << index;
            } else {
                listed.strays += 1;
            }
        }
    }
    let inside = |at: &StripeCursor| horizon.is_none_or(|end| *at < end);
    let stripes = found.into_iter().filter(|((at, _), _)| inside(at)).map(|(_, listed)| listed).collect();
    Ok(StripeListing { stripes, next: horizon })
}

/// Where the chunk of a stripe belongs.
fn drive_of(map: &ClusterMap, place: &StripePlace, index: u8) -> Option<DriveId> {
    let cell = *place.cells(map).ok()?.get(usize::from(index))?;
    (cell.state != CellState::Lost).then_some(cell.drive)
}

fn cursor(chunk: &ChunkInfo) -> StripeCursor {
    StripeCursor { group: chunk.key.group, stripe: chunk.key.chunk.stripe }
}

fn place(chunk: &ChunkInfo) -> Option<StripePlace> {
    let shape = chunk.shape;
    let scheme = Scheme::new(shape.data, shape.parity).ok()?;
    let (stripe, group) = (chunk.key.chunk.stripe, chunk.key.group);
    Some(StripePlace { stripe, group, scheme, cells: shape.cells, length: shape.stripe_length })
}
