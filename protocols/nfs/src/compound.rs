//! One request: its operations in order, until one fails (RFC 8881 section 2.10.6 and 16.2).

use crate::exports::{Exported, PseudoId};
use crate::handle::Handle;
use crate::line::Line;
use crate::ops;
use crate::server::Shared;
use crate::session::{Begin, SlotUse};
use crate::status::{UNCERTAIN, name_status, status};
use bytes::Bytes;
use nfs_wire::{
    Args, CompoundArgs, CompoundReply, Op, Reply, SequenceArgs, SequenceOk, Stateid, Status, encode_outcome,
};
use serve::ExportAccess;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use types::{Cred, FileId, FsError, Name, RequestId};
use vfs::{Ctx, Vfs};
use xdr::rpc::{Credential, ReplyStatus};
use xdr::{Decode, Decoder, Encode, Encoder};

/// Bytes of a request that tell a retry from another request.
const DIGEST_BYTES_MAX: usize = 1024;
/// A reply of an operation that changes something is not larger; checked before the operation is done.
const CHANGE_REPLY_BYTES: usize = 256;
/// Bytes of a compound's reply before its tag and results.
const REPLY_HEAD_BYTES: usize = 12;
/// Bytes of the RPC header of a reply.
const RPC_HEAD_BYTES: usize = 24;
/// Changes that one operation may make on the other side of the contract.
const STEPS_PER_OP: u16 = 8;

/// Who sent the request.
pub(crate) struct Caller {
    pub(crate) credential: Credential,
    pub(crate) peer: SocketAddr,
    /// The way back.
    pub(crate) line: Arc<Line>,
}

/// A file handle that has been looked into.
#[derive(Clone)]
pub(crate) enum Place {
    Pseudo(PseudoId),
    File(FileRef),
}

/// An inode, the export that it was reached through, and who the caller is there.
#[derive(Clone)]
pub(crate) struct FileRef {
    pub(crate) export: Arc<Exported>,
    pub(crate) file: FileId,
    pub(crate) cred: Cred,
}

/// A request at work.
pub(crate) struct Compound<'a, V> {
    pub(crate) shared: &'a Arc<Shared<V>>,
    pub(crate) caller: &'a Caller,
    pub(crate) minor: u32,
    pub(crate) current: Option<Place>,
    pub(crate) saved: Option<Place>,
    pub(crate) current_stateid: Option<Stateid>,
    pub(crate) saved_stateid: Option<Stateid>,
    /// `None` before SEQUENCE and in requests outside of sessions.
    pub(crate) slot: Option<SlotUse>,
    /// Whether no operation follows.
    pub(crate) is_last: bool,
    /// Bytes that the reply may still take.
    pub(crate) room: usize,
    /// In a session of a former life: some change was found to have been done then.
    answered: bool,
    op_index: u16,
}

