//! Ending an open.

use crate::OpenId;
use serde::{Deserialize, Serialize};

/// An orphan goes with its last open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Close {
    /// The open.
    pub open: OpenId,
}
