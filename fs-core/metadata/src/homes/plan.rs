//! What to do with the homes that were found: pure.

use crate::MetadataError;

/// A place in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Place {
    pub(super) term: u64,
    pub(super) index: u64,
}

/// A vote in the order in which votes outdo each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Ballot {
    pub(super) term: u64,
    pub(super) committed: bool,
    pub(super) voter: u64,
}

/// What a reachable home says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// It is marked as a whole copy, by the incarnation that is expected.
    pub(super) counts: bool,
    pub(super) ballot: Option<Ballot>,
    /// The last entry, or the last purged one where there is none.
    pub(super) last: Option<Place>,
}

impl Found {
    fn is_blank(&self) -> bool {
        self.ballot.is_none() && self.last.is_none()
    }
}

/// How the voter's log begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// No home has anything: the shard is new.
    Create,
    /// All homes become like this one, with the highest vote.
    Recover {
        /// Which of the found homes.
        source: usize,
        /// The vote to go on from.
        ballot: Option<Ballot>,
    },
}

/// Decides from the reachable homes of `home_count`.
pub(super) fn plan(home_count: usize, found: &[Found]) -> Result<Plan, MetadataError> {
    let needed = home_count / 2 + 1;
    // Only when all are there and empty can none of the missing ones have anything.
    if found.len() == home_count && found.iter().all(Found::is_blank) {
        return Ok(Plan::Create);
    }
    let counting = || found.iter().enumerate().filter(|(_, home)| home.counts);
    let count = counting().count();
    if count < needed {
        return Err(MetadataError::TooFewHomes { found: count, needed });
    }
    let ballot = counting().filter_map(|(_, home)| home.ballot).max();
    let source = counting().max_by_key(|(_, home)| home.last).map(|(at, _)| at);
    source
        .map(|source| Plan::Recover { source, ballot })
        .ok_or(MetadataError::TooFewHomes { found: count, needed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(term: u64, index: u64) -> Found {
        let ballot = Some(Ballot { term, committed: true, voter: 1 });
        Found { counts: true, ballot, last: Some(Place { term, index }) }
    }

    const BLANK: Found = Found { counts: false, ballot: None, last: None };

    #[test]
    fn a_shard_is_new_only_when_every_home_is_there_and_empty() {
        assert_eq!(plan(3, &[BLANK; 3]).unwrap(), Plan::Create);
        assert!(matches!(plan(3, &[BLANK; 2]), Err(MetadataError::TooFewHomes { found: 0, needed: 2 })));
        assert!(plan(3, &[BLANK, BLANK, home(1, 1)]).is_err());
        assert!(plan(1, &[]).is_err());
    }

    #[test]
    fn the_longest_log_by_term_then_index_wins() {
        let found = [home(2, 5), home(1, 9), home(2, 6)];
        let ballot = Some(Ballot { term: 2, committed: true, voter: 1 });
        assert_eq!(plan(3, &found).unwrap(), Plan::Recover { source: 2, ballot });
    }

    #[test]
    fn a_home_that_does_not_count_is_no_source_and_no_vote() {
        let stale = Found { counts: false, ..home(9, 99) };
        let found = [stale, home(1, 1), home(1, 2)];
        let ballot = Some(Ballot { term: 1, committed: true, voter: 1 });
        assert_eq!(plan(3, &found).unwrap(), Plan::Recover { source: 2, ballot });
        assert!(plan(3, &[stale, home(1, 1), BLANK]).is_err());
    }

    #[test]
    fn the_vote_may_be_ahead_of_the_log() {
        let voted = Found { ballot: Some(Ballot { term: 7, committed: false, voter: 1 }), ..home(1, 1) };
        let Plan::Recover { source, ballot } = plan(3, &[voted, home(1, 2)]).unwrap() else { panic!() };
        assert_eq!((source, ballot.unwrap().term), (1, 7));
    }
}