/// Runs the request whose arguments `d` holds and encodes its reply.
pub(crate) async fn run<V: Vfs>(
    shared: &Arc<Shared<V>>,
    caller: Caller,
    mut d: Decoder,
) -> Result<Encoder, ReplyStatus> {
    let length = d.remaining();
    let digest = digest(&d);
    let head = CompoundArgs::decode(&mut d).map_err(|_| ReplyStatus::GarbageArguments)?;
    let mut results = Results::new(&head);
    if !(1..=2).contains(&head.minor) {
        results.status = Status::MinorVersMismatch;
        return Ok(results.encode());
    }
    if head.count == 0 {
        return Ok(results.encode());
    }
    let mut compound = Compound {
        shared,
        caller: &caller,
        minor: head.minor,
        current: None,
        saved: None,
        current_stateid: None,
        saved_stateid: None,
        slot: None,
        is_last: head.count == 1,
        room: crate::session::REQUEST_BYTES_MAX as usize,
        answered: false,
        op_index: 0,
    };
    let (op, args) = next_op(&mut d, head.minor);
    match args {
        Ok(Args::Sequence(args)) => {
            let outcome = compound.sequence(&args, &head, length, digest);
            let answered = match outcome {
                Err(status) => {
                    results.push(op, Err(status));
                    return Ok(results.encode());
                }
                Ok(Sequenced::Replay(bytes)) => {
                    let mut reply = Encoder::new();
                    reply.fixed_opaque(&bytes);
                    return Ok(reply);
                }
                Ok(Sequenced::Uncached(reply)) => {
                    results.push(op, Ok(Reply::Sequence(reply)));
                    let (op, _) = next_op(&mut d, head.minor);
                    results.push(op, Err(Status::RetryUncachedRep));
                    return Ok(results.encode());
                }
                Ok(Sequenced::New(reply)) => reply,
            };
            results.push(op, Ok(Reply::Sequence(answered)));
            let cache_this = args.cache_this;
            let reply = compound.run_rest(&mut d, &head, results, cache_this).await;
            Ok(compound.finish(reply))
        }
        Ok(args) if outside_sessions(op) => {
            let outcome = if head.count > 1 { Err(Status::NotOnlyOp) } else { compound.run_op(args).await };
            // These may be done twice.
            let outcome = outcome.map_err(|status| if status == UNCERTAIN { Status::Delay } else { status });
            results.push(op, outcome);
            Ok(results.encode())
        }
        Ok(_) => {
            results.push(op, Err(Status::OpNotInSession));
            Ok(results.encode())
        }
        Err(status) => {
            let known = !matches!(status, Status::OpIllegal | Status::BadXdr);
            results.push(op, Err(if known { Status::OpNotInSession } else { status }));
            Ok(results.encode())
        }
    }
}

enum Sequenced {
    New(SequenceOk),
    Replay(Bytes),
    Uncached(SequenceOk),
}

/// Operations that need no session (RFC 8881 section 2.10.6.1).
fn outside_sessions(op: Op) -> bool {
    matches!(
        op,
        Op::ExchangeId | Op::CreateSession | Op::DestroySession | Op::BindConnToSession | Op::DestroyClientid
    )
}

/// Operations whose effect must not happen when their reply would not fit.
fn changes(op: Op) -> bool {
    !matches!(
        op,
        Op::Access
            | Op::Getattr
            | Op::Getfh
            | Op::Lookup
            | Op::Lookupp
            | Op::Nverify
            | Op::Verify
            | Op::Putfh
            | Op::Putpubfh
            | Op::Putrootfh
            | Op::Read
            | Op::ReadPlus
            | Op::Readdir
            | Op::Readlink
            | Op::Restorefh
            | Op::Savefh
            | Op::Secinfo
            | Op::SecinfoNoName
            | Op::TestStateid
            | Op::Seek
            | Op::IoAdvise
            | Op::Getxattr
            | Op::Listxattrs
            | Op::Lockt
    )
}

/// Changes whose first answers are remembered by the file system.
fn is_remembered(op: Op) -> bool {
    matches!(
        op,
        Op::Create
            | Op::Link
            | Op::Open
            | Op::Remove
            | Op::Rename
            | Op::Setattr
            | Op::Setxattr
            | Op::Removexattr
    )
}

fn digest(d: &Decoder) -> u64 {
    let bytes = d.clone().into_rest();
    let mut hasher = DefaultHasher::new();
    bytes.len().hash(&mut hasher);
    bytes[..bytes.len().min(DIGEST_BYTES_MAX)].hash(&mut hasher);
    hasher.finish()
}

/// Takes the next operation; what is wrong with it is its result.
fn next_op(d: &mut Decoder, minor: u32) -> (Op, Result<Args, Status>) {
    let Ok(number) = d.u32() else { return (Op::Illegal, Err(Status::BadXdr)) };
    match Op::from_number(number).filter(|op| op.exists_in(minor)) {
        None => (Op::Illegal, Err(Status::OpIllegal)),
        Some(op) => match Args::decode(op, d) {
            Ok(Some(args)) => (op, Ok(args)),
            Ok(None) => (op, Err(Status::NotSupp)),
            Err(_) => (op, Err(Status::BadXdr)),
        },
    }
}

/// Results as they come.
struct Results {
    status: Status,
    tag: Bytes,
    count: u32,
    body: Encoder,
}

