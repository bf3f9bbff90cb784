//! Placement must be balanced, keep domains apart, and move nothing that need not move.

use super::*;
use proptest::prelude::*;

fn drives(count: u32, per_domain: u32, weight: impl Fn(u32) -> u32) -> Vec<DriveInfo> {
    let drive = |n| DriveInfo {
        id: DriveId(n),
        domain: DomainId(n / per_domain),
        weight: weight(n),
        state: DriveState::Up,
    };
    (0..count).map(drive).collect()
}

fn map(count: u32, data: u8, parity: u8) -> ClusterMap {
    let scheme = Scheme::new(data, parity).unwrap();
    ClusterMap::create([1; 16], scheme, drives(count, 1, |_| 100)).unwrap()
}

fn loads(map: &ClusterMap) -> BTreeMap<DriveId, usize> {
    let mut loads: BTreeMap<DriveId, usize> = up(&map.drives).map(|d| (d.id, 0)).collect();
    for cell in map.groups.iter().flat_map(|g| &g.cells).filter(|c| c.state != CellState::Lost) {
        *loads.entry(cell.drive).or_default() += 1;
    }
    loads
}

fn spread(counts: impl Iterator<Item = usize> + Clone) -> usize {
    counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0)
}

#[test]
fn one_drive_has_one_group_and_six_have_six() {
    assert_eq!(map(1, 1, 0).groups.len(), 1);
    assert_eq!(map(3, 1, 0).groups.len(), 3);
    assert_eq!(map(6, 4, 2).groups.len(), 6);
    assert_eq!(map(410, 8, 2).groups.len(), GROUPS_MAX);
}

