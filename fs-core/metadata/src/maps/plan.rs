//! What to do with the copies of the map that were found: pure.

/// What is found at a seat, `P` being a place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found<P> {
    /// Nothing was ever committed there: what the shard is before its first entry.
    Blank,
    /// A whole copy, of this seat, that has everything up to here.
    Whole(P),
    /// Filled in part, of a former seat, or not readable.
    Useless,
}

/// What becomes of a seat's copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// The shard runs on it.
    Primary,
    /// The log has what it lacks.
    Follow,
    /// It begins anew, from the primary.
    Fill,
}

/// Why the shard cannot be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unfit<P> {
    /// No copy reaches to where the log begins; the best that was found.
    Behind(Option<P>),
    /// A copy has what the log has lost.
    Ahead(P),
}

/// Decides; the log goes on after `purged` and ends with `last`.
pub(super) fn plan<P: Ord + Copy>(
    found: &[Found<P>],
    purged: Option<P>,
    last: Option<P>,
) -> Result<Vec<Fate>, Unfit<P>> {
    let place = |found: &Found<P>| match found {
        Found::Blank => Some(None),
        Found::Whole(at) => Some(Some(*at)),
        Found::Useless => None,
    };
    let best = found.iter().filter_map(place).max().flatten();
    if let Some(ahead) = best.filter(|at| Some(*at) > last) {
        return Err(Unfit::Ahead(ahead));
    }
    let fits = |found: &Found<P>| place(found).is_some_and(|at| at >= purged);
    let primary = found.iter().position(|f| fits(f) && place(f) == Some(best)).ok_or(Unfit::Behind(best))?;
    let fate = |(n, found): (usize, &Found<P>)| match fits(found) {
        _ if n == primary => Fate::Primary,
        true => Fate::Follow,
        false => Fate::Fill,
    };
    Ok(found.iter().enumerate().map(fate).collect())
}

#[cfg(test)]
mod tests {
    use super::Fate::{Fill, Follow, Primary};
    use super::Found::{Blank, Useless, Whole};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_most_advanced_copy_is_the_primary_and_the_log_brings_up_the_others() {
        assert_eq!(
            plan(&[Whole(5), Whole(9), Whole(9)], Some(5), Some(12)),
            Ok(vec![Follow, Primary, Follow])
        );
        assert_eq!(plan(&[Whole(4), Useless, Whole(5)], Some(5), Some(5)), Ok(vec![Fill, Fill, Primary]));
    }

    #[test]
    fn a_blank_copy_will_do_as_long_as_the_log_has_everything() {
        assert_eq!(plan::<u64>(&[Blank, Blank], None, None), Ok(vec![Primary, Follow]));
        assert_eq!(plan(&[Blank, Whole(3), Useless], None, Some(3)), Ok(vec![Follow, Primary, Fill]));
        assert_eq!(plan(&[Blank, Whole(3)], Some(2), Some(3)), Ok(vec![Fill, Primary]));
    }

    #[test]
    fn a_copy_that_is_behind_the_log_or_ahead_of_it_opens_nothing() {
        assert_eq!(plan(&[Blank, Useless], Some(2), Some(3)), Err(Unfit::Behind(None)));
        assert_eq!(plan(&[Whole(1), Useless], Some(2), Some(3)), Err(Unfit::Behind(Some(1))));
        assert_eq!(plan(&[Whole(3), Whole(4)], Some(2), Some(3)), Err(Unfit::Ahead(4)));
        assert_eq!(plan::<u64>(&[], None, None), Err(Unfit::Behind(None)));
        assert_eq!(plan::<u64>(&[Useless], None, None), Err(Unfit::Behind(None)));
    }

    fn found() -> impl Strategy<Value = Found<u64>> {
        prop_oneof![Just(Blank), (0u64..8).prop_map(Whole), Just(Useless)]
    }

    proptest! {
        #[test]
        fn whatever_follows_or_leads_has_all_that_the_log_lacks(
            found in prop::collection::vec(found(), 0..5), purged in prop::option::of(0u64..8), more in 0u64..4,
        ) {
            let last = purged.map_or(more.checked_sub(1), |p| Some(p + more));
            let Ok(fates) = plan(&found, purged, last) else { return Ok(()) };
            prop_assert_eq!(fates.iter().filter(|fate| **fate == Primary).count(), 1);
            for (found, fate) in found.iter().zip(fates) {
                let at = match found { Blank => Some(None), Whole(at) => Some(Some(*at)), Useless => None };
                let fits = at.is_some_and(|at| at >= purged && at <= last);
                prop_assert_eq!(fits, fate != Fill);
            }
        }
    }
}
