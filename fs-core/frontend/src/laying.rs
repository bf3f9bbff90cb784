//! Stripes on their way from a writer of this frontend into the map: nobody may take them for leftovers, however long
//! that takes, nor clean them before all of them is there.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::StripeId;

/// All of them; each is one of a write that is under way.
#[derive(Clone, Default)]
pub(crate) struct Laying(Arc<Mutex<BTreeSet<StripeId>>>);

/// One of them, until it is dropped: after the last command that brings anything of it, or that could.
pub(crate) struct Laid {
    laying: Laying,
    pub(crate) stripe: StripeId,
}

impl Laying {
    /// Must be called before the first chunk of the stripe is written. An identity is for one write.
    pub(crate) fn lay(&self, stripe: StripeId) -> Laid {
        self.0.lock().insert(stripe);
        Laid { laying: self.clone(), stripe }
    }

    pub(crate) fn has(&self, stripe: StripeId) -> bool {
        self.0.lock().contains(&stripe)
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        self.laying.0.lock().remove(&self.stripe);
    }
}
