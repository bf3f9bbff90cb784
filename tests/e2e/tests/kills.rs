//! The daemon is killed under clients at both doors, and they notice nothing but a pause.

use e2e::Kills;

#[test]
fn no_client_notices_more_than_a_pause() {
    let report = Kills::plexus(20, 3).run().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.rounds, 20);
    assert!(report.steps > 1000, "{report:?} is too little to mean anything");
}
