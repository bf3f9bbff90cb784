//! What the tests share that cut the power at every point of many histories.

use std::fmt::Debug;
use std::ops::Range;

/// Says where a test was when it failed.
pub(crate) struct Told<T: Debug>(pub(crate) T);

impl<T: Debug> Drop for Told<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", self.0);
        }
    }
}

/// Histories, points and power cuts tried.
#[derive(Default, Debug)]
pub(crate) struct Tried {
    pub(crate) histories: u64,
    pub(crate) points: u64,
    pub(crate) cuts: u64,
}

/// The seeds of what does not fit into every run: `PLEXUS_SEED` is the first, `PLEXUS_SEEDS` how many.
pub(crate) fn chosen() -> Range<u64> {
    let told = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let first = told("PLEXUS_SEED").unwrap_or(0);
    first..first + told("PLEXUS_SEEDS").unwrap_or(1)
}
