//! Sessions: slots that make every request happen exactly once (RFC 8881 section 2.10.6).

use crate::backchannel::BackChannel;
use crate::clients::Client;
use bytes::Bytes;
use nfs_wire::{ChannelAttrs, SequenceArgs, SessionId, Status};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Most bytes of a request: one WRITE of full size and what goes around it.
pub(crate) const REQUEST_BYTES_MAX: u32 = (nfs_wire::IO_BYTES_MAX + 64 * 1024) as u32;
/// Most operations of a request.
const OPERATIONS_MAX: u32 = 64;
/// Most slots of a session.
const SLOTS_MAX: u32 = 64;
/// Slots that are kept for each client that may still come.
pub(crate) const SLOTS_KEPT: usize = 8;
/// Most bytes of a reply that are remembered.
const CACHED_BYTES_MAX: u32 = 4096;
/// A channel with less than this cannot do anything useful.
const CHANNEL_BYTES_MIN: u32 = 256;

/// A session of a client.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) client: Arc<Client>,
    /// Which of the client's sessions it is, part of the identity of changes.
    pub(crate) ordinal: u32,
    pub(crate) fore: ChannelAttrs,
    pub(crate) back: BackChannel,
    /// It is kept over restarts, as its client has asked.
    pub(crate) persistent: bool,
    /// It is of a former life, and only gives first answers.
    former: bool,
    slots: Mutex<Vec<Slot>>,
}

#[derive(Default)]
struct Slot {
    sequence: u32,
    /// As `sequence`, without wrapping.
    requests: u64,
    busy: bool,
    /// The request may have been done at an earlier try.
    doubtful: bool,
    digest: u64,
    reply: Option<Bytes>,
}

/// What SEQUENCE makes of a request.
pub(crate) enum Begin {
    /// It has not been seen before.
    New(SlotUse),
    /// It has been answered with this.
    Replay(Bytes),
    /// It has been answered, but the answer was not remembered.
    Uncached,
}

/// The right to work on a slot's request; dropping it without a reply frees the slot.
pub(crate) struct SlotUse {
    pub(crate) session: Arc<Session>,
    pub(crate) slot: u32,
    /// Position on the slot, growing; in a session of a former life only its low 32 bits are known.
    pub(crate) position: u64,
    /// It may have been done at an earlier try, of which the client has no reply.
    pub(crate) doubtful: bool,
}

/// What is granted of the fore channel that the client asks for.
pub(crate) fn negotiate_fore(ask: &ChannelAttrs, slots_left: usize) -> Result<ChannelAttrs, Status> {
    if ask.max_request_size < CHANNEL_BYTES_MIN || ask.max_response_size < CHANNEL_BYTES_MIN {
        return Err(Status::TooSmall);
    }
    if ask.max_operations == 0 || ask.max_requests == 0 {
        return Err(Status::Inval);
    }
    let slots_left = u32::try_from(slots_left).unwrap_or(u32::MAX);
    if slots_left == 0 {
        return Err(Status::Delay);
    }
    let max_response_size = ask.max_response_size.min(REQUEST_BYTES_MAX);
    Ok(ChannelAttrs {
        header_pad_size: 0,
        max_request_size: ask.max_request_size.min(REQUEST_BYTES_MAX),
        max_response_size,
        max_response_size_cached: ask.max_response_size_cached.min(CACHED_BYTES_MAX).min(max_response_size),
        max_operations: ask.max_operations.min(OPERATIONS_MAX),
        max_requests: ask.max_requests.min(SLOTS_MAX).min(slots_left),
        rdma_ird: xdr::List::default(),
    })
}

/// Whether the back channel that the client asks for could carry a call.
pub(crate) fn check_back(ask: &ChannelAttrs) -> Result<(), Status> {
    if ask.max_request_size < CHANNEL_BYTES_MIN || ask.max_response_size < CHANNEL_BYTES_MIN {
        return Err(Status::TooSmall);
    }
    Ok(())
}

impl Session {
    /// A session's channels are numbered on from those of the client's session before: this is the last whose are
    /// numbers.
    pub(crate) const ORDINAL_MAX: u32 = u32::MAX / SLOTS_MAX - 1;

