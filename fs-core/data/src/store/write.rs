//! Writing and freeing stripes.

use super::capacity::longest_stripe;
use super::{DEADLINE, Drive, Inner, View, WRITE_DEADLINE, count};
use crate::place::{chunk_length, data_chunks};
use crate::{DataError, StripePlace};
use bytes::{Bytes, BytesMut};
use cluster::{CellState, Scheme};
use drive::chunk::block_crcs;
use drive::service::FREE_MAX;
use drive::{ChunkKey, DriveError, DriveRequest, Purpose, WriteChunk};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;
use types::limits::CHUNK_BYTES_MAX;
use types::{DriveId, GroupId, StripeId};

/// Groups tried for one stripe.
const ATTEMPTS: usize = 4;
/// Groups drawn when one is picked.
const DRAWS: usize = 2;

/// A group that is none of `tried`, when there is one.
pub(super) fn pick_group(inner: &Inner, tried: &[GroupId]) -> GroupId {
    let view = inner.view();
    let groups = view.map.groups.len() as u64;
    let untried = |id: &GroupId| !tried.contains(id);
    let mut drawn: Vec<GroupId> =
        (0..DRAWS).map(|_| GroupId(inner.random.below(groups) as u16)).filter(untried).collect();
    let sick = drawn.iter().all(|&id| usable(&view, id).count_ones() as usize != view.map.scheme.width());
    if sick {
        // Chance found nothing whole: look at all from a random one on.
        let start = inner.random.below(groups);
        drawn.extend((0..groups).map(|n| GroupId(((start + n) % groups) as u16)).filter(untried));
    }
    let best = drawn.into_iter().min_by_key(|&id| {
        let busy: u32 = view.map.group(id).map_or(0, |group| {
            let drives = group.cells.iter().filter_map(|cell| view.drive_of(cell));
            drives.map(|drive| drive.health.in_flight()).sum()
        });
        (std::cmp::Reverse(usable(&view, id).count_ones()), busy)
    });
    best.unwrap_or(GroupId(0))
}

/// The cells of a group that can take a chunk now, one bit each.
fn usable(view: &View, group: GroupId) -> u32 {
    let cells = view.map.group(group).map_or(&[][..], |group| &group.cells);
    let good = |drive: &Arc<Drive>| drive.health.takes_writes();
    (0u32..).zip(cells).filter(|(_, cell)| view.drive_of(cell).is_some_and(good)).map(|(n, _)| 1 << n).sum()
}

/// The fewest cells of a group that can take a chunk now, of those groups that can take a stripe at all.
pub(super) fn narrowest(view: &View) -> usize {
    let wanted = view.map.scheme;
    let cells = (0..view.map.groups.len()).map(|n| usable(view, GroupId(n as u16)).count_ones() as usize);
    cells.filter(|cells| *cells > wanted.parity()).min().unwrap_or(wanted.width())
}

