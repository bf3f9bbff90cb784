//! Programs that people run, on the daemon; every client in part 8 of the long runs.

use e2e::{Everyday, Guest, Through};

fn all_are_well(through: Through) {
    let lines = Everyday::plexus(through, 1).run().unwrap_or_else(|error| panic!("{error}"));
    let parts: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(parts, ["git", "tar", "sqlite", "fio", "rsync", "make"]);
}

#[test]
fn people_are_well_through_fuse() {
    all_are_well(Through::Fuse);
}

#[test]
fn people_are_well_through_nfs() {
    all_are_well(Through::Nfs(Guest::uml(), 2));
}
