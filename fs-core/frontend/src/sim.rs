//! For simulations: what is wrong on purpose.

use crate::{Frontend, Options, Parts, Shards, Stripes};
use env::{Clock, Random};
use std::sync::Arc;
use types::FsError;

/// [`Frontend::start`] with a bug that tests must find: the search for what a former life left takes stripes that
/// this life is about to commit for some of those, and frees them.
///
/// # Errors
/// Those of [`Frontend::start`].
pub async fn start_freeing_early<S: Shards, D: Stripes>(
    shards: S,
    stripes: D,
    options: Options,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
) -> Result<Frontend<S, D>, FsError> {
    Frontend::start_with(Parts { shards, stripes, options, clock }, random, true).await
}
