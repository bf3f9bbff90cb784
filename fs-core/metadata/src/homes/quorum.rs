//! Which writes are durable, from what the homes say: pure.

/// Counts acknowledgements of homes. Each home takes writes in order, so one number per home says
/// all.
#[derive(Clone, Debug)]
pub(super) struct Quorum {
    needed: usize,
    /// The last write that each home has; none for a home that is out.
    homes: Vec<Option<u64>>,
    last: u64,
    durable: u64,
}

impl Quorum {
    /// `homes` with equal logs, of which `needed` make a write durable. Writes count from 1.
    pub(super) fn new(homes: usize, needed: usize) -> Quorum {
        Quorum { needed, homes: vec![Some(0); homes], last: 0, durable: 0 }
    }

    /// The next write's number, and the homes it goes to.
    pub(super) fn begin(&mut self) -> (u64, Vec<usize>) {
        self.last += 1;
        (self.last, self.current())
    }

    /// The homes that take part.
    pub(super) fn current(&self) -> Vec<usize> {
        (0..self.homes.len()).filter(|home| self.homes[*home].is_some()).collect()
    }

    /// `home` has everything up to `write`.
    pub(super) fn acknowledged(&mut self, home: usize, write: u64) {
        if let Some(Some(has)) = self.homes.get_mut(home) {
            *has = write.max(*has);
        }
        let mut has: Vec<u64> = self.homes.iter().filter_map(|h| *h).collect();
        has.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(enough) = self.needed.checked_sub(1).and_then(|n| has.get(n)) {
            self.durable = self.durable.max(*enough);
        }
    }

    /// `home` is out, until the voter is opened again; whether it was in.
    pub(super) fn failed(&mut self, home: usize) -> bool {
        self.homes.get_mut(home).is_some_and(|has| has.take().is_some())
    }

    /// The last write that is durable.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether nothing more can become durable.
    pub(super) fn is_lost(&self) -> bool {
        self.homes.iter().flatten().count() < self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_durable_with_the_needed_number_of_homes_and_not_before() {
        let mut quorum = Quorum::new(5, 3);
        assert_eq!(quorum.begin(), (1, vec![0, 1, 2, 3, 4]));
        quorum.begin();
        quorum.acknowledged(4, 2);
        quorum.acknowledged(1, 1);
        assert_eq!(quorum.durable(), 0);
        quorum.acknowledged(0, 1);
        assert_eq!(quorum.durable(), 1);
        quorum.acknowledged(0, 2);
        quorum.acknowledged(1, 2);
        assert_eq!(quorum.durable(), 2);
    }

    #[test]
    fn a_failed_home_neither_counts_nor_comes_back() {
        let mut quorum = Quorum::new(3, 2);
        quorum.begin();
        quorum.acknowledged(0, 1);
        assert!(quorum.failed(0));
        assert!(!quorum.failed(0));
        quorum.acknowledged(0, 1);
        quorum.acknowledged(1, 1);
        assert_eq!(quorum.durable(), 0, "home 0 is out, home 1 alone is not enough");
        assert!(!quorum.is_lost());
        quorum.acknowledged(2, 1);
        assert_eq!(quorum.durable(), 1);
        assert_eq!(quorum.begin(), (2, vec![1, 2]));
        quorum.failed(2);
        assert!(quorum.is_lost());
        quorum.acknowledged(1, 2);
        assert_eq!(quorum.durable(), 1);
    }

    #[test]
    fn one_home_is_its_own_quorum() {
        let mut quorum = Quorum::new(1, 1);
        quorum.begin();
        assert_eq!(quorum.durable(), 0);
        quorum.acknowledged(0, 1);
        assert_eq!(quorum.durable(), 1);
        quorum.failed(0);
        assert!(quorum.is_lost());
    }
}
