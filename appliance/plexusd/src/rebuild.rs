//! Rebuilding: writes the chunks that cells of the cluster map lack, until none is filling any more.
//!
//! Nothing is remembered beside the map: a pass goes through all live stripes, those that have lost most
//! first, and what a crash interrupts begins anew.

use crate::core::Files;
use crate::drives::Drives;
use crate::stripes::place;
use cluster::{CellState, ClusterMap};
use data::{DataError, StripePlace, StripeStore};
use frontend::PlacedStripe;
use std::collections::BTreeSet;
use std::sync::Arc;
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

/// Rebuilds whenever there is something to; ends only when it is stopped, at any moment.
pub(crate) async fn run(drives: Arc<Drives>, files: Arc<Files>) {
    let mut pause = PAUSE;
    loop {
        let filling = filling(&drives.now().recorded.map);
        if filling.is_empty() {
            pause = PAUSE;
            drives.changed().await;
            continue;
        }
        match pass(&drives, &files, &filling).await {
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
async fn pass(drives: &Arc<Drives>, files: &Arc<Files>, filling: &[Filling]) -> Result<Lacking, FsError> {
    // Write-backs that began under an older map end first: their stripes may lack what is to be filled.
    // One that fails for good has made no stripe; one that may yet take effect is waited for.
    if files.flush_all().await == Err(FsError::Delay) {
        return Err(FsError::Delay);
    }
    let map = drives.now().recorded.map.clone();
    let cells: BTreeSet<(GroupId, usize)> = filling.iter().map(|&(group, cell, _)| (group, cell)).collect();
    let mut lacking = Lacking::new();
    let most = map.groups.iter().map(|group| not_serving(&group.cells)).max().unwrap_or(0);
    for damage in (1..=most).rev() {
        let in_turn =
            |stripe: &PlacedStripe| lacks(&map, stripe, &cells) && damage_of(&map, stripe) == damage;
        for (_, fs) in files.filesystems()? {
            let mut from = Some(StripeId(0));
            while let Some(at) = from {
                let page = files.live_stripes(fs, at, PAGE)?;
                from = match page.last() {
                    Some(last) if page.len() == PAGE => last.stripe.0.checked_add(1).map(StripeId),
                    _ => None,
                };
                let chosen = page.into_iter().filter(&in_turn);
                repair_all(drives.store(), files, fs, chosen, &cells, &mut lacking).await?;
            }
        }
    }
    Ok(lacking)
}

fn not_serving(cells: &[cluster::Cell]) -> usize {
    cells.iter().filter(|cell| cell.state != CellState::Serving).count()
}

/// The cells of its group that hold a chunk of a stripe, in the order of the chunks.
fn cells_of(stripe: &PlacedStripe) -> impl Iterator<Item = usize> + use<> {
    let cells = stripe.cells;
    (0..32).filter(move |n| cells >> n & 1 == 1)
}

fn lacks(map: &ClusterMap, stripe: &PlacedStripe, filling: &BTreeSet<(GroupId, usize)>) -> bool {
    map.group(stripe.group).is_some() && cells_of(stripe).any(|cell| filling.contains(&(stripe.group, cell)))
}

fn damage_of(map: &ClusterMap, stripe: &PlacedStripe) -> usize {
    let Some(group) = map.group(stripe.group) else { return 0 };
    let state = |cell: usize| group.cells.get(cell).map(|cell| cell.state);
    cells_of(stripe).filter(|&cell| state(cell) != Some(CellState::Serving)).count()
}

async fn repair_all(
    store: &StripeStore,
    files: &Arc<Files>,
    fs: FsId,
    stripes: impl Iterator<Item = PlacedStripe>,
    cells: &BTreeSet<(GroupId, usize)>,
    lacking: &mut Lacking,
) -> Result<(), FsError> {
    let mut repairs = JoinSet::new();
    let mut stripes = stripes.fuse();
    loop {
        while repairs.len() < AT_ONCE
            && let Some(stripe) = stripes.next()
        {
            let (store, files) = (store.clone(), files.clone());
            repairs.spawn(async move { (stripe, repair(&store, &files, fs, stripe).await) });
        }
        let Some(ended) = repairs.join_next().await else { return Ok(()) };
        let (stripe, away) = ended.map_err(|_| FsError::Io)?;
        let missing = cells_of(&stripe).zip(0u8..).filter(|(_, index)| away.contains(index));
        let missing = missing.map(|(cell, _)| (stripe.group, cell));
        lacking.extend(missing.filter(|cell| cells.contains(cell)));
    }
}

/// Repairs one stripe; the indexes of chunks that it still lacks come back.
async fn repair(store: &StripeStore, files: &Files, fs: FsId, stripe: PlacedStripe) -> Vec<u8> {
    let all = || (0u8..).take(cells_of(&stripe).count()).collect();
    let at: StripePlace = match place(stripe) {
        Ok(at) => at,
        Err(error) => {
            tracing::error!(stripe = stripe.stripe.0, %error, "stripe not rebuilt");
            return all();
        }
    };
    let result = store.repair(&at).await;
    let known = files.knows_stripe(fs, stripe.stripe).unwrap_or(true);
    match result {
        Ok(report) if known || report.repaired.is_empty() => report.away,
        // Freed while it was repaired, and partly made again.
        Ok(_) => {
            if let Err(error) = store.free(&at).await {
                tracing::warn!(stripe = stripe.stripe.0, %error, "an orphan stripe stays");
            }
            Vec::new()
        }
        Err(_) if !known => Vec::new(),
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
