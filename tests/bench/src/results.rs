//! What was measured, and the middle of it.

use crate::counts::Counts;
use crate::disk::Traffic;
use crate::rows::{Row, Work};
use crate::systems::Kind;
use std::collections::BTreeMap;
use std::time::Duration;

/// One row of one system in one pass.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What was done.
    pub work: Work,
    /// Processor time of the system's processes; none for what has no processes.
    pub cpu: Option<Duration>,
    /// What went to its disks until it was settled.
    pub traffic: Traffic,
}

/// The middle of some numbers, and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The one in the middle; of an even number the mean of two.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these; `None` of none.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = numbers.into_iter().filter(|number| number.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = |at: usize| sorted.get(at).copied().unwrap_or(max);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { middle(half) } else { f64::midpoint(middle(half - 1), middle(half)) };
        Some(Spread { min, median, max })
    }
}

/// What an operation costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Processor time of the system's processes, in microseconds.
    Cpu,
    /// Their system calls.
    Calls,
    /// Their context switches.
    Switches,
    /// Bytes written to disks, for each that the user wrote.
    BytesPerByte,
    /// Bytes written to disks, where the user wrote none.
    Bytes,
    /// Write requests to disks.
    Writes,
    /// Flushes of disks.
    Flushes,
}

impl Cost {
    /// All, in the order of the table.
    pub const ALL: [Cost; 7] = [
        Cost::Cpu,
        Cost::Calls,
        Cost::Switches,
        Cost::BytesPerByte,
        Cost::Bytes,
        Cost::Writes,
        Cost::Flushes,
    ];

    /// Less than this, of all systems, is not worth a line.
    #[must_use]
    pub fn least(self) -> f64 {
        match self {
            Cost::Bytes => 100.0,
            Cost::Writes | Cost::Flushes => 0.05,
            _ => 0.005,
        }
    }

    /// Its head.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Cost::Cpu => "CPU, µs",
            Cost::Calls => "system calls",
            Cost::Switches => "context switches",
            Cost::BytesPerByte => "bytes to drives per user byte",
            Cost::Bytes => "bytes to drives",
            Cost::Writes => "writes to drives",
            Cost::Flushes => "flushes of drives",
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Results {
    samples: BTreeMap<(Row, Kind), Vec<Sample>>,
    counts: BTreeMap<(Row, Kind), (Counts, f64)>,
    /// What went wrong, in words.
    pub failures: Vec<String>,
}

impl Results {
    /// Adds what a timed pass gave.
    pub fn add(&mut self, row: Row, kind: Kind, sample: Sample) {
        self.samples.entry((row, kind)).or_default().push(sample);
    }

    /// Adds what the counting pass gave.
    pub fn add_counts(&mut self, row: Row, kind: Kind, counts: Counts, work: Work) {
        self.counts.insert((row, kind), (counts, work.operations));
    }

    /// Operations in a second.
    #[must_use]
    pub fn rate(&self, row: Row, kind: Kind) -> Option<Spread> {
        Spread::of(self.all(row, kind).map(|sample| sample.work.operations / sample.work.seconds))
    }

    /// How many times as fast one is as another, by their medians.
    #[must_use]
    pub fn ratio(&self, row: Row, kind: Kind, peer: Kind) -> Option<f64> {
        Some(self.rate(row, kind)?.median / self.rate(row, peer)?.median)
    }

    /// What an operation costs, the median of it.
    #[must_use]
    pub fn cost(&self, row: Row, kind: Kind, cost: Cost) -> Option<f64> {
        let (counts, counted) = self.counts.get(&(row, kind)).copied().unzip();
        let per = |count: Option<u64>| Some(count? as f64 / counted?);
        match cost {
            Cost::Calls => return per(counts.map(|counts| counts.calls)),
            Cost::Switches => return per(counts.and_then(|counts| counts.switches)),
            _ => {}
        }
        let one = |sample: &Sample| {
            let (operations, traffic) = (sample.work.operations, sample.traffic);
            let user_bytes = sample.work.user_bytes;
            match cost {
                Cost::Cpu => Some(sample.cpu?.as_secs_f64() * 1e6 / operations),
                Cost::BytesPerByte => Some(traffic.bytes as f64 / user_bytes? as f64),
                Cost::Bytes if user_bytes.is_none() => Some(traffic.bytes as f64 / operations),
                Cost::Writes => Some(traffic.writes as f64 / operations),
                Cost::Flushes => Some(traffic.flushes as f64 / operations),
                _ => None,
            }
        };
        Spread::of(self.all(row, kind).filter_map(one)).map(|spread| spread.median)
    }

    /// Ours that are under a quarter of a peer: row, ours, the peer, the ratio.
    #[must_use]
    pub fn slow(&self) -> Vec<(Row, Kind, Kind, f64)> {
        let pairs = Kind::all().iter().flat_map(|&kind| kind.peers().iter().map(move |&peer| (kind, peer)));
        let all = pairs.flat_map(|(kind, peer)| Row::all().into_iter().map(move |row| (row, kind, peer)));
        let ratios =
            all.filter_map(|(row, kind, peer)| Some((row, kind, peer, self.ratio(row, kind, peer)?)));
        ratios.filter(|(.., ratio)| *ratio < 0.25).collect()
    }

    fn all(&self, row: Row, kind: Kind) -> impl Iterator<Item = &Sample> {
        self.samples.get(&(row, kind)).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(operations: f64, seconds: f64) -> Sample {
        let work = Work { operations, seconds, user_bytes: Some(1000) };
        let traffic = Traffic { bytes: 1500, writes: 20, flushes: 10 };
        Sample { work, cpu: Some(Duration::from_millis(1)), traffic }
    }

    #[test]
    fn the_middle_is_in_the_middle() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn rates_ratios_and_costs_follow_from_samples() {
        let mut results = Results::default();
        let row = Row::SyncedWrite;
        for (kind, operations) in [(Kind::PlexusFuse, 10.0), (Kind::Juicefs, 100.0), (Kind::Ext4, 20.0)] {
            results.add(row, kind, sample(operations, 1.0));
        }
        results.add_counts(
            row,
            Kind::PlexusFuse,
            Counts { calls: 80, switches: None },
            sample(20.0, 1.0).work,
        );
        assert_eq!(results.ratio(row, Kind::PlexusFuse, Kind::Juicefs), Some(0.1));
        assert_eq!(results.slow(), [(row, Kind::PlexusFuse, Kind::Juicefs, 0.1)]);
        let cost = |cost| results.cost(row, Kind::PlexusFuse, cost);
        assert_eq!(cost(Cost::Calls), Some(4.0));
        assert_eq!(cost(Cost::Switches), None);
        assert_eq!(cost(Cost::Cpu), Some(100.0));
        assert_eq!(cost(Cost::BytesPerByte), Some(1.5));
        assert_eq!(cost(Cost::Bytes), None);
        assert_eq!(cost(Cost::Flushes), Some(1.0));
    }
}
