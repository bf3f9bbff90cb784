//! The cluster map: drives, domains, slots and stripe groups; placement is pure.

#![forbid(unsafe_code)]

mod group;
mod map;
mod planner;
mod scheme;
mod slots;

pub use group::{Cell, CellState, Group};
pub use map::{ClusterMap, DomainId, DriveInfo, DriveState, MapError};
pub use planner::{GROUPS_MAX, PlanError};
pub use scheme::{Scheme, SchemeError};
pub use slots::{SHARDS_MAX, SlotTable};