#[test]
fn pairs_and_positions_are_balanced_too() {
    for (count, data, parity) in [(6, 4, 2), (8, 4, 2), (12, 8, 2), (9, 2, 1), (20, 16, 4), (30, 4, 2)] {
        let map = map(count, data, parity);
        let width = map.scheme.width();
        let (mut pairs, mut positions) = (BTreeMap::new(), BTreeMap::new());
        for a in 0..count {
            positions.extend((0..width).map(|p| ((a, p), 0)));
            pairs.extend((a + 1..count).map(|b| ((a, b), 0)));
        }
        for group in &map.groups {
            for (p, cell) in group.cells.iter().enumerate() {
                *positions.get_mut(&(cell.drive.0, p)).unwrap() += 1;
                for other in &group.cells {
                    if let Some(met) = pairs.get_mut(&(cell.drive.0, other.drive.0)) {
                        *met += 1;
                    }
                }
            }
        }
        assert!(spread(loads(&map).values().copied()) <= 1, "{count} {data}+{parity}");
        let average = pairs.values().sum::<usize>() as f64 / pairs.len() as f64;
        let worst = *pairs.values().max().unwrap() as f64;
        assert!(worst <= 1.25 * average + 2.0, "{count} {data}+{parity}: pairs {worst} {average}");
        assert!(spread(positions.values().copied()) <= 2, "{count} {data}+{parity}: {positions:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_cluster_is_valid_and_shares_follow_weights(
        count in 1..40u32, per_domain in 1..4u32, data in 1..=16u8, p in 0..4usize, weights in prop::collection::vec(1..4u32, 40)
    ) {
        let scheme = Scheme::new(data, [0, 1, 2, 4][p]).unwrap();
        let domains = count.div_ceil(per_domain) as usize;
        let made = ClusterMap::create([1; 16], scheme, drives(count, per_domain, |n| 100 * weights[n as usize]));
        if domains < scheme.domains_needed() {
            let refused = matches!(made, Err(MapError::Scheme(SchemeError::TooFewDomains { .. })));
            prop_assert!(refused);
            return Ok(());
        }
        let map = made.unwrap();
        prop_assert_eq!(map.validate(), Ok(()));
        let json = serde_json::to_string(&map).unwrap();
        prop_assert_eq!(&serde_json::from_str::<ClusterMap>(&json).unwrap(), &map);
        // Where no domain is too heavy to get its share, everyone gets it within a cell or two and 5 %.
        let total: u32 = map.drives.iter().map(|d| d.weight).sum();
        let cells = map.groups.len() * scheme.width();
        let mut of_domain: BTreeMap<DomainId, u32> = BTreeMap::new();
        map.drives.iter().for_each(|d| *of_domain.entry(d.domain).or_default() += d.weight);
        let heaviest = *of_domain.values().max().unwrap();
        if domains >= 2 * scheme.width() && heaviest as usize * scheme.width() * 2 <= total as usize {
            let loads = loads(&map);
            for drive in &map.drives {
                let ideal = cells as f64 * f64::from(drive.weight) / f64::from(total);
                let load = loads[&drive.id] as f64;
                prop_assert!((load - ideal).abs() <= 0.05 * ideal + 2.0, "{load} {ideal}");
            }
        }
    }

    #[test]
    fn a_lost_drive_moves_its_own_cells_and_no_others(count in 7..30u32, lost in 0..7u32, data in 2..5u8) {
        let before = map(count, data, 2);
        let mut after = before.clone();
        after.fail_drive(DriveId(lost)).unwrap();
        prop_assert_eq!(after.validate(), Ok(()));
        let lost_cells: usize = after.groups.iter().flat_map(|g| &g.cells).filter(|c| c.state == CellState::Lost).count();
        prop_assert_eq!(after.replace_lost(), 0);
        prop_assert_eq!(after.validate(), Ok(()));
        let mut moved = 0;
        for (old, new) in before.groups.iter().zip(&after.groups) {
            for (old, new) in old.cells.iter().zip(&new.cells) {
                if old.drive == DriveId(lost) {
                    prop_assert_eq!((new.state, new.epoch), (CellState::Filling, after.epoch));
                    moved += 1;
                } else {
                    prop_assert_eq!(old, new);
                }
            }
        }
        prop_assert_eq!(moved, lost_cells);
        prop_assert!(spread(loads(&after).into_iter().filter(|(d, _)| d.0 != lost).map(|(_, n)| n).collect::<Vec<_>>().into_iter()) <= 3);
    }
}

#[test]
fn a_cell_goes_from_lost_over_filling_to_serving_and_old_news_is_ignored() {
    let mut map = map(6, 4, 2);
    map.fail_drive(DriveId(2)).unwrap();
    assert_eq!(map.replace_lost(), 6, "six drives for groups of six: nowhere to go");
    let epoch = map.epoch;
    let new = DriveInfo { id: DriveId(6), domain: DomainId(2), weight: 100, state: DriveState::Up };
    map.add_drive(new).unwrap();
    assert_eq!(map.add_drive(new), Err(MapError::DriveExists(6)));
    assert_eq!(map.replace_lost(), 0);
    assert!(map.epoch > epoch);
    let index = map.groups[0].cells.iter().position(|c| c.drive == DriveId(6)).unwrap();
    let filling = map.groups[0].cells[index];
    assert_eq!(filling.state, CellState::Filling);
    assert!(!map.filled(GroupId(0), index, filling.epoch - 1));
    assert!(map.filled(GroupId(0), index, filling.epoch));
    assert!(!map.filled(GroupId(0), index, filling.epoch));
    assert!(!map.filled(GroupId(99), 0, filling.epoch));
    assert_eq!(map.fail_drive(DriveId(77)), Err(MapError::NoDrive(77)));
}

#[test]
fn a_map_that_contradicts_itself_is_refused() {
    let good = map(8, 4, 2);
    let bad = |change: fn(&mut ClusterMap)| {
        let mut map = good.clone();
        change(&mut map);
        map.validate()
    };
    assert_eq!(good.validate(), Ok(()));
    for verdict in [
        bad(|m| m.groups.clear()),
        bad(|m| m.groups = vec![m.groups[0].clone(); GROUPS_MAX + 1]),
        bad(|m| m.groups[0].cells.truncate(5)),
        bad(|m| m.groups[0].cells[0].drive = m.groups[0].cells[1].drive),
        bad(|m| m.groups[0].cells[0].drive = DriveId(1000)),
        bad(|m| m.groups[0].cells[0].epoch = 99),
        bad(|m| m.drives[1].domain = m.drives[0].domain),
        bad(|m| m.drives[0].weight = 0),
        bad(|m| m.drives.swap(0, 1)),
        bad(|m| m.drives[0].state = DriveState::Failed),
    ] {
        assert!(matches!(verdict, Err(MapError::Bad(_))), "{verdict:?}");
    }
}
