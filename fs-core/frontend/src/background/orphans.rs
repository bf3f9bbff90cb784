//! Chunks that no map knows: of writes that never came to an end. Counting again finds them; here they are freed.
//!
//! Whoever wrote them may be about to commit them, however long it takes. So the shard is asked first: a stripe
//! that it has buried is refused when it is committed, and its writer, if there is one, writes another.

use crate::propose::unexpected;
use crate::{Frontend, PlacedStripe, Shards, Stripes};
use namespace::{Action, Reply};
use std::collections::{BTreeMap, BTreeSet};
use types::{Cred, FsError, FsId, InodeId, Slot, StripeId};

/// Stripes of one command.
const STRIPES: usize = 256;

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Frees those of the stripes that no filesystem knows, and those that their writer has written elsewhere in the
    /// end: `elsewhere`.
    pub(super) async fn free_orphans(
        &self,
        unknown: &[PlacedStripe],
        elsewhere: &[PlacedStripe],
    ) -> Result<(), FsError> {
        let mut by_slot: BTreeMap<Slot, BTreeSet<StripeId>> = BTreeMap::new();
        for place in unknown {
            by_slot.entry(InodeId(place.stripe.0).slot()).or_default().insert(place.stripe);
        }
        let mut buried = BTreeSet::new();
        for stripes in by_slot.into_values() {
            let stripes: Vec<StripeId> = stripes.into_iter().collect();
            for stripes in stripes.chunks(STRIPES) {
                let action = Action::Bury { stripes: stripes.to_vec() };
                match self.propose_as(Cred::root(), FsId(0), action).await? {
                    Reply::Buried(stripes) => buried.extend(stripes),
                    reply => return Err(unexpected(&reply)),
                }
            }
        }
        let mut free: Vec<PlacedStripe> =
            unknown.iter().filter(|place| buried.contains(&place.stripe)).copied().collect();
        free.extend(elsewhere);
        if !free.is_empty() {
            tracing::info!(stripes = free.len(), "freeing stripes that were never committed");
            self.free_unneeded(&free).await;
        }
        Ok(())
    }

    /// What a former life buried nobody can commit any more.
    pub(super) async fn unbury(&self, buried: Vec<StripeId>) -> Result<(), FsError> {
        let mut by_slot: BTreeMap<Slot, Vec<StripeId>> = BTreeMap::new();
        for stripe in buried {
            by_slot.entry(InodeId(stripe.0).slot()).or_default().push(stripe);
        }
        for stripes in by_slot.into_values() {
            for stripes in stripes.chunks(STRIPES) {
                let action = Action::Unbury { stripes: stripes.to_vec() };
                self.propose_as(Cred::root(), FsId(0), action).await?;
            }
        }
        Ok(())
    }
}
