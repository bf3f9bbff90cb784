//! A stripe group: which drive holds which chunk index.

use serde::{Deserialize, Serialize};
use types::DriveId;

/// How far a cell's drive has what it should have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellState {
    /// It has all its chunks.
    Serving,
    /// It takes new chunks; older ones are being rebuilt onto it.
    Filling,
    /// Its drive is gone and no replacement was found yet.
    Lost,
}

/// One chunk index of a group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The drive.
    pub drive: DriveId,
    /// Its state.
    pub state: CellState,
    /// The map's epoch when the cell last changed.
    pub epoch: u64,
}

/// A row of the group table; the position of a cell is for ever.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Group {
    /// As many as the scheme is wide; all in different failure domains.
    pub cells: Vec<Cell>,
}
