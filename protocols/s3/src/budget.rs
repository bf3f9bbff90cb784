//! Memory for bodies on their way, of all requests together.
//!
//! While there is enough, bodies go in large steps; when there is not, in small ones, which everybody may always have. So
//! clients that stop in the middle hold what the budget is and little more, and keep nobody from going on.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::limits::IO_BYTES_MAX;

/// A step when memory is short.
pub(crate) const SMALL_STEP: usize = 64 * 1024;
/// Large steps that there are at a time.
const LARGE_STEPS: usize = 256;

/// Room for a large step, until it is dropped.
pub(crate) type Room = OwnedSemaphorePermit;

/// What is left of the memory.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Budget {
        Budget(Arc::new(Semaphore::new(LARGE_STEPS)))
    }
}

impl Budget {
    /// How large the next step may be, and what to keep as long as it is in memory.
    pub(crate) fn step(&self) -> (usize, Option<Room>) {
        match self.0.clone().try_acquire_owned() {
            Ok(room) => (IO_BYTES_MAX, Some(room)),
            Err(_) => (SMALL_STEP, None),
        }
    }
}
