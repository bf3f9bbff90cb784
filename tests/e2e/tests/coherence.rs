//! All doors see one truth.

use e2e::Coherence;

#[test]
fn all_doors_see_one_truth() {
    let report = Coherence::plexus(1, 4000).run().unwrap_or_else(|error| panic!("{error}"));
    let least = report.operations.values().copied().min().unwrap_or_default();
    assert!(report.operations.len() == 4 && least > 100, "{report:?} is too little to mean anything");
    assert_eq!((report.unknown, report.undecided), (0, 0));
}
