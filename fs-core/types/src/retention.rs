//! What may not be changed until a time has come (WORM, object lock).

use crate::Time;
use serde::{Deserialize, Serialize};

/// What keeps a file as it is: while it [holds](Retention::holds), nobody changes content, attributes or names of the
/// file, whatever else they may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Retention {
    /// The file is retained until then, in seconds since 1970; 0: it is not.
    pub until: i64,
    /// Nobody may shorten that (compliance); else whoever says so (governance).
    pub compliance: bool,
    /// It is kept until that is taken back (a legal hold).
    pub hold: bool,
}

impl Retention {
    /// Whether it keeps the file as it is at `now`.
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        self.hold || self.is_retained(now)
    }

    /// Until when the way to the file has to be guarded, see [`Guard::until`]; 0: it need not be.
    #[must_use]
    pub fn guarded_until(&self) -> i64 {
        if self.hold { Guard::ALWAYS } else { self.until }
    }

    /// Without looking at a hold. Also before 1970, 0 is no time.
    fn is_retained(&self, now: Time) -> bool {
        self.until > 0 && self.until > now.seconds
    }

    /// Whether at `now` this may take the place of `old`; that governance may be gone around, whoever asks says with
    /// `bypass`.
    #[must_use]
    pub fn may_follow(&self, old: &Retention, now: Time, bypass: bool) -> bool {
        let retained = old.is_retained(now);
        let weaker = self.until < old.until || self.compliance != old.compliance && !self.compliance;
        let changes_mode = self.compliance != old.compliance;
        match (retained, old.compliance) {
            (false, _) => true,
            (true, true) => !weaker,
            (true, false) => bypass || !(weaker || changes_mode),
        }
    }
}

/// What keeps a directory on the way to what is retained: until then it is neither moved nor renamed while something is
/// in it, so that what is retained stays where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Guard {
    /// Seconds since 1970; [`Guard::ALWAYS`]: no end is known.
    pub until: i64,
    /// It is not removed or renamed when it is empty either.
    pub itself: bool,
}

impl Guard {
    /// Without an end.
    pub const ALWAYS: i64 = i64::MAX;

    /// Whether it stands at `now`.
    #[must_use]
    pub fn stands(&self, now: Time) -> bool {
        self.until > 0 && self.until > now.seconds
    }

    /// Both.
    #[must_use]
    pub fn with(self, other: Guard) -> Guard {
        Guard { until: self.until.max(other.until), itself: self.itself || other.itself }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_only_grows_but_for_governance_and_who_says_so() {
        let now = Time { seconds: 100, nanoseconds: 0 };
        let of = |until, compliance| Retention { until, compliance, hold: false };
        for (old, new, bypass, may) in [
            (of(0, false), of(200, false), false, true),
            (of(200, false), of(300, false), false, true),
            (of(200, false), of(150, false), false, false),
            (of(200, false), of(150, false), true, true),
            (of(200, false), of(200, true), false, false),
            (of(200, false), of(200, true), true, true),
            (of(200, true), of(300, true), false, true),
            (of(200, true), of(150, true), true, false),
            (of(200, true), of(300, false), true, false),
            (of(200, true), of(0, false), true, false),
            (of(100, true), of(0, false), false, true),
        ] {
            assert_eq!(new.may_follow(&old, now, bypass), may, "{old:?} to {new:?}, {bypass}");
        }
        let held = Retention { hold: true, ..of(0, false) };
        assert!(held.holds(now) && of(101, false).holds(now) && !of(100, true).holds(now));
        let before_1970 = Time { seconds: -5, nanoseconds: 0 };
        assert!(!of(0, false).holds(before_1970) && !Guard::default().stands(before_1970));
    }
}
