//! Stripe identities, and stripes whose chunks are gone.

use crate::command::Reply;
use crate::inodes::{Step, Work};
use crate::keys;
use types::{FsError, InodeId, StripeId};

/// Most identities in one grant.
const GRANT_MAX: u32 = 65_536;

/// Grants identities that nobody had and nobody else gets.
pub(crate) fn grant(work: &mut Work<'_>, near: InodeId, count: u32) -> Step<Reply> {
    let slot = near.slot();
    let mut counters = work.stripe_counters(slot)?;
    let last = counters.stripe.saturating_add(u64::from(count));
    if count == 0 || count > GRANT_MAX || last >> InodeId::SEQUENCE_BITS != 0 {
        return Err(FsError::Invalid.into());
    }
    let first = StripeId(InodeId::new(slot, counters.stripe + 1).0);
    counters.stripe = last;
    work.put_stripe_counters(slot, &counters);
    Ok(Reply::Granted { first, count })
}

/// Forgets garbage whose chunks have been freed.
pub(crate) fn forget(work: &mut Work<'_>, stripes: &[StripeId]) -> Step<Reply> {
    for stripe in stripes {
        work.map.delete(&keys::garbage(work.fs, *stripe));
    }
    Ok(Reply::Done)
}
