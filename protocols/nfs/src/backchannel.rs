//! A session's back channel: calls to its client, in slots of their own (RFC 8881 sections 2.10.3.1 and 20.9).

use crate::line::Line;
use nfs_wire::{
    CallbackSec, CbArgs, CbCompoundArgs, CbCompoundReply, CbReply, CbSequenceArgs, ChannelAttrs, SessionId,
    Status,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use xdr::rpc::{AuthSys, Call, Credential};
use xdr::{Decode, Encode, Encoder, List, Opaque};

/// Calls of one session at a time.
const SLOTS_MAX: u32 = 8;
/// A call is CB_SEQUENCE and something.
const OPERATIONS_MIN: u32 = 2;
/// Connections that a session may be called over.
const LINES_MAX: usize = 16;

/// Why a call came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CallError {
    /// There is no way to the client, or nobody answers.
    Down,
    /// The client has refused.
    Refused(Status),
}

/// The back channel of a session.
pub(crate) struct BackChannel {
    session: SessionId,
    /// Minor version of the session.
    minor: u32,
    attrs: ChannelAttrs,
    slots: Semaphore,
    state: Mutex<State>,
}

struct State {
    program: u32,
    /// Whom the server calls as; `None` for what is not spoken here.
    credential: Option<Credential>,
    lines: Vec<Arc<Line>>,
    /// Whether the client has ever wanted to be called.
    was_bound: bool,
    /// The last sequence number of each slot, and whether a call is under way there.
    sequences: Vec<(u32, bool)>,
}

/// A slot of a call.
struct Slot<'a> {
    channel: &'a BackChannel,
    index: usize,
    sequence: u32,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.channel.state().sequences[self.index] = (self.sequence, false);
    }
}

/// The first of the ways to call that the client offers and that is spoken here; without any, nobody in particular calls.
fn credential(offered: &[CallbackSec]) -> Option<Credential> {
    if offered.is_empty() {
        return Some(Credential::None);
    }
    offered.iter().find_map(|one| match one {
        CallbackSec::None(()) => Some(Credential::None),
        CallbackSec::Sys(sys) => Some(Credential::Sys(AuthSys {
            stamp: sys.stamp,
            machine: sys.machine.clone(),
            uid: sys.uid,
            gid: sys.gid,
            gids: sys.gids.clone(),
        })),
        CallbackSec::Gss(_) => None,
    })
}

impl BackChannel {
    /// Not over any connection yet.
    pub(crate) fn new(
        session: SessionId,
        minor: u32,
        attrs: &ChannelAttrs,
        program: u32,
        offered: &[CallbackSec],
    ) -> BackChannel {
        let slots = attrs.max_requests.min(SLOTS_MAX);
        let state = State {
            program,
            credential: credential(offered),
            lines: Vec::new(),
            was_bound: false,
            sequences: vec![(0, false); slots as usize],
        };
        BackChannel {
            session,
            minor,
            attrs: attrs.clone(),
            slots: Semaphore::new(slots as usize),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the client may be called over this connection, too. Says whether it can be called at all.
    pub(crate) fn bind(&self, line: &Arc<Line>) -> bool {
        let mut state = self.state();
        let enough = self.attrs.max_operations >= OPERATIONS_MIN && !state.sequences.is_empty();
        if !enough || state.credential.is_none() {
            return false;
        }
        state.was_bound = true;
        state.lines.retain(|other| other.is_up() && !Arc::ptr_eq(other, line));
        if state.lines.len() >= LINES_MAX {
            state.lines.remove(0);
        }
        state.lines.push(Arc::clone(line));
        true
    }

    /// BACKCHANNEL_CTL; says whether anything of what is offered is spoken here.
    pub(crate) fn control(&self, program: u32, offered: &[CallbackSec]) -> bool {
        let Some(credential) = credential(offered) else { return false };
        let mut state = self.state();
        (state.program, state.credential) = (program, Some(credential));
        true
    }

    /// Whether the client can be called.
    pub(crate) fn is_up(&self) -> bool {
        self.state().lines.iter().any(|line| line.is_up())
    }

    /// Whether it could once, and cannot now.
    pub(crate) fn is_down(&self) -> bool {
        self.state().was_bound && !self.is_up()
    }

    /// Has the client do `op`.
    pub(crate) async fn call(&self, op: CbArgs) -> Result<CbReply, CallError> {
        let Ok(_one) = self.slots.acquire().await else { return Err(CallError::Down) };
        let mut slot = self.free_slot().ok_or(CallError::Down)?;
        // One more for a slot of which an earlier reply was lost: then the client knows its number already.
        for _ in 0..2 {
            let reply = self.call_in(&mut slot, op.clone()).await?;
            match reply.results.first() {
                Some(Ok(CbReply::Sequence(_))) => slot.sequence = slot.sequence.wrapping_add(1),
                Some(Err(Status::SeqMisordered | Status::SeqFalseRetry | Status::RetryUncachedRep)) => {
                    slot.sequence = slot.sequence.wrapping_add(1);
                    continue;
                }
                Some(Err(status)) => return Err(CallError::Refused(*status)),
                _ => return Err(CallError::Refused(reply.status)),
            }
            return match reply.results.into_iter().nth(1) {
                Some(result) => result.map_err(CallError::Refused),
                None => Err(CallError::Refused(reply.status)),
            };
        }
        Err(CallError::Down)
    }

    fn free_slot(&self) -> Option<Slot<'_>> {
        let mut state = self.state();
        let index = state.sequences.iter().position(|(_, busy)| !busy)?;
        state.sequences[index].1 = true;
        Some(Slot { channel: self, index, sequence: state.sequences[index].0 })
    }

    async fn call_in(&self, slot: &mut Slot<'_>, op: CbArgs) -> Result<CbCompoundReply, CallError> {
        let (line, program, credential) = {
            let state = self.state();
            // The latest is the most likely to reach it.
            let line = state.lines.iter().rev().find(|line| line.is_up()).cloned();
            (line.ok_or(CallError::Down)?, state.program, state.credential.clone())
        };
        let sequence = CbSequenceArgs {
            session: self.session,
            sequence: slot.sequence.wrapping_add(1),
            slot: slot.index as u32,
            highest_slot: slot.index as u32,
            cache_this: false,
            referring: List::default(),
        };
        let ops = List(vec![CbArgs::Sequence(sequence), op]);
        let args = CbCompoundArgs { tag: Opaque::default(), minor: self.minor, ident: 0, ops };
        let encode = |xid| {
            let mut e = Encoder::new();
            let (version, procedure) = (nfs_wire::CALLBACK_VERSION, nfs_wire::PROC_COMPOUND);
            let credential = credential.unwrap_or(Credential::None);
            Call { xid, program, version, procedure, credential }.encode(&mut e);
            args.encode(&mut e);
            e
        };
        match line.call(encode).await {
            Some(mut reply) => CbCompoundReply::decode(&mut reply).map_err(|_| CallError::Down),
            None => {
                tracing::info!(
                    "a client does not answer over its connection: it is not called there any more"
                );
                self.state().lines.retain(|other| !Arc::ptr_eq(other, &line));
                Err(CallError::Down)
            }
        }
    }
}