impl Results {
    fn new(head: &CompoundArgs) -> Results {
        Results { status: Status::Ok, tag: head.tag.0.clone(), count: 0, body: Encoder::new() }
    }

    fn len(&self) -> usize {
        RPC_HEAD_BYTES + REPLY_HEAD_BYTES + self.tag.len().next_multiple_of(4) + self.body.len()
    }

    fn push(&mut self, op: Op, outcome: Result<Reply, Status>) {
        self.status = outcome.as_ref().map_or_else(|status| *status, Reply::status);
        self.count += 1;
        encode_outcome(op, &outcome, &mut self.body);
    }

    fn append(&mut self, encoded: Encoder, status: Status) {
        self.status = status;
        self.count += 1;
        self.body.append(encoded);
    }

    fn encode(self) -> Encoder {
        let mut e = Encoder::new();
        CompoundReply { status: self.status, tag: self.tag.into(), count: self.count }.encode(&mut e);
        e.append(self.body);
        e
    }
}

impl<V: Vfs> Compound<'_, V> {
    /// SEQUENCE (RFC 8881 section 18.46).
    fn sequence(
        &mut self,
        args: &SequenceArgs,
        head: &CompoundArgs,
        length: usize,
        digest: u64,
    ) -> Result<Sequenced, Status> {
        let session = self.shared.clients.session(&args.session)?;
        if length > session.fore.max_request_size as usize {
            return Err(Status::ReqTooBig);
        }
        if head.count > session.fore.max_operations {
            return Err(Status::TooManyOps);
        }
        let begin = session.begin(args, digest)?;
        let highest = session.slot_count() - 1;
        let reply = SequenceOk {
            session: args.session,
            sequence: args.sequence,
            slot: args.slot,
            highest_slot: highest,
            target_highest_slot: highest,
            status_flags: self.shared.clients.status_flags(&session),
        };
        match begin {
            Begin::New(slot) => {
                self.slot = Some(slot);
                Ok(Sequenced::New(reply))
            }
            Begin::Replay(bytes) => Ok(Sequenced::Replay(bytes)),
            Begin::Uncached => Ok(Sequenced::Uncached(reply)),
        }
    }

    /// The operations after SEQUENCE.
    async fn run_rest(
        &mut self,
        d: &mut Decoder,
        head: &CompoundArgs,
        mut results: Results,
        cache_this: bool,
    ) -> Results {
        let (max, cached_max) = match &self.slot {
            Some(slot) => {
                let fore = &slot.session.fore;
                (fore.max_response_size as usize, fore.max_response_size_cached as usize)
            }
            None => return results,
        };
        let (limit, too_big) = if cache_this && cached_max < max {
            (cached_max, Status::RepTooBigToCache)
        } else {
            (max, Status::RepTooBig)
        };
        if results.len() > limit {
            let mut over = Results { status: too_big, tag: results.tag, count: 0, body: Encoder::new() };
            over.push(Op::Sequence, Err(too_big));
            return over;
        }
        for index in 1..head.count {
            self.is_last = index + 1 == head.count;
            self.op_index = index as u16;
            self.room = limit.saturating_sub(results.len());
            let (op, args) = next_op(d, self.minor);
            let outcome = match args {
                Err(status) => Err(status),
                Ok(_) if changes(op) && self.room < CHANGE_REPLY_BYTES.min(max / 4) => Err(too_big),
                Ok(args) if changes(op) && self.gives_first_answers() => self.first_answer(args).await,
                Ok(args) => self.run_op(args).await,
            };
            let mut encoded = Encoder::new();
            encode_outcome(op, &outcome, &mut encoded);
            let mut status = outcome.as_ref().map_or_else(|status| *status, Reply::status);
            if results.len() + encoded.len() > limit {
                status = too_big;
                encoded = Encoder::new();
                encode_outcome(op, &Err(too_big), &mut encoded);
            }
            results.append(encoded, status);
            if status != Status::Ok {
                break;
            }
        }
        match self.failed_sequence(results.status) {
            Some(status) => {
                let mut refused =
                    Results { status: Status::Ok, tag: results.tag, count: 0, body: Encoder::new() };
                refused.push(Op::Sequence, Err(status));
                refused
            }
            None => results,
        }
    }

    /// What SEQUENCE fails with after all, when the operations have come to `last`.
    fn failed_sequence(&mut self, last: Status) -> Option<Status> {
        let doubtful = self.slot.as_ref().is_some_and(|slot| slot.doubtful);
        match (self.gives_first_answers(), last) {
            // Whether it was done cannot be said now; the client asks again in the same way, and has to be told what it
            // would have been told then: "exists" of its own file would be wrong.
            (_, UNCERTAIN) | (true, Status::Delay) => {}
            (false, Status::Delay) if doubtful => {}
            (false, _) => return None,
            (true, _) if self.answered => return None,
            // It was not done: the client does it anew, in a session of this life.
            (true, _) => return Some(Status::DeadSession),
        }
        if let Some(slot) = self.slot.take() {
            slot.undo();
        }
        Some(Status::Delay)
    }

    /// Whether the session is of a former life, so that nothing new is done (RFC 8881 section 8.4.2).
    pub(crate) fn gives_first_answers(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.session.is_former())
    }

    /// The answer that a change had in the former life.
    async fn first_answer(&mut self, args: Args) -> Result<Reply, Status> {
        if !is_remembered(args.op()) {
            return Err(Status::DeadSession);
        }
        let reply = self.run_op(args).await.map_err(|status| match status {
            Status::Delay | UNCERTAIN => status,
            // What fails now had not been done then: it would not be looked at again.
            _ => Status::DeadSession,
        })?;
        self.answered = true;
        Ok(reply)
    }

    /// Remembers the reply in its slot.
    fn finish(mut self, results: Results) -> Encoder {
        let reply = results.encode();
        let Some(slot) = self.slot.take() else { return reply };
        let cached = slot.session.fore.max_response_size_cached as usize;
        if reply.len() + RPC_HEAD_BYTES > cached {
            slot.finish(None);
            return reply;
        }
        let bytes = reply.into_bytes();
        slot.finish(Some(bytes.clone()));
        let mut reply = Encoder::new();
        reply.fixed_opaque(&bytes);
        reply
    }

    async fn run_op(&mut self, args: Args) -> Result<Reply, Status> {
        ops::run(self, args).await
    }

    /// The session's client.
    pub(crate) fn client(&self) -> Result<&Arc<crate::clients::Client>, Status> {
        self.slot.as_ref().map(|slot| &slot.session.client).ok_or(Status::OpNotInSession)
    }

    /// The current file handle.
    pub(crate) fn place(&self) -> Result<&Place, Status> {
        self.current.as_ref().ok_or(Status::NoFileHandle)
    }

    /// The current file handle, when it is of an inode; pseudo directories fail with `pseudo`.
    pub(crate) fn file_or(&self, pseudo: Status) -> Result<FileRef, Status> {
        match self.place()? {
            Place::Pseudo(_) => Err(pseudo),
            Place::File(file) => Ok(file.clone()),
        }
    }

    /// The current file handle for a change.
    pub(crate) fn writable(&self) -> Result<FileRef, Status> {
        self.file_or(Status::Rofs)?.writable()
    }

    /// The saved file handle, of an inode.
    pub(crate) fn saved_file(&self) -> Result<FileRef, Status> {
        match self.saved.as_ref().ok_or(Status::NoFileHandle)? {
            Place::Pseudo(_) => Err(Status::XDev),
            Place::File(file) => Ok(file.clone()),
        }
    }

    /// For whom a request without changes is done.
    pub(crate) fn ctx(&self, file: &FileRef) -> Result<Ctx, Status> {
        Ok(Ctx { client: self.client()?.vfs, impatient: true, ..Ctx::new(file.cred.clone()) })
    }

    /// For whom and as what change number `step` of this operation is done.
    pub(crate) fn change(&self, file: &FileRef, step: u16) -> Result<Ctx, Status> {
        let slot = self.slot.as_ref().ok_or(Status::OpNotInSession)?;
        debug_assert!(step < STEPS_PER_OP);
        let client = slot.session.client.vfs;
        let request = RequestId {
            client: client.0,
            channel: slot.channel(),
            sequence: slot.position,
            step: self.op_index * STEPS_PER_OP + step,
        };
        let again = slot.session.is_former();
        Ok(Ctx { cred: file.cred.clone(), client, request: Some(request), again, impatient: true })
    }

    /// The file system.
    pub(crate) fn vfs(&self) -> &V {
        &self.shared.vfs
    }

    /// Looks into a handle: is it served to this caller?
    pub(crate) async fn enter(&self, handle: Handle) -> Result<Place, Status> {
        match handle {
            Handle::Pseudo(id) if self.shared.exports().exists(id) => Ok(Place::Pseudo(id)),
            Handle::Pseudo(_) => Err(Status::Stale),
            Handle::File { export, file } => {
                let export = self.shared.exports().by_id(export).cloned().ok_or(Status::Stale)?;
                let root = match export.root() {
                    Some(root) => root,
                    None => self.shared.export_root(&export).await?,
                };
                // A handle of an export must not lead into another filesystem.
                if root.fs != file.fs {
                    return Err(Status::Stale);
                }
                self.admit(export, file).map(Place::File)
            }
        }
    }

    /// The root of an export.
    pub(crate) async fn enter_export(&self, export: &Arc<Exported>) -> Result<Place, Status> {
        let root = self.shared.export_root(export).await?;
        self.admit(Arc::clone(export), root).map(Place::File)
    }

    /// `file` as the caller sees it through `export`, if it may.
    pub(crate) fn admit(&self, export: Arc<Exported>, file: FileId) -> Result<FileRef, Status> {
        let Caller { credential, peer, .. } = self.caller;
        if !export.rules.admits(*peer) {
            return Err(Status::Access);
        }
        let Credential::Sys(sys) = credential else { return Err(Status::WrongSec) };
        let cred = export.cred(sys, || self.shared.groups_of(sys));
        Ok(FileRef { export, file, cred })
    }

    /// The stateid that is meant: "current" stands for that of an operation before.
    pub(crate) fn stateid(&self, given: Stateid) -> Result<Stateid, Status> {
        if given == Stateid::CURRENT {
            // Whatever the number was, the latest is meant (RFC 8881 section 16.2.3.1.2).
            return self.current_stateid.ok_or(Status::BadStateId);
        }
        let reserved = given.other == [0; 12] && given.seqid != 0
            || given.other == [0xff; 12] && given.seqid != u32::MAX;
        if reserved { Err(Status::BadStateId) } else { Ok(given) }
    }

    /// The open that data of `file` are read or written through; `None` asks the caller's rights.
    pub(crate) fn io(
        &self,
        given: Stateid,
        file: FileId,
        need: crate::state::Need,
    ) -> Result<Option<vfs::OpenId>, Status> {
        if self.gives_first_answers() {
            // The right was decided at the first try.
            return Ok(None);
        }
        let stateid = self.stateid(given)?;
        if stateid == Stateid::ANONYMOUS || stateid == Stateid::BYPASS {
            return Ok(None);
        }
        self.client()?.state().table.io(&stateid, file, need)
    }

    /// Makes `place` the current file handle.
    pub(crate) fn set_current(&mut self, place: Place) {
        self.current = Some(place);
        self.current_stateid = None;
    }
}

impl FileRef {
    /// Itself, unless the export is read-only.
    pub(crate) fn writable(self) -> Result<FileRef, Status> {
        if self.export.rules.access == ExportAccess::ReadOnly { Err(Status::Rofs) } else { Ok(self) }
    }

    /// Another inode of the same filesystem.
    pub(crate) fn sibling(&self, file: FileId) -> FileRef {
        FileRef { file, ..self.clone() }
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::File { export: self.export.id, file: self.file }
    }
}

/// A name off the wire.
pub(crate) fn name(component: &nfs_wire::Component) -> Result<Name, Status> {
    Name::new(component.0.clone()).map_err(name_status)
}

/// `?` from the contract's errors.
pub(crate) trait OrStatus<T> {
    fn or_status(self) -> Result<T, Status>;
}

impl<T> OrStatus<T> for Result<T, FsError> {
    fn or_status(self) -> Result<T, Status> {
        self.map_err(status)
    }
}
