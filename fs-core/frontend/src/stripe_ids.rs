//! Stripe identities granted to this frontend and not yet used.

use crate::laying::Laid;
use crate::{Frontend, Shards, Stripes, propose};
use namespace::{Action, Reply};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Range;
use types::{Cred, FileId, FsError, Slot, StripeId};

/// Identities asked for at a time.
const GRANT: u32 = 64;

#[derive(Default)]
pub(crate) struct StripeIds(Mutex<HashMap<Slot, Range<u64>>>);

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// An identity for a stripe of `file`, in the file's slot, which nobody takes for a leftover while it is held.
    pub(crate) async fn stripe_id(&self, file: FileId) -> Result<Laid, FsError> {
        let slot = file.ino.slot();
        let left =
            |ids: &mut HashMap<Slot, Range<u64>>| ids.get_mut(&slot).and_then(Range::next).map(StripeId);
        if let Some(id) = left(&mut self.0.stripe_ids.0.lock()) {
            return Ok(self.0.laying.lay(id));
        }
        let action = Action::GrantStripes { near: file.ino, count: GRANT };
        match self.propose_as(Cred::root(), file.fs, action).await? {
            Reply::Granted { first, count } => {
                // What a racing grant left is used up first; nothing is lost but numbers.
                self.0.stripe_ids.0.lock().insert(slot, first.0 + 1..first.0 + u64::from(count));
                Ok(self.0.laying.lay(first))
            }
            reply => Err(propose::unexpected(&reply)),
        }
    }
}
