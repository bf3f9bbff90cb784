//! Rebuilding: writes the chunks that cells of the cluster map lack, until none is filling any more.
//!
//! Nothing is remembered beside the map: a pass goes through all live stripes, those that have lost most
//! first, and what a crash interrupts begins anew.

use crate::core::Files;
use crate::drives::Drives;
use cluster::{CellState, ClusterMap};
use data::{DataError, StripePlace, StripeStore};
use frontend::PlacedStripe;
use frontend::stripe_place;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use types::{FsError, FsId, GroupId, StripeId};

/// Stripes looked up in one step.
const PAGE: usize = 256;
/// Stripes repaired at the same time; the foreground needs the drives too.
const AT_ONCE: usize = 4;
/// Pause after a pass that left something to do; grows up to the second.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A cell that is being filled: group, position, epoch.
type Filling = (GroupId, usize, u64);
/// Cells that still lack something after a pass.
type Lacking = BTreeSet<(GroupId, usize)>;

/// Bytes of chunks with their headers.
#[derive(Default)]
pub(crate) struct Progress {
    /// Written since the start.
    pub(crate) written: AtomicU64,
    /// To be written, of those that the pass that is under way has not come to.
    pub(crate) left: AtomicU64,
}

/// Rebuilds whenever there is something to; ends only when it is stopped, at any moment.
pub(crate) async fn run(drives: Arc<Drives>, files: Arc<Files>, progress: Arc<Progress>) {
    let mut pause = PAUSE;
    loop {
        let filling = filling(&drives.now().recorded.map);
        if filling.is_empty() {
            progress.left.store(0, Ordering::Relaxed);
            pause = PAUSE;
            drives.changed().await;
            continue;
        }
        match pass(&drives, &files, &filling, &progress).await {
            Ok(lacking) => {
                let whole = |(group, cell, _): &&Filling| !lacking.contains(&(*group, *cell));
                let whole: Vec<Filling> = filling.iter().filter(whole).copied().collect();
                tracing::info!(filled = whole.len(), lacking = lacking.len(), "rebuild pass done");
                if let Err(error) = drives.filled(&whole).await {
                    tracing::error!(%error, "what was rebuilt could not be noted");
                }
                if lacking.is_empty() {
                    pause = PAUSE;
                    continue;
                }
            }
            Err(error) => tracing::warn!(%error, "rebuild interrupted; it is tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            () = drives.changed() => pause = PAUSE,
        }
    }
}

fn filling(map: &ClusterMap) -> Vec<Filling> {
    let mut found = Vec::new();
    for (group, row) in (0..).map(GroupId).zip(&map.groups) {
        let cells = row.cells.iter().enumerate().filter(|(_, cell)| cell.state == CellState::Filling);
        found.extend(cells.map(|(n, cell)| (group, n, cell.epoch)));
    }
    found
}

/// One look at every stripe. The cells of `filling` that lack a chunk afterwards come back.
async fn pass(
    drives: &Arc<Drives>,
    files: &Arc<Files>,
    filling: &[Filling],
    progress: &Arc<Progress>,
) -> Result<Lacking, FsError> {
    // Write-backs that began under an older map end first: their stripes may lack what is to be filled.
    // One that fails for good has made no stripe; one that may yet take effect is waited for.
    if let Err(error @ (FsError::Delay | FsError::Uncertain)) = files.flush_all().await {
        return Err(error);
    }
    let map = drives.now().recorded.map.clone();
    let cells: BTreeSet<(GroupId, usize)> = filling.iter().map(|&(group, cell, _)| (group, cell)).collect();
    progress.left.store(left(&map, files, &cells).await?, Ordering::Relaxed);
    let mut lacking = Lacking::new();
    let most = map.groups.iter().map(|group| not_serving(&group.cells)).max().unwrap_or(0);
    for damage in (1..=most).rev() {
        for (_, fs) in files.filesystems().await? {
            let mut from = Some(StripeId(0));
            while let Some(at) = from {
                let (page, next) = page(files, fs, at).await?;
                from = next;
                let in_turn = |stripe: &PlacedStripe| {
                    lacks(&map, stripe, &cells) > 0 && damage_of(&map, stripe) == damage
                };
                let chosen = page.into_iter().filter(in_turn);
                let job = Job { store: drives.store(), files, fs, cells: &cells, progress };
                repair_all(&job, chosen, &mut lacking).await?;
            }
        }
    }
    Ok(lacking)
}

/// Stripes from `at` on, and where to go on.
async fn page(
    files: &Files,
    fs: FsId,
    at: StripeId,
) -> Result<(Vec<PlacedStripe>, Option<StripeId>), FsError> {
    let page = files.live_stripes(fs, at, PAGE).await?;
    let next = match page.last() {
        Some(last) if page.len() == PAGE => last.stripe.0.checked_add(1).map(StripeId),
        _ => None,
    };
    Ok((page, next))
}

/// Bytes that the cells lack, of all stripes.
async fn left(map: &ClusterMap, files: &Files, cells: &BTreeSet<(GroupId, usize)>) -> Result<u64, FsError> {
    let mut left = 0;
    for (_, fs) in files.filesystems().await? {
        let mut from = Some(StripeId(0));
        while let Some(at) = from {
            let (stripes, next) = page(files, fs, at).await?;
            from = next;
            left += stripes.iter().map(|stripe| lacks(map, stripe, cells) * chunk_bytes(stripe)).sum::<u64>();
            tokio::task::yield_now().await;
        }
    }
    Ok(left)
}

/// Bytes of each chunk of a stripe with its header; none of an impossible one.
fn chunk_bytes(stripe: &PlacedStripe) -> u64 {
    stripe_place(*stripe).map_or(0, |at| at.stored_bytes() / at.scheme.width() as u64)
}

fn not_serving(cells: &[cluster::Cell]) -> usize {
    cells.iter().filter(|cell| cell.state != CellState::Serving).count()
}

/// The cells of its group that hold a chunk of a stripe, in the order of the chunks.
fn cells_of(stripe: &PlacedStripe) -> impl Iterator<Item = usize> + use<> {
    let cells = stripe.cells;
    (0..32).filter(move |n| cells >> n & 1 == 1)
}

/// Number of chunks of a stripe that belong into cells which are being filled.
fn lacks(map: &ClusterMap, stripe: &PlacedStripe, filling: &BTreeSet<(GroupId, usize)>) -> u64 {
    if map.group(stripe.group).is_none() {
        return 0;
    }
    cells_of(stripe).filter(|cell| filling.contains(&(stripe.group, *cell))).count() as u64
}

fn damage_of(map: &ClusterMap, stripe: &PlacedStripe) -> usize {
    let Some(group) = map.group(stripe.group) else { return 0 };
    let state = |cell: usize| group.cells.get(cell).map(|cell| cell.state);
    cells_of(stripe).filter(|&cell| state(cell) != Some(CellState::Serving)).count()
}

/// What all repairs of a page share.
struct Job<'a> {
    store: &'a StripeStore,
    files: &'a Arc<Files>,
    fs: FsId,
    cells: &'a BTreeSet<(GroupId, usize)>,
    progress: &'a Arc<Progress>,
}