pub(super) async fn write(
    inner: &Arc<Inner>,
    stripe: StripeId,
    group: GroupId,
    data: Bytes,
    purpose: Purpose,
) -> Result<StripePlace, DataError> {
    let view = inner.view();
    let most = view.map.scheme.data() * CHUNK_BYTES_MAX;
    if data.is_empty() || data.len() > most {
        return Err(DataError::Invalid(format!(
            "a stripe of {} bytes; 1 to {most} are possible",
            data.len()
        )));
    }
    if view.map.group(group).is_none() {
        return Err(DataError::BadPlace(format!("no group {}", group.0)));
    }
    let (mut tried, mut worst) = (Vec::new(), None);
    let mut next = group;
    while tried.len() < ATTEMPTS.min(view.map.groups.len()) {
        tried.push(next);
        match attempt(inner, stripe, next, &data, purpose).await {
            Ok(place) => {
                if tried.len() > 1 {
                    count(&inner.counters.rewritten);
                }
                return Ok(place);
            }
            Err(error @ (DataError::Fenced { .. } | DataError::Invalid(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(stripe = stripe.0, group = next.0, %error, "a stripe goes elsewhere");
                // A full cluster is the answer that the user can do something about.
                worst = match worst {
                    Some(DataError::NoSpace) => worst,
                    _ => Some(error),
                };
            }
        }
        next = pick_group(inner, &tried);
    }
    let error = worst.unwrap_or_else(|| DataError::Unavailable("no group could be tried".into()));
    if error == DataError::NoSpace {
        let length_max = longest_stripe(inner, group, view.map.scheme.data(), purpose).await;
        if length_max > 0 && (length_max as usize) < data.len() {
            return Err(DataError::Narrow { length_max });
        }
    }
    Err(error)
}

/// Cuts a run into stripes, shorter ones where drives are away or free space is in small pieces.
pub(super) async fn write_run(
    inner: &Arc<Inner>,
    mut next_id: impl FnMut() -> StripeId,
    data: Bytes,
) -> Result<Vec<StripePlace>, DataError> {
    let mut most = inner.view().map.scheme.data() * CHUNK_BYTES_MAX;
    let (mut places, mut rest) = (Vec::new(), data);
    while !rest.is_empty() {
        let part = rest.slice(..rest.len().min(most));
        match write(inner, next_id(), pick_group(inner, &[]), part.clone(), Purpose::Ordinary).await {
            Ok(place) => {
                rest = rest.slice(part.len()..);
                places.push(place);
            }
            Err(DataError::Narrow { length_max }) if (length_max as usize) < part.len() => {
                most = length_max as usize;
            }
            Err(error) => {
                // Nobody will hear of these: what cannot be freed now, the search for orphans finds.
                for left in free(inner, &places).await.into_iter().filter_map(Result::err) {
                    tracing::warn!(error = %left, "an orphan stripe stays");
                }
                return Err(error);
            }
        }
    }
    Ok(places)
}

/// Decides how a stripe of this length is cut for the cells that are usable.
fn cut(view: &View, stripe: StripeId, group: GroupId, length: u32) -> Result<StripePlace, DataError> {
    let wanted = view.map.scheme;
    let usable = usable(view, group);
    let there = usable.count_ones() as usize;
    let data = data_chunks(length, wanted, there);
    if data == 0 {
        return Err(DataError::Unavailable(format!("{there} drives for {wanted}")));
    }
    if chunk_length(length, data) as usize > CHUNK_BYTES_MAX {
        return Err(DataError::Narrow { length_max: (data * CHUNK_BYTES_MAX) as u32 });
    }
    let parity = wanted.parity() as u8;
    let scheme = Scheme::new(data as u8, parity).map_err(|e| DataError::Invalid(e.to_string()))?;
    // Where fewer cells are needed than there are, begin elsewhere for each stripe.
    let bits: Vec<u32> = (0..32).filter(|n| usable >> n & 1 == 1).collect();
    let start = (stripe.0 % bits.len() as u64) as usize;
    let cells = bits.iter().cycle().skip(start).take(scheme.width()).map(|n| 1u32 << n).sum();
    Ok(StripePlace { stripe, group, scheme, cells, length })
}

async fn attempt(
    inner: &Arc<Inner>,
    stripe: StripeId,
    group: GroupId,
    data: &Bytes,
    purpose: Purpose,
) -> Result<StripePlace, DataError> {
    let view = inner.view();
    let place = cut(&view, stripe, group, data.len() as u32)?;
    let cells = place.cells(&view.map)?;
    let chunks = encode(inner, &place, data)?;
    // Where there is no elsewhere, patience is all there is.
    let deadline = if view.map.groups.len() == 1 { DEADLINE } else { WRITE_DEADLINE };
    let mut writes = JoinSet::new();
    for (index, ((data, crcs), cell)) in chunks.into_iter().zip(&cells).enumerate() {
        let Some(drive) = view.drive_of(cell).cloned() else {
            return Err(DataError::Unavailable(format!("drive {}", cell.drive.0)));
        };
        let request = WriteChunk {
            key: place.key(index),
            shape: place.shape(),
            writer: inner.writer,
            data,
            crcs,
            replace: false,
            purpose,
        };
        writes.spawn(async move {
            let result = drive.call(DriveRequest::Write(request), deadline).await;
            (index, drive, result)
        });
    }
    let mut failed: Option<DataError> = None;
    let mut written = Vec::new();
    while let Some(ended) = writes.join_next().await {
        let (index, drive, result) =
            ended.map_err(|error| DataError::Unavailable(format!("a write was stopped: {error}")))?;
        match result {
            Ok(_) => written.push((index, drive)),
            Err(error) => {
                tracing::warn!(stripe = stripe.0, index, drive = drive.id.0, %error, "chunk not written");
                let error = write_error(drive.id, error);
                failed = match (failed, error) {
                    (Some(first @ DataError::Fenced { .. }), _) => Some(first),
                    (_, error @ DataError::Fenced { .. }) => Some(error),
                    (Some(first @ DataError::NoSpace), _) => Some(first),
                    (_, error) => Some(error),
                };
            }
        }
    }
    let Some(error) = failed else { return Ok(place) };
    // Chunks of a stripe that will not be: what cannot be freed now, the search for orphans finds.
    for (index, drive) in written {
        let free = DriveRequest::Free { keys: vec![place.key(index)], writer: inner.writer };
        if let Err(error) = drive.call(free, WRITE_DEADLINE).await {
            tracing::warn!(stripe = stripe.0, index, drive = drive.id.0, %error, "an orphan chunk stays");
        }
    }
    Err(error)
}

fn write_error(drive: DriveId, error: DriveError) -> DataError {
    match error {
        DriveError::NoSpace => DataError::NoSpace,
        DriveError::Fenced { newest } => DataError::Fenced { newest },
        error => DataError::Unavailable(format!("drive {}: {error}", drive.0)),
    }
}

/// All chunks with their checksums, those of the data computed before the parity.
pub(super) fn encode(
    inner: &Inner,
    place: &StripePlace,
    data: &Bytes,
) -> Result<Vec<(Bytes, Vec<u32>)>, DataError> {
    let length = place.chunk_length() as usize;
    let mut chunks: Vec<(Bytes, Vec<u32>)> = Vec::with_capacity(place.scheme.width());
    for index in 0..place.scheme.data() {
        let part = data.slice((index * length).min(data.len())..((index + 1) * length).min(data.len()));
        let chunk = if part.len() == length {
            part
        } else {
            let mut padded = BytesMut::with_capacity(length);
            padded.extend_from_slice(&part);
            padded.resize(length, 0);
            padded.freeze()
        };
        let crcs = block_crcs(place.key(index).chunk, 0, &chunk);
        chunks.push((chunk, crcs));
    }
    let slices: Vec<&[u8]> = chunks.iter().map(|(chunk, _)| chunk.as_ref()).collect();
    let parity = inner.codec.encode(place.scheme, &slices).map_err(|e| DataError::Invalid(e.to_string()))?;
    for parity in parity {
        let crcs = block_crcs(place.key(chunks.len()).chunk, 0, &parity);
        chunks.push((parity.into(), crcs));
    }
    Ok(chunks)
}

/// What came of each place, in their order. What can be freed is, also of a stripe that has chunks elsewhere.
pub(super) async fn free(inner: &Arc<Inner>, places: &[StripePlace]) -> Vec<Result<(), DataError>> {
    let view = inner.view();
    let mut results: Vec<Result<(), DataError>> = vec![Ok(()); places.len()];
    let mut keys_of: BTreeMap<DriveId, Vec<(usize, ChunkKey)>> = BTreeMap::new();
    for (n, place) in places.iter().enumerate() {
        match place.cells(&view.map) {
            Ok(cells) => {
                for (index, cell) in cells.iter().enumerate().filter(|(_, c)| c.state != CellState::Lost) {
                    keys_of.entry(cell.drive).or_default().push((n, place.key(index)));
                }
            }
            Err(error) => results[n] = Err(error),
        }
    }
    let mut frees = JoinSet::new();
    for (id, keys) in keys_of {
        let Some(drive) = view.drives.get(&id).cloned() else {
            for (n, _) in keys {
                results[n] = Err(DataError::Unavailable(format!("drive {}", id.0)));
            }
            continue;
        };
        let writer = inner.writer;
        frees.spawn(async move {
            let mut failed = Vec::new();
            for part in keys.chunks(FREE_MAX) {
                let keys = part.iter().map(|(_, key)| *key).collect();
                if let Err(error) = drive.call(DriveRequest::Free { keys, writer }, DEADLINE).await {
                    let error = write_error(id, error);
                    failed.extend(part.iter().map(|(n, _)| (*n, error.clone())));
                }
            }
            failed
        });
    }
    while let Some(ended) = frees.join_next().await {
        match ended {
            Ok(failed) => failed.into_iter().for_each(|(n, error)| results[n] = Err(error)),
            // Nobody knows which were freed.
            Err(error) => results.fill(Err(DataError::Unavailable(error.to_string()))),
        }
    }
    results
}
