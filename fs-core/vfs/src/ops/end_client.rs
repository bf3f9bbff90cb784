//! Ending a client.

use crate::ClientId;
use serde::{Deserialize, Serialize};

/// The client's lease has run out, it has said farewell, or its mount is gone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndClient {
    /// The client.
    pub client: ClientId,
}