    pub(crate) fn new(
        id: SessionId,
        client: Arc<Client>,
        ordinal: u32,
        (fore, back): (ChannelAttrs, BackChannel),
        persistent: bool,
    ) -> Session {
        let slots = (0..fore.max_requests).map(|_| Slot::default()).collect();
        Session { id, client, ordinal, fore, back, persistent, former: false, slots: Mutex::new(slots) }
    }

    /// A session of a former life.
    pub(crate) fn former(id: SessionId, client: Arc<Client>, ordinal: u32, fore: ChannelAttrs) -> Session {
        // Nobody is called back over it.
        let back = BackChannel::new(id, 0, &fore, 0, &[]);
        Session { id, client, ordinal, fore, back, persistent: true, former: true, slots: Mutex::default() }
    }

    /// Whether it is of a former life: what took effect then is answered, nothing new is done.
    pub(crate) fn is_former(&self) -> bool {
        self.former
    }

    /// The channels that identities of its changes are on.
    pub(crate) fn channels(&self) -> RangeInclusive<u32> {
        let first = self.ordinal * SLOTS_MAX;
        first..=first + (SLOTS_MAX - 1)
    }

    /// The number of slots, all of which are the client's for the session's life.
    pub(crate) fn slot_count(&self) -> u32 {
        self.fore.max_requests
    }

    /// Begins the request that `args` announce; `digest` is of its bytes.
    pub(crate) fn begin(self: &Arc<Self>, args: &SequenceArgs, digest: u64) -> Result<Begin, Status> {
        if args.slot >= self.slot_count() {
            return Err(Status::BadSlot);
        }
        if args.highest_slot >= self.slot_count() {
            return Err(Status::BadHighSlot);
        }
        if self.former {
            // How far its slots were is not known, and need not be: what is remembered tells what was done.
            self.client.enter(Instant::now());
            let position = u64::from(args.sequence);
            let session = Arc::clone(self);
            return Ok(Begin::New(SlotUse { session, slot: args.slot, position, doubtful: false }));
        }
        let mut slots = self.slots();
        let slot = &mut slots[args.slot as usize];
        if args.sequence == slot.sequence.wrapping_add(1) {
            if slot.busy {
                return Err(Status::Delay);
            }
            let doubtful = slot.doubtful;
            if doubtful && slot.digest != digest {
                // It gives the request up. Its identity is used up as well: another request must not get its answer.
                *slot = Slot { sequence: args.sequence, requests: slot.requests + 1, ..Slot::default() };
                return Err(Status::SeqFalseRetry);
            }
            *slot = Slot {
                sequence: args.sequence,
                requests: slot.requests + 1,
                busy: true,
                doubtful: false,
                digest,
                reply: None,
            };
            let position = slot.requests;
            drop(slots);
            self.client.enter(Instant::now());
            let session = Arc::clone(self);
            return Ok(Begin::New(SlotUse { session, slot: args.slot, position, doubtful }));
        }
        if args.sequence != slot.sequence || slot.requests == 0 {
            return Err(Status::SeqMisordered);
        }
        if slot.busy {
            return Err(Status::Delay);
        }
        if slot.digest != digest {
            return Err(Status::SeqFalseRetry);
        }
        let reply = slot.reply.clone();
        drop(slots);
        self.client.renew(Instant::now());
        Ok(reply.map_or(Begin::Uncached, Begin::Replay))
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotUse {
    /// Remembers the reply, if there is one to remember.
    pub(crate) fn finish(self, reply: Option<Bytes>) {
        if let Some(slot) = self.session.slots().get_mut(self.slot as usize) {
            slot.reply = reply;
        }
    }

    /// As if the request had not come: the client sends it again, and it has the same identity then.
    pub(crate) fn undo(self) {
        if let Some(slot) = self.session.slots().get_mut(self.slot as usize) {
            slot.sequence = slot.sequence.wrapping_sub(1);
            slot.requests -= 1;
            slot.doubtful = true;
        }
    }

    /// Where identities of changes are counted.
    pub(crate) fn channel(&self) -> u32 {
        self.session.channels().start() + self.slot
    }
}

impl Drop for SlotUse {
    fn drop(&mut self) {
        if let Some(slot) = self.session.slots().get_mut(self.slot as usize) {
            slot.busy = false;
        }
        self.session.client.leave(Instant::now());
    }
}
