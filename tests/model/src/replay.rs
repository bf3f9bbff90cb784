//! The first answer to each change, for whoever asks again.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use types::{FsError, RequestId};
use vfs::FsResult;

/// Answers of the last request of one channel, by step.
struct Channel {
    sequence: u64,
    answers: BTreeMap<u16, Answer>,
}

struct Answer {
    reply: Box<dyn Any + Send>,
    /// Lost with a restart, as what it tells of.
    volatile: bool,
}

#[derive(Default)]
pub(crate) struct Replay {
    channels: BTreeMap<(u128, u32), Channel>,
}

impl Replay {
    /// The answer that `id` has had, if any.
    pub(crate) fn find<T: Clone + 'static>(&self, id: RequestId) -> FsResult<Option<FsResult<T>>> {
        let Some(channel) = self.channels.get(&(id.client, id.channel)) else { return Ok(None) };
        if id.sequence < channel.sequence {
            return Err(FsError::StaleRequest);
        }
        if id.sequence > channel.sequence {
            return Ok(None);
        }
        let Some(answer) = channel.answers.get(&id.step) else { return Ok(None) };
        answer.reply.downcast_ref::<FsResult<T>>().cloned().map(Some).ok_or(FsError::StaleRequest)
    }

    pub(crate) fn keep<T: Clone + Send + 'static>(
        &mut self,
        id: RequestId,
        reply: &FsResult<T>,
        volatile: bool,
    ) {
        let channel = self
            .channels
            .entry((id.client, id.channel))
            .or_insert_with(|| Channel { sequence: id.sequence, answers: BTreeMap::new() });
        if channel.sequence != id.sequence {
            channel.sequence = id.sequence;
            channel.answers.clear();
        }
        channel.answers.insert(id.step, Answer { reply: Box::new(reply.clone()), volatile });
    }

    pub(crate) fn restart(&mut self) {
        for channel in self.channels.values_mut() {
            channel.answers.retain(|_, answer| !answer.volatile);
        }
    }

    /// The answer that a request has had which says of its sequence only the low 32 bits.
    pub(crate) fn first<T: Clone + 'static>(&self, id: RequestId) -> FsResult<T> {
        let channel = self.channels.get(&(id.client, id.channel));
        let channel = channel.filter(|channel| channel.sequence as u32 == id.sequence as u32);
        let answer = channel.and_then(|channel| channel.answers.get(&id.step));
        let reply =
            answer.and_then(|answer| answer.reply.downcast_ref::<FsResult<T>>()).ok_or(FsError::NotDone)?;
        // What failed did nothing.
        reply.clone().map_err(|_| FsError::NotDone)
    }

    pub(crate) fn forget(&mut self, client: u128, channels: &RangeInclusive<u32>) {
        self.channels.retain(|(of, channel), _| *of != client || !channels.contains(channel));
    }
}
