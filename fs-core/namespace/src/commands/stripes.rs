//! Stripe identities, and stripes whose chunks are gone.

use crate::inodes::{Step, Stop, Work};
use crate::keys;
use crate::outcome::Reply;
use crate::queries::QueryError;
use crate::queries::accounts::filesystems_in;
use crate::records::{Buried, Stripe};
use types::{FsError, InodeId, Slot, StripeId};

/// Most identities in one grant.
const GRANT_MAX: u32 = 65_536;
/// Most stripes forgotten at once: each has its key and, at worst, an account of its own.
pub(crate) const FORGET_MAX: usize = 400;

const _: () = assert!(2 * FORGET_MAX < types::limits::COMMAND_KEYS_MAX);

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
    if stripes.len() > FORGET_MAX {
        return Err(FsError::Invalid.into());
    }
    for stripe in stripes {
        let key = keys::garbage(work.fs, *stripe);
        if let Some(record) = work.read().record::<Stripe>(&key)? {
            work.map.delete(&key);
            work.lose(InodeId(stripe.0).slot()).add_garbage(&record);
        }
    }
    Ok(Reply::Done)
}

/// Buries those that were granted and that no filesystem knows.
pub(crate) fn bury(work: &mut Work<'_>, stripes: &[StripeId]) -> Step<Reply> {
    let mut buried = Vec::new();
    let Some(slot) = slot_of_all(stripes)? else { return Ok(Reply::Buried(buried)) };
    let granted = work.stripe_counters(slot)?.stripe;
    let filesystems = filesystems_in(work.map, slot).map_err(|error| match error {
        QueryError::Fs(error) => Stop::from(error),
        QueryError::Map(error) => error.into(),
    })?;
    for &stripe in stripes.iter().filter(|stripe| InodeId(stripe.0).sequence() <= granted) {
        let mut known = false;
        for &fs in &filesystems {
            known |= work.map.get(&keys::stripe(fs, stripe))?.is_some();
            known |= work.map.get(&keys::garbage(fs, stripe))?.is_some();
        }
        if !known {
            work.put(&keys::buried(stripe), &Buried);
            buried.push(stripe);
        }
    }
    Ok(Reply::Buried(buried))
}

pub(crate) fn unbury(work: &mut Work<'_>, stripes: &[StripeId]) -> Step<Reply> {
    slot_of_all(stripes)?;
    for stripe in stripes {
        work.map.delete(&keys::buried(*stripe));
    }
    Ok(Reply::Done)
}

fn slot_of_all(stripes: &[StripeId]) -> Step<Option<Slot>> {
    let slot = |stripe: &StripeId| InodeId(stripe.0).slot();
    let first = stripes.first().map(slot);
    let same = stripes.iter().all(|stripe| Some(slot(stripe)) == first);
    if same && stripes.len() <= FORGET_MAX { Ok(first) } else { Err(FsError::Invalid.into()) }
}
