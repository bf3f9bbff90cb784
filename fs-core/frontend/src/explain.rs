//! Where data are: for people who ask, and for rebuilding.

use crate::{Frontend, PlacedStripe, Shards, Stripes};
use namespace::queries::content::{Place, locate};
use namespace::queries::inode;
use namespace::queries::pending;
use types::{ByteRange, FileId, FsError, FsId, StripeId};

/// Runs looked at in one step.
const RUNS_MAX: usize = 1024;

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// The stripes that hold the data of a file, each once; none for content kept with the metadata.
    ///
    /// # Errors
    /// Those of writing back what waits, and of reading the metadata.
    pub async fn stripes_of(&self, file: FileId) -> Result<Vec<PlacedStripe>, FsError> {
        if let Some(node) = self.0.nodes.find(file) {
            self.flush(&node).await?;
        }
        let mut stripes: Vec<PlacedStripe> = Vec::new();
        let (mut at, mut size) = (0, 1);
        while at < size {
            let look = || {
                self.look(|map| {
                    let found = inode::inode(map, file)?;
                    let range = ByteRange { offset: at, end: found.size.max(at) };
                    Ok((found.size, locate(map, file, &found, range, RUNS_MAX)?))
                })
            };
            let (runs, told);
            (size, (runs, told)) = self.unlocked(look).await?;
            for run in runs {
                if let Place::Stripe { stripe, record, .. } = run.place
                    && !stripes.iter().any(|known| known.stripe == stripe)
                {
                    stripes.push(PlacedStripe::of(stripe, &record));
                }
            }
            at = told;
        }
        Ok(stripes)
    }

    /// Stripes that files of a filesystem need, in order from `from` on; fewer than `limit` only at the end.
    ///
    /// # Errors
    /// Those of reading the metadata.
    pub async fn live_stripes(
        &self,
        fs: FsId,
        from: StripeId,
        limit: usize,
    ) -> Result<Vec<PlacedStripe>, FsError> {
        let found = self.past(|map| pending::live_stripes(map, fs, from, limit)).await?;
        Ok(found.iter().map(|(stripe, record)| PlacedStripe::of(*stripe, record)).collect())
    }

    /// Whether metadata know a stripe still, be it only to free it.
    ///
    /// # Errors
    /// Those of reading the metadata.
    pub async fn knows_stripe(&self, fs: FsId, stripe: StripeId) -> Result<bool, FsError> {
        self.past(|map| pending::knows_stripe(map, fs, stripe)).await
    }
}
