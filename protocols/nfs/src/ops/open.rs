//! OPEN (RFC 8881 section 18.16).

use crate::attrs;
use crate::clients::Client;
use crate::compound::{Compound, FileRef, OrStatus, Place, name};
use crate::delegations::{self, WANT_MASK, Wish};
use crate::state::Opened;
use crate::status::status;
use nfs_wire::{
    Bitmap, ChangeInfo, CreateHow as WireHow, OpenArgs, OpenClaim, OpenDelegation, OpenHow, OpenOk, Stateid,
    Status, attr,
};
use std::sync::Arc;
use types::{Delegation, FileId, FsError, Mode, SetAttr};
use vfs::{Close, Create, CreateHow, DirChange, Open, OpenAccess, OpenReply, OpenTarget, Vfs};

/// Locks are those of POSIX (OPEN4_RESULT_LOCKTYPE_POSIX).
const LOCKTYPE_POSIX: u32 = 4;
/// What is removed while open stays until it is closed, over restarts too, so that no client need rename it in the
/// place of removing it (OPEN4_RESULT_PRESERVE_UNLINKED).
const PRESERVE_UNLINKED: u32 = 8;
/// OPEN4_SHARE_ACCESS_WANT_SIGNAL_DELEG_WHEN_RESRC_AVAIL and ..._PUSH_DELEG_WHEN_UNCONTENDED.
const SIGNALS: u32 = 0x3_0000;
/// What a client of minor version 2 would take instead of what it gets (RFC 9754): times with a delegation, and a delegation
/// without an open.
const INSTEAD: u32 = 0x30_0000;
/// Permission bits when the client says none.
const DEFAULT_MODE: Mode = Mode(0o600);

/// Share bits as the contract has them; `None` for bits that do not exist.
pub(super) fn share(bits: u32) -> Option<OpenAccess> {
    (bits <= 3).then_some(OpenAccess { read: bits & 1 != 0, write: bits & 2 != 0 })
}

/// What is to be opened, and what that means to the reply.
struct Plan {
    dir: FileRef,
    request: Open,
    /// Attributes that are set when the file is made, and when it was there.
    set_new: Bitmap,
    set_old: Bitmap,
    wish: Wish,
}

pub(super) async fn open<V: Vfs>(c: &mut Compound<'_, V>, args: OpenArgs) -> Result<OpenOk, Status> {
    let client = c.client()?.clone();
    let instead = if c.minor >= 2 { INSTEAD } else { 0 };
    let access = args.share_access & !WANT_MASK & !SIGNALS & !instead;
    let access = share(access).filter(|access| access.read || access.write).ok_or(Status::Inval)?;
    let deny = share(args.share_deny).ok_or(Status::Inval)?;
    let plan = plan(c, &args, access, deny)?;
    if c.gives_first_answers() {
        return first_answer(c, &client, plan).await;
    }
    check_order(&client, plan.request.reclaim)?;
    if !client.state().table.has_room() {
        return Err(Status::Delay);
    }

    let mut reply = c.vfs().open(&c.change(&plan.dir, 0)?, plan.request.clone()).await;
    if reply == Err(FsError::ShareConflict) && c.shared.evict_silent(&client).await {
        reply = c.vfs().open(&c.change(&plan.dir, 1)?, plan.request.clone()).await;
    }
    let reply = reply.map_err(|error| match error {
        FsError::ShareConflict if plan.request.reclaim => Status::ReclaimConflict,
        // Of FIFOs, sockets and devices, too: Linux makes EIO of NFS4ERR_WRONG_TYPE, and of this it looks for itself.
        FsError::WrongKind => Status::Symlink,
        error => status(error),
    })?;

    let file = plan.dir.sibling(reply.attr.file);
    let opened = Opened { id: reply.open, access, deny };
    let entered = {
        let mut state = client.state();
        if state.ended { None } else { Some(state.table.opened(&args.owner.owner.0, file.file, opened)) }
    };
    let superfluous = match entered {
        Some((_, superfluous)) => superfluous,
        None => Some(reply.open),
    };
    if let Some(open) = superfluous {
        c.vfs().close(&c.ctx(&file)?, Close { open }).await.or_status()?;
    }
    if entered.is_none() {
        // It is remembered for what it was about to have.
        c.shared.end_clients(vec![client.clone()]).await;
    }
    // The client's lease ran out while its request was on the way.
    let (stateid, _) = entered.ok_or(Status::Expired)?;

    let explain = args.share_access & WANT_MASK != 0;
    let delegation = delegations::offer(c, &client, (&file, &reply.attr), plan.wish, explain).await;

    c.set_current(Place::File(file));
    c.current_stateid = Some(stateid);
    Ok(answer(stateid, &reply, plan, delegation))
}

fn answer(stateid: Stateid, reply: &OpenReply, plan: Plan, delegation: OpenDelegation) -> OpenOk {
    let change = reply.dir.unwrap_or(DirChange { before: 0, after: 0 });
    OpenOk {
        stateid,
        change: ChangeInfo { atomic: true, before: change.before, after: change.after },
        rflags: LOCKTYPE_POSIX | PRESERVE_UNLINKED,
        attrset: if reply.created { plan.set_new } else { plan.set_old },
        delegation,
    }
}