async fn repair_all(
    job: &Job<'_>,
    stripes: impl Iterator<Item = PlacedStripe>,
    lacking: &mut Lacking,
) -> Result<(), FsError> {
    let mut repairs = JoinSet::new();
    let mut stripes = stripes.fuse();
    loop {
        while repairs.len() < AT_ONCE
            && let Some(stripe) = stripes.next()
        {
            let (store, files, fs) = (job.store.clone(), job.files.clone(), job.fs);
            repairs.spawn(async move { (stripe, repair(&store, &files, fs, stripe).await) });
        }
        let Some(ended) = repairs.join_next().await else { return Ok(()) };
        let (stripe, Repaired { written, away }) = ended.map_err(|_| FsError::Io)?;
        let mine = |cell: &(GroupId, usize)| job.cells.contains(cell);
        let bytes = chunk_bytes(&stripe);
        job.progress.written.fetch_add(written * bytes, Ordering::Relaxed);
        let seen = cells_of(&stripe).filter(|cell| mine(&(stripe.group, *cell))).count() as u64 * bytes;
        let fewer = |left: u64| Some(left.saturating_sub(seen));
        let _ = job.progress.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        let missing = cells_of(&stripe).zip(0u8..).filter(|(_, index)| away.contains(index));
        lacking.extend(missing.map(|(cell, _)| (stripe.group, cell)).filter(mine));
    }
}

/// What became of a stripe: chunks written, and the indexes of those that it still lacks.
struct Repaired {
    written: u64,
    away: Vec<u8>,
}

/// Repairs one stripe.
async fn repair(store: &StripeStore, files: &Files, fs: FsId, stripe: PlacedStripe) -> Repaired {
    let all = || Repaired { written: 0, away: (0u8..).take(cells_of(&stripe).count()).collect() };
    let none = || Repaired { written: 0, away: Vec::new() };
    let at: StripePlace = match stripe_place(stripe) {
        Ok(at) => at,
        Err(error) => {
            tracing::error!(stripe = stripe.stripe.0, %error, "stripe not rebuilt");
            return all();
        }
    };
    let result = store.repair(&at).await;
    let known = files.knows_stripe(fs, stripe.stripe).await.unwrap_or(true);
    match result {
        Ok(report) if known || report.repaired.is_empty() => {
            Repaired { written: report.repaired.len() as u64, away: report.away }
        }
        // Freed while it was repaired, and partly made again.
        Ok(_) => {
            if let Err(error) = store.free(&at).await {
                tracing::warn!(stripe = stripe.stripe.0, %error, "an orphan stripe stays");
            }
            none()
        }
        Err(_) if !known => none(),
        Err(error @ DataError::Lost(_)) => {
            tracing::error!(stripe = stripe.stripe.0, %error, "stripe cannot be rebuilt");
            all()
        }
        Err(error) => {
            tracing::warn!(stripe = stripe.stripe.0, %error, "stripe not rebuilt yet");
            all()
        }
    }
}
