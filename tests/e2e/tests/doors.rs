//! One tree through both doors, step by step the same as a local folder.

use e2e::Doors;

#[test]
fn both_doors_answer_as_a_local_folder_does() {
    let report = Doors::plexus(1, 3000).run().unwrap_or_else(|error| panic!("{error}"));
    let (done, refused) = report.total();
    assert!(done > 1500 && refused > 100, "{report:?}");
    // What a door could refuse altogether without being different is done, too.
    for kind in ["Open", "Read", "Write", "Rename", "Lock", "Copy", "Allocate", "SetAttribute", "Tree"] {
        assert!(report.steps.get(kind).is_some_and(|(done, _)| *done > 5), "{kind}: {report:?}");
    }
}
