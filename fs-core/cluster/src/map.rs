//! The map itself: drives and groups under an epoch, and the changes it can go through.

use crate::group::{Cell, CellState, Group};
use crate::planner::{self, GROUPS_MAX, PlanError};
use crate::scheme::{Scheme, SchemeError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use types::{DriveId, GroupId};

/// Drives of one map, at most.
const DRIVES_MAX: usize = 65_536;

/// What can fail at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DomainId(pub u32);

/// What the cluster thinks of a drive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriveState {
    /// In use.
    Up,
    /// Gone for good: never used again under this id.
    Failed,
}

/// A drive of the map.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct DriveInfo {
    /// Its id, never reused.
    pub id: DriveId,
    /// Its failure domain.
    pub domain: DomainId,
    /// Its share of the chunks relative to the others: MiB of its size, say. Above zero.
    pub weight: u32,
    /// Its state.
    pub state: DriveState,
}

/// The only thing placement needs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterMap {
    /// Grows with every change.
    pub epoch: u64,
    /// The cluster.
    pub cluster: [u8; 16],
    /// How stripes are protected.
    pub scheme: Scheme,
    /// All drives, by id.
    pub drives: Vec<DriveInfo>,
    /// The group table; the position is the [`GroupId`].
    pub groups: Vec<Group>,
}

/// Why a map cannot be, or cannot change so.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MapError {
    /// The scheme does not fit.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
    /// No layout.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The map contradicts itself.
    #[error("bad cluster map: {0}")]
    Bad(String),
    /// No such drive.
    #[error("no drive {0} in the map")]
    NoDrive(u32),
    /// The id is taken.
    #[error("drive {0} is in the map already")]
    DriveExists(u32),
}

impl ClusterMap {
    /// Plans a new cluster.
    ///
    /// # Errors
    /// `Scheme` when the drives' domains do not carry the scheme (says what fits), `Bad` for
    /// doubled ids or weights of zero.
    pub fn create(
        cluster: [u8; 16],
        scheme: Scheme,
        mut drives: Vec<DriveInfo>,
    ) -> Result<ClusterMap, MapError> {
        drives.sort_by_key(|drive| drive.id);
        check_drives(&drives)?;
        let domains: BTreeSet<DomainId> = up(&drives).map(|drive| drive.domain).collect();
        scheme.check_domains(domains.len())?;
        let groups = planner::plan(&drives, scheme, 1)?;
        Ok(ClusterMap { epoch: 1, cluster, scheme, drives, groups })
    }

    /// Checks a map that came from outside.
    ///
    /// # Errors
    /// `Bad`, in words.
    pub fn validate(&self) -> Result<(), MapError> {
        let bad = |why: String| Err(MapError::Bad(why));
        check_drives(&self.drives)?;
        if self.groups.is_empty() || self.groups.len() > GROUPS_MAX {
            return bad(format!("{} groups", self.groups.len()));
        }
        let by_id: BTreeMap<DriveId, &DriveInfo> = self.drives.iter().map(|d| (d.id, d)).collect();
        for (n, group) in self.groups.iter().enumerate() {
            if group.cells.len() != self.scheme.width() {
                return bad(format!("group {n} has {} cells", group.cells.len()));
            }
            let mut domains = BTreeSet::new();
            for cell in &group.cells {
                let Some(drive) = by_id.get(&cell.drive) else {
                    return bad(format!("group {n} names drive {}", cell.drive.0));
                };
                // A lost cell has no chunks any more, so its old domain may serve another cell.
                if cell.state != CellState::Lost && !domains.insert(drive.domain) {
                    return bad(format!("group {n} has domain {} twice", drive.domain.0));
                }
                if cell.state != CellState::Lost && drive.state == DriveState::Failed {
                    return bad(format!("group {n} uses the failed drive {}", drive.id.0));
                }
                if cell.epoch > self.epoch {
                    return bad(format!("group {n} is newer than the map"));
                }
            }
        }
        Ok(())
    }

    /// A drive of the map.
    #[must_use]
    pub fn drive(&self, id: DriveId) -> Option<&DriveInfo> {
        self.drives.binary_search_by_key(&id, |drive| drive.id).ok().map(|at| &self.drives[at])
    }

    /// A row of the group table.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(usize::from(id.0))
    }

    /// A new drive; nothing moves to it until cells are replaced.
    ///
    /// # Errors
    /// `DriveExists`, `Bad`.
    pub fn add_drive(&mut self, drive: DriveInfo) -> Result<(), MapError> {
        if self.drive(drive.id).is_some() {
            return Err(MapError::DriveExists(drive.id.0));
        }
        let mut drives = self.drives.clone();
        drives.push(drive);
        drives.sort_by_key(|drive| drive.id);
        check_drives(&drives)?;
        self.drives = drives;
        self.epoch += 1;
        Ok(())
    }

    /// A drive is gone for good: its cells are lost, until [`ClusterMap::replace_lost`] finds others.
    ///
    /// # Errors
    /// `NoDrive`.
    pub fn fail_drive(&mut self, id: DriveId) -> Result<(), MapError> {
        let Ok(at) = self.drives.binary_search_by_key(&id, |drive| drive.id) else {
            return Err(MapError::NoDrive(id.0));
        };
        self.epoch += 1;
        self.drives[at].state = DriveState::Failed;
        for cell in self.groups.iter_mut().flat_map(|group| &mut group.cells) {
            if cell.drive == id && cell.state != CellState::Lost {
                *cell = Cell { state: CellState::Lost, epoch: self.epoch, ..*cell };
            }
        }
        Ok(())
    }

    /// Gives lost cells to other drives, which then fill; only those cells change. The number of
    /// cells that stay lost for want of a domain comes back.
    pub fn replace_lost(&mut self) -> usize {
        let epoch = self.epoch + 1;
        let (changed, left) = planner::replace_lost(&self.drives, &mut self.groups, epoch);
        if changed > 0 {
            self.epoch = epoch;
        }
        left
    }

    /// A filling cell has all its chunks now. Whether there was such a cell under that epoch.
    pub fn filled(&mut self, group: GroupId, index: usize, epoch: u64) -> bool {
        let cell = self.groups.get_mut(usize::from(group.0)).and_then(|g| g.cells.get_mut(index));
        match cell {
            Some(cell) if cell.state == CellState::Filling && cell.epoch == epoch => {
                self.epoch += 1;
                *cell = Cell { state: CellState::Serving, epoch: self.epoch, ..*cell };
                true
            }
            _ => false,
        }
    }
}

pub(crate) fn up(drives: &[DriveInfo]) -> impl Iterator<Item = &DriveInfo> {
    drives.iter().filter(|drive| drive.state == DriveState::Up)
}

fn check_drives(drives: &[DriveInfo]) -> Result<(), MapError> {
    if drives.is_empty() || drives.len() > DRIVES_MAX {
        return Err(MapError::Bad(format!("{} drives", drives.len())));
    }
    for pair in drives.windows(2) {
        if pair[0].id >= pair[1].id {
            return Err(MapError::Bad(format!("drive {} twice or out of order", pair[1].id.0)));
        }
    }
    match drives.iter().find(|drive| drive.weight == 0) {
        Some(drive) => Err(MapError::Bad(format!("drive {} has no weight", drive.id.0))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
