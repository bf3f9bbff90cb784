//! What a former life left: intents, and stripes that nobody committed. Its orphans go at the end of grace.

use super::Work;
use crate::look::read;
use crate::parts::{ListFrom, ListedStripe};
use crate::{Frontend, Shards, ShardsView, Stripes};
use namespace::queries::{accounts, inode, pending};
use std::time::Duration;
use tokio::time::Instant;
use types::FsError;

/// Stripes of one step.
const PAGE: usize = 4096;
/// How long what a former life left is looked for while a drive does not answer, and the time between two tries. Then
/// it is found by who compares what drives have with the map.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn take_over<S: Shards, D: Stripes>(frontend: &Frontend<S, D>) -> Result<(), FsError> {
    let born = frontend.view_of_all().await?;
    for fs in read(&born, inode::filesystems).await? {
        for file in read(&born, |map| pending::intents(map, fs.id)).await? {
            frontend.later(Work::Drain(file));
        }
    }
    tokio::spawn(uncommitted(frontend.clone(), born));
    Ok(())
}

/// Frees what drives have and was never committed. `born` is the map from before this life granted anything: a
/// stripe that was granted then and is not known now cannot be committed any more.
async fn uncommitted<S: Shards, D: Stripes>(frontend: Frontend<S, D>, born: S::View) {
    let weak = std::sync::Arc::downgrade(&frontend.0);
    drop(frontend);
    let (mut from, begun) = (None, Instant::now());
    loop {
        let Some(inner) = weak.upgrade() else { return };
        match free_uncommitted(&Frontend(inner), &born, from).await {
            Ok(Some(next)) => from = Some(next),
            Ok(None) => break,
            Err(error) if begun.elapsed() < PATIENCE => {
                tracing::debug!(%error, "stripes that were never committed are looked for again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::warn!(%error, "stripes that were never committed stay until all drives answer");
                return;
            }
        }
        tokio::task::yield_now().await;
    }
    let Some(inner) = weak.upgrade() else { return };
    let buried = read(&born, pending::buried).await;
    drop(born);
    let this = Frontend(inner);
    let unburied = async { this.unbury(buried?).await }.await;
    if let Err(error) = unburied {
        tracing::warn!(%error, "what was buried stays so until the next start");
    }
}

/// One page of the drives' listing; where to go on comes back.
async fn free_uncommitted<S: Shards, D: Stripes>(
    frontend: &Frontend<S, D>,
    born: &S::View,
    from: Option<ListFrom>,
) -> Result<Option<ListFrom>, String> {
    let page = frontend.0.stripes.list(from, PAGE).await.map_err(|error| error.to_string())?;
    let mut unknown = Vec::new();
    {
        // Taken after the listing, so that what is committed is in it.
        let view = frontend.past_view();
        for ListedStripe { place, .. } in &page.stripes {
            let old = read(born, |map| pending::was_granted(map, place.stripe)).await;
            let old = old.map_err(|error| error.to_string())?;
            let known = read(&view, |map| accounts::find_stripe(map, place.stripe)).await;
            let known = known.map_err(|error| error.to_string())?;
            // A write that went elsewhere in the end may have left chunks where it was tried first. Those
            // of one group have the same names wherever they are, and stay.
            if (old || frontend.0.hasty) && known.is_none_or(|known| known.record.group != place.group) {
                unknown.push(*place);
            }
        }
    }
    born.forget();
    if !unknown.is_empty() {
        tracing::info!(stripes = unknown.len(), "freeing stripes that were never committed");
        let freed: Result<(), _> = frontend.0.stripes.free(&unknown).await.into_iter().collect();
        freed.map_err(|error| error.to_string())?;
    }
    Ok(page.next)
}
