//! Computing the group table: balanced over weights, domains, pairs of drives and positions.
//!
//! Greedy and deterministic: each row takes the drives that are furthest behind their share; among
//! equals those that have met the others of the row least, so that a lost drive is rebuilt from all.

use crate::group::{Cell, CellState, Group};
use crate::map::{DomainId, DriveInfo, DriveState, up};
use crate::scheme::Scheme;
use std::collections::BTreeMap;
use types::DriveId;

/// Rows of the group table, at most.
pub const GROUPS_MAX: usize = 4096;

/// Why there is no layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// Fewer domains with drives than the scheme is wide.
    #[error("{there} failure domains for groups of {width}")]
    TooFewDomains {
        /// Domains.
        there: usize,
        /// D + P.
        width: usize,
    },
}

struct Ledger<'a> {
    drives: Vec<&'a DriveInfo>,
    at: BTreeMap<DriveId, usize>,
    /// Cells given to each drive.
    load: Vec<u64>,
    /// How often two drives share a row.
    met: Vec<u32>,
}

impl<'a> Ledger<'a> {
    fn new(drives: impl Iterator<Item = &'a DriveInfo>) -> Ledger<'a> {
        let drives: Vec<_> = drives.collect();
        let at = drives.iter().enumerate().map(|(n, drive)| (drive.id, n)).collect();
        let (load, met) = (vec![0; drives.len()], vec![0; drives.len() * drives.len()]);
        Ledger { drives, at, load, met }
    }

    /// The drive that a row with `members` should get next, in none of the `taken` domains.
    fn best(&self, members: &[usize], taken: &[DomainId], salt: u64) -> Option<usize> {
        let mut best: Option<(usize, u64, u64)> = None;
        for (n, drive) in self.drives.iter().enumerate() {
            if taken.contains(&drive.domain) {
                continue;
            }
            let met = members.iter().map(|&m| u64::from(self.met[m * self.drives.len() + n])).sum();
            let tie = mix(salt, u64::from(drive.id.0));
            let better = best.is_none_or(|(b, b_met, b_tie)| {
                let mine = u128::from(self.load[n] + 1) * u128::from(self.drives[b].weight);
                let other = u128::from(self.load[b] + 1) * u128::from(drive.weight);
                (mine, met, tie) < (other, b_met, b_tie)
            });
            if better {
                best = Some((n, met, tie));
            }
        }
        best.map(|(n, ..)| n)
    }

    fn join(&mut self, members: &[usize], new: usize) {
        self.load[new] += 1;
        for &m in members {
            self.met[m * self.drives.len() + new] += 1;
            self.met[new * self.drives.len() + m] += 1;
        }
    }
}

/// SplitMix64's finisher: breaks ties without favouring low ids.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How many rows serve `drives` drives: each drive several times in each position.
fn rows(drives: &[&DriveInfo], width: usize) -> usize {
    let count = drives.len();
    let even = drives.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    let rows = match (count == width, even) {
        (true, _) => count,
        (false, true) => count * width,
        // Uneven shares need finer steps.
        (false, false) => count * width * 8,
    };
    rows.min(GROUPS_MAX)
}

/// The table for a new cluster.
pub(crate) fn plan(drives: &[DriveInfo], scheme: Scheme, epoch: u64) -> Result<Vec<Group>, PlanError> {
    let mut ledger = Ledger::new(up(drives));
    let width = scheme.width();
    let mut position_load = vec![0u32; ledger.drives.len() * width];
    let mut groups = Vec::new();
    for row in 0..rows(&ledger.drives, width) {
        let mut members = Vec::with_capacity(width);
        let mut taken = Vec::with_capacity(width);
        while members.len() < width {
            let Some(next) = ledger.best(&members, &taken, row as u64) else {
                return Err(PlanError::TooFewDomains { there: taken.len(), width });
            };
            ledger.join(&members, next);
            taken.push(ledger.drives[next].domain);
            members.push(next);
        }
        // Positions in turn, each to the member that has had it least: reads touch data positions
        // more than parity. Beginning elsewhere in each row keeps the last choice from being forced always on the same.
        let mut placed = vec![None; width];
        for step in 0..width {
            let position = (row + step) % width;
            let pick = (0..members.len()).min_by_key(|&m| {
                (position_load[members[m] * width + position], mix(row as u64, members[m] as u64))
            });
            if let Some(pick) = pick {
                let drive = members.swap_remove(pick);
                position_load[drive * width + position] += 1;
                placed[position] = Some(drive);
            }
        }
        let cells = placed
            .into_iter()
            .flatten()
            .map(|n| Cell { drive: ledger.drives[n].id, state: CellState::Serving, epoch })
            .collect();
        groups.push(Group { cells });
    }
    Ok(groups)
}

/// Gives lost cells to drives that are up; how many changed, how many stay lost.
pub(crate) fn replace_lost(drives: &[DriveInfo], groups: &mut [Group], epoch: u64) -> (usize, usize) {
    let domain_of: BTreeMap<DriveId, DomainId> = drives.iter().map(|d| (d.id, d.domain)).collect();
    let mut ledger = Ledger::new(drives.iter().filter(|d| d.state == DriveState::Up));
    let members_of = |group: &Group, at: &BTreeMap<DriveId, usize>| -> Vec<usize> {
        let live = group.cells.iter().filter(|cell| cell.state != CellState::Lost);
        live.filter_map(|cell| at.get(&cell.drive).copied()).collect()
    };
    for group in groups.iter() {
        let members = members_of(group, &ledger.at);
        for n in 0..members.len() {
            ledger.join(&members[..n], members[n]);
        }
    }
    let (mut changed, mut left) = (0, 0);
    for (row, group) in groups.iter_mut().enumerate() {
        for index in 0..group.cells.len() {
            if group.cells[index].state != CellState::Lost {
                continue;
            }
            let members = members_of(group, &ledger.at);
            let live = group.cells.iter().filter(|cell| cell.state != CellState::Lost);
            let taken: Vec<DomainId> = live.filter_map(|c| domain_of.get(&c.drive).copied()).collect();
            match ledger.best(&members, &taken, row as u64) {
                Some(next) => {
                    ledger.join(&members, next);
                    let drive = ledger.drives[next].id;
                    group.cells[index] = Cell { drive, state: CellState::Filling, epoch };
                    changed += 1;
                }
                None => left += 1,
            }
        }
    }
    (changed, left)
}
