//! Space: what there is, net of protection.

use super::write::narrowest;
use super::{DEADLINE, Inner};
use crate::place::stored_bytes;
use cluster::DriveState;
use drive::{DriveReply, DriveRequest, Purpose};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::GroupId;
use types::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};

/// What the drives said is good for this long.
const FRESH: Duration = Duration::from_millis(10);

/// Space in bytes of user data in long stripes; short ones take more.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Capacity {
    /// All of it, without what drives hold back.
    pub total: u64,
    /// Neither used nor held back.
    pub free: u64,
    /// Bytes on the drives that chunks take, parity and headers included.
    pub stored: u64,
    /// `free` in bytes on the drives, as [`Capacity::stored`].
    pub room: u64,
    /// As `room`, with what drives hold back.
    pub unused: u64,
    /// What drives hold back, in bytes on them.
    pub held_back: u64,
}

/// As the drives said last, in bytes on drives.
#[derive(Default)]
pub(super) struct Space {
    asked: Option<Instant>,
    total: u64,
    free: u64,
    stored: u64,
    unused: u64,
    held_back: u64,
}

pub(super) async fn capacity(inner: &Arc<Inner>) -> Capacity {
    let recent = |at: Instant| at.elapsed() < FRESH;
    let known = inner.space.lock().asked.is_some_and(recent);
    if !known {
        refresh(inner).await;
    }
    net(inner)
}

pub(super) async fn capacity_now(inner: &Arc<Inner>) -> Capacity {
    refresh(inner).await;
    net(inner)
}

/// As the drives said last.
fn net(inner: &Inner) -> Capacity {
    let scheme = inner.view().map.scheme;
    let length = (scheme.data() * CHUNK_BYTES_MAX) as u32;
    let net = |stored: u64| {
        let net = u128::from(stored) * u128::from(length) / u128::from(stored_bytes(length, scheme));
        u64::try_from(net).unwrap_or(u64::MAX)
    };
    let space = inner.space.lock();
    let &Space { total, free, stored, unused, held_back, .. } = &*space;
    Capacity { total: net(total), free: net(free), stored, room: free, unused, held_back }
}

/// The longest stripe of `data` data chunks that fits the free runs of all drives of a group, when
/// there is space but in pieces that are too small; 0 when there is none.
pub(super) async fn longest_stripe(inner: &Arc<Inner>, group: GroupId, data: usize, purpose: Purpose) -> u32 {
    let view = inner.view();
    let mut chunk = CHUNK_BYTES_MAX as u64;
    for cell in view.map.group(group).map_or(&[][..], |group| &group.cells) {
        let Some(drive) = view.drive_of(cell) else { continue };
        let Ok(DriveReply::Stat(stat)) = drive.call(DriveRequest::Stat, DEADLINE).await else { continue };
        let kept = match purpose {
            Purpose::Ordinary => stat.held_back,
            Purpose::Promised => stat.held_back / 2,
            Purpose::Essential => 0,
        };
        let run = stat.longest.min(stat.free.saturating_sub(kept));
        chunk = chunk.min(run.saturating_sub(BLOCK_BYTES as u64) / BLOCK_BYTES as u64 * BLOCK_BYTES as u64);
    }
    u32::try_from(chunk * data as u64).unwrap_or(u32::MAX)
}

/// Asks all drives that are up. Chunks are spread by weight, so the drive that will be full first
/// decides; one that does not answer, or takes no writes, is left out.
async fn refresh(inner: &Arc<Inner>) {
    let view = inner.view();
    let mut asks = JoinSet::new();
    for info in view.map.drives.iter().filter(|drive| drive.state == DriveState::Up) {
        let Some(drive) = view.drives.get(&info.id).cloned() else { continue };
        let weight = u128::from(info.weight);
        asks.spawn(async move { (weight, drive.call(DriveRequest::Stat, DEADLINE).await) });
    }
    let (mut weights, mut writable, mut stored, mut held_back) = (0u128, 0u128, 0u64, 0u64);
    let mut total = None::<(u64, u128)>;
    let (mut free, mut unused) = (None::<(u64, u128)>, None::<(u64, u128)>);
    let least = |old: Option<(u64, u128)>, bytes: u64, weight: u128| match old {
        Some((b, w)) if u128::from(b) * weight <= u128::from(bytes) * w => Some((b, w)),
        _ => Some((bytes, weight)),
    };
    while let Some(ended) = asks.join_next().await {
        let Ok((weight, Ok(DriveReply::Stat(stat)))) = ended else { continue };
        weights += weight;
        stored = stored.saturating_add(stat.total.saturating_sub(stat.free));
        total = least(total, stat.total.saturating_sub(stat.held_back), weight);
        // Stripes go around a drive that takes no writes, so it does not decide.
        if !stat.failed {
            writable += weight;
            free = least(free, stat.free.saturating_sub(stat.held_back), weight);
            unused = least(unused, stat.free, weight);
            held_back = held_back.saturating_add(stat.held_back);
        }
    }
    let all = |least: Option<(u64, u128)>, weights: u128| {
        let share = least.map_or(0, |(bytes, weight)| u128::from(bytes) * weights / weight.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    inner.narrowest.store(narrowest(&inner.view()), Ordering::Relaxed);
    let (asked, unused) = (Some(Instant::now()), all(unused, writable));
    let (total, free) = (all(total, weights), all(free, writable));
    *inner.space.lock() = Space { asked, total, free, stored, unused, held_back };
}