/// The answer to an OPEN of a former life, which has made or found a file. What it had open is lost like all that was
/// open then: the client claims it, as it finds that its session is dead, and cannot use this stateid before.
async fn first_answer<V: Vfs>(
    c: &mut Compound<'_, V>,
    client: &Arc<Client>,
    plan: Plan,
) -> Result<OpenOk, Status> {
    let reply = c.vfs().open(&c.change(&plan.dir, 0)?, plan.request.clone()).await.map_err(status)?;
    let file = plan.dir.sibling(reply.attr.file);
    c.vfs().close(&c.ctx(&file)?, Close { open: reply.open }).await.or_status()?;
    let stateid = client.state().table.lost();
    c.set_current(Place::File(file));
    let delegation = delegations::unasked(plan.wish);
    Ok(answer(stateid, &reply, plan, delegation))
}

/// Reclaims first, everything else after them; whether others stand in the way, the file system knows.
fn check_order(client: &Client, reclaim: bool) -> Result<(), Status> {
    match (reclaim, client.state().reclaimed) {
        (true, true) => Err(Status::NoGrace),
        (false, false) => Err(Status::Grace),
        _ => Ok(()),
    }
}

fn plan<V: Vfs>(
    c: &Compound<'_, V>,
    args: &OpenArgs,
    access: OpenAccess,
    deny: OpenAccess,
) -> Result<Plan, Status> {
    let creates = matches!(args.how, OpenHow::Create(_));
    let pseudo = match (&args.claim, creates) {
        (OpenClaim::Null(component), false) => match c.place()? {
            Place::Pseudo(id) => {
                let name = name(component)?;
                let entries = c.shared.exports().entries(*id, c.caller.peer.ip());
                if entries.iter().any(|(other, _)| *other == name) { Status::IsDir } else { Status::NoEnt }
            }
            Place::File(_) => Status::IsDir,
        },
        (_, true) => Status::Rofs,
        (_, false) => Status::IsDir,
    };
    let here = c.file_or(pseudo)?;
    let here = if access.write || creates { here.writable()? } else { here };
    let target = match &args.claim {
        OpenClaim::Null(component) => OpenTarget::Entry { dir: here.file, name: name(component)? },
        OpenClaim::Fh(()) | OpenClaim::Previous(_) if creates => return Err(Status::Inval),
        OpenClaim::DelegateCur(_) | OpenClaim::DelegateCurFh(_) if creates => return Err(Status::Inval),
        OpenClaim::Fh(()) | OpenClaim::Previous(_) => OpenTarget::File(here.file),
        OpenClaim::DelegateCurFh(stateid) => {
            under_delegation(c, stateid, Some(here.file), access)?;
            OpenTarget::File(here.file)
        }
        OpenClaim::DelegateCur(claim) => {
            let file = under_delegation(c, &claim.stateid, None, access)?;
            // The name is as good as the handle, and may be another's by now.
            OpenTarget::File(file)
        }
        OpenClaim::DelegatePrev(_) | OpenClaim::DelegatePrevFh(()) => return Err(Status::NotSupp),
    };
    let (create, set_new, set_old) = match &args.how {
        OpenHow::NoCreate(()) => (None, Bitmap::default(), Bitmap::default()),
        OpenHow::Create(how) => {
            let (how, fattr) = match how {
                WireHow::Unchecked(fattr) => (CreateHow::Unchecked, fattr.clone()),
                WireHow::Guarded(fattr) => (CreateHow::Guarded, fattr.clone()),
                WireHow::Exclusive(verifier) => (CreateHow::Exclusive(*verifier), nfs_wire::Fattr::default()),
                WireHow::Exclusive41(both) => (CreateHow::Exclusive(both.verifier), both.attrs.clone()),
            };
            let mut set = attrs::settable(&fattr, c.minor, true)?;
            let mode = set.mode.take().unwrap_or(DEFAULT_MODE);
            let set_old = match how {
                CreateHow::Exclusive(_) => fattr.mask,
                _ => fattr.mask.intersection(&Bitmap::of(&[attr::SIZE])),
            };
            (Some(Create { how, mode, set }), fattr.mask, set_old)
        }
    };
    let cuts = |set: &SetAttr| set.size == Some(0);
    let truncate =
        create.as_ref().is_some_and(|create| create.how == CreateHow::Unchecked && cuts(&create.set));
    let wish = match &args.claim {
        OpenClaim::Previous(0) => Wish::Nothing,
        OpenClaim::Previous(1) => Wish::Again(Delegation::Read),
        OpenClaim::Previous(2) => Wish::Again(Delegation::Write),
        OpenClaim::Previous(_) => return Err(Status::Inval),
        OpenClaim::DelegateCur(_) | OpenClaim::DelegateCurFh(_) => Wish::Nothing,
        _ => delegations::wish(args.share_access, access)?,
    };
    let request = Open {
        target,
        access,
        deny,
        create,
        truncate,
        reclaim: matches!(args.claim, OpenClaim::Previous(_)),
        // A client opens a program to page it in; who may read is checked by ACCESS on its side.
        for_execution: !access.write,
    };
    Ok(Plan { dir: here, request, set_new, set_old, wish })
}

/// The file of a delegation that the client has opened it under, which has to allow that.
fn under_delegation<V: Vfs>(
    c: &Compound<'_, V>,
    stateid: &Stateid,
    file: Option<FileId>,
    access: OpenAccess,
) -> Result<FileId, Status> {
    let stateid = c.stateid(*stateid)?;
    let state = c.client()?.state();
    let (of, held) = state.table.delegation_of(&stateid)?;
    if file.is_some_and(|file| file != of) {
        return Err(Status::BadStateId);
    }
    if access.write && held.kind == Delegation::Read { Err(Status::OpenMode) } else { Ok(of) }
}
