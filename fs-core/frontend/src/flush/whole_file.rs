//! The content of a file that is about to be made: durable before the command that makes the file and brings it.

use super::Batch;
use crate::dirty::Dirty;
use crate::nodes::State;
use crate::promise::Taking;
use crate::{Frontend, Shards, Stripes};
use bytes::Bytes;
use namespace::{Extent, NewStripe, STRIPES_PER_COMMAND};
use std::collections::VecDeque;
use types::{FileId, FsError, Mode};

/// What such a command brings. Nobody takes its stripes for leftovers as long as this is held.
pub(crate) struct Whole {
    batches: VecDeque<Batch>,
    stripes: Vec<NewStripe>,
    extents: Vec<Extent>,
}

impl Whole {
    /// As the command has it.
    pub(crate) fn source(&self, mode: Mode) -> namespace::PutSource {
        namespace::PutSource::Laid { stripes: self.stripes.clone(), extents: self.extents.clone(), mode }
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Makes durable what a file in `dir` is to have. `None`: that takes more stripes than one command brings.
    pub(crate) async fn lay_out(&self, dir: FileId, data: Bytes) -> Result<Option<Whole>, FsError> {
        let _room = self.room_for_new(data.len() as u64).await?;
        let mut dirty = Dirty::default();
        dirty.insert(0, data);
        let batches = self.place(dir, &dirty).await?;
        let stripes: Vec<NewStripe> = batches.iter().flat_map(|batch| batch.stripes.clone()).collect();
        let mut extents: Vec<Extent> = batches.iter().flat_map(|batch| batch.extents.clone()).collect();
        // Stripes are written side by side.
        extents.sort_by_key(|extent| extent.offset);
        if extents.len() > STRIPES_PER_COMMAND {
            self.give_up(&batches).await;
            return Ok(None);
        }
        Ok(Some(Whole { batches, stripes, extents }))
    }

    /// The command took effect.
    pub(crate) fn laid_down(&self, whole: &Whole) {
        self.0.ledger.kept(whole.batches.iter().map(Batch::bytes_kept).sum());
    }

    /// The command will never take effect.
    pub(crate) async fn take_up(&self, whole: &Whole) {
        self.give_up(&whole.batches).await;
    }

    /// Promises what a new file of so many bytes takes on the drives; until it is dropped, when it is written.
    async fn room_for_new(&self, bytes: u64) -> Result<Taking<'_>, FsError> {
        let room = || self.room_for(&State::default(), bytes, false);
        if let Some(room) = room() {
            return Ok(room);
        }
        self.look_for_room().await?;
        room().ok_or(FsError::NoSpace)
    }
}
