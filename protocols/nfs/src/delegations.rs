//! Delegations: who is offered one, and what holders are asked (RFC 8881 sections 10.4 and 20).

use crate::backchannel::CallError;
use crate::clients::Client;
use crate::compound::{Compound, FileRef};
use crate::server::Shared;
use crate::state::DelegationState;
use nfs_wire::{
    Ace, Bitmap, CbArgs, CbGetattrArgs, CbRecallArgs, CbReply, OpenDelegation, ReadDelegation, SpaceLimit,
    Stateid, Status, WhyNoDelegation, WriteDelegation, attr,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use types::{Attr, Cred, Delegation, FileKind};
use vfs::{AskHolder, Close, Ctx, Delegate, HolderQuestion, NotDelegated, Open, OpenAccess, OpenTarget, Vfs};
use xdr::{Decoder, Opaque};

/// What a client would like to be delegated (OPEN4_SHARE_ACCESS_WANT_...).
pub(crate) const WANT_MASK: u32 = 0xff00;
const WANT_NO_PREFERENCE: u32 = 0;
const WANT_READ: u32 = 0x0100;
const WANT_WRITE: u32 = 0x0200;
const WANT_ANY: u32 = 0x0300;
const WANT_NO_DELEGATION: u32 = 0x0400;
const WANT_CANCEL: u32 = 0x0500;
/// Pause before a holder that cannot be asked now is asked again.
const AGAIN: Duration = Duration::from_millis(100);
/// A delegation that is asked back in the instant in which it is given is known after at most so many pauses.
const GIVEN_WITHIN: u32 = 50;

/// What an OPEN asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// This, as the client says or as fits what it opens.
    Some(Delegation),
    /// What it had before a restart.
    Again(Delegation),
    /// Nothing: it has a delegation, or asks for none where none is explained.
    Nothing,
    /// None, and to be told why.
    None(WhyNone),
}

/// Why none is given, known before anything is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WhyNone {
    NotWanted,
    Cancelled,
    /// It fits nothing that is delegated.
    Unfit,
}

/// What an OPEN with these bits and rights asks for. As others do it, a file is delegated for writing to who opens it for both, and for reading to
/// who opens it for that.
pub(crate) fn wish(share_access: u32, access: OpenAccess) -> Result<Wish, Status> {
    let fits = match access {
        OpenAccess { read: true, write: true } => Some(Delegation::Write),
        OpenAccess { read: true, write: false } => Some(Delegation::Read),
        OpenAccess { read: false, .. } => None,
    };
    Ok(match share_access & WANT_MASK {
        WANT_NO_PREFERENCE => fits.map_or(Wish::Nothing, Wish::Some),
        WANT_READ if access.read => Wish::Some(Delegation::Read),
        WANT_WRITE if fits == Some(Delegation::Write) => Wish::Some(Delegation::Write),
        WANT_ANY => fits.map_or(Wish::None(WhyNone::Unfit), Wish::Some),
        WANT_READ | WANT_WRITE => Wish::None(WhyNone::Unfit),
        WANT_NO_DELEGATION => Wish::None(WhyNone::NotWanted),
        WANT_CANCEL => Wish::None(WhyNone::Cancelled),
        _ => return Err(Status::Inval),
    })
}

fn none(why: WhyNone) -> OpenDelegation {
    OpenDelegation::NoneExt(match why {
        WhyNone::NotWanted => WhyNoDelegation::NotWanted(()),
        WhyNone::Cancelled => WhyNoDelegation::Cancelled(()),
        WhyNone::Unfit => WhyNoDelegation::Contention(false),
    })
}

/// The answer to a wish that is not looked into.
pub(crate) fn unasked(wish: Wish) -> OpenDelegation {
    match wish {
        Wish::None(why) => none(why),
        Wish::Some(_) | Wish::Again(_) | Wish::Nothing => OpenDelegation::None(()),
    }
}

/// What a client that has opened `file` is delegated of it. `explain`: it has said what it wants, and is told why it does not get it.
pub(crate) async fn offer<V: Vfs>(
    c: &Compound<'_, V>,
    client: &Arc<Client>,
    (file, attr): (&FileRef, &Attr),
    wish: Wish,
    explain: bool,
) -> OpenDelegation {
    let (kind, reclaim) = match wish {
        Wish::Some(kind) => (kind, false),
        Wish::Again(kind) => (kind, true),
        Wish::Nothing | Wish::None(_) => return unasked(wish),
    };
    match give(c, client, (file, attr), kind, reclaim).await {
        Ok(stateid) => given(stateid, kind),
        Err(_) if !explain => OpenDelegation::None(()),
        Err(NotDelegated::Contended) => OpenDelegation::NoneExt(WhyNoDelegation::Contention(false)),
        Err(NotDelegated::Held) => OpenDelegation::NoneExt(WhyNoDelegation::NotSuppUpgrade(())),
        Err(NotDelegated::Full) => OpenDelegation::NoneExt(WhyNoDelegation::Resource(false)),
        Err(NotDelegated::NotSupported) => OpenDelegation::NoneExt(WhyNoDelegation::NotSuppFtype(())),
    }
}

fn given(stateid: Stateid, kind: Delegation) -> OpenDelegation {
    // Nobody is let in without the server being asked (ACCESS).
    let permissions = Ace { kind: 0, flag: 0, mask: 0, who: Opaque::default() };
    match kind {
        Delegation::Read => OpenDelegation::Read(ReadDelegation { stateid, recall: false, permissions }),
        Delegation::Write => OpenDelegation::Write(WriteDelegation {
            stateid,
            recall: false,
            // No space is promised to what waits at the client: it is to be written when the file is closed, as without a delegation.
            space_limit: SpaceLimit::Size(0),
            permissions,
        }),
    }
}

async fn give<V: Vfs>(
    c: &Compound<'_, V>,
    client: &Arc<Client>,
    (file, attr): (&FileRef, &Attr),
    kind: Delegation,
    reclaim: bool,
) -> Result<Stateid, NotDelegated> {
    if attr.kind != FileKind::File {
        return Err(NotDelegated::NotSupported);
    }
    // Who cannot be asked is given nothing.
    if !c.shared.clients.can_be_called(client) || !client.state().table.has_room() {
        return Err(NotDelegated::Full);
    }
    let ctx = Ctx { client: client.vfs, impatient: true, ..Ctx::new(file.cred.clone()) };
    let id = c.vfs().delegate(&ctx, Delegate { file: file.file, kind, reclaim }).await?;
    // What is read and written through it goes on when the file is closed.
    let request = Open {
        target: OpenTarget::File(file.file),
        access: OpenAccess { read: true, write: kind == Delegation::Write },
        deny: OpenAccess::default(),
        create: None,
        truncate: false,
        reclaim,
        for_execution: kind == Delegation::Read,
    };
    let opened = match c.vfs().open(&ctx, request).await {
        Ok(opened) => opened,
        Err(_) => {
            c.vfs().give_back(id);
            return Err(NotDelegated::Contended);
        }
    };
    let delegation = DelegationState {
        id,
        kind,
        open: opened.open,
        handle: file.handle().encode(),
        change: opened.attr.change,
    };
    let entered = {
        let mut state = client.state();
        if state.ended { None } else { Some(state.table.delegated(file.file, delegation)) }
    };
    let Some(stateid) = entered else {
        close(c.shared, client, opened.open).await;
        c.vfs().give_back(id);
        return Err(NotDelegated::Contended);
    };
    Ok(stateid)
}

/// Ends the open behind a delegation.
pub(crate) async fn close<V: Vfs>(shared: &Arc<Shared<V>>, client: &Client, open: vfs::OpenId) {
    let ctx = Ctx { client: client.vfs, ..Ctx::new(Cred::root()) };
    if let Err(error) = shared.vfs.close(&ctx, Close { open }).await {
        tracing::warn!(%error, "the open of a delegation could not be closed");
    }
}

/// Answers what is asked about a delegation.
pub(crate) async fn answer<V: Vfs>(shared: Arc<Shared<V>>, question: AskHolder) -> bool {
    match question.what {
        HolderQuestion::GiveBack => {
            tokio::spawn(ask_back(shared, question));
            false
        }
        HolderQuestion::IsUnchanged => is_unchanged(&shared, &question).await.unwrap_or(false),
        HolderQuestion::Lost => {
            let Some(client) = shared.clients.by_vfs_id(question.client) else { return false };
            let open = client.state().table.revoke(question.id);
            if let Some(open) = open {
                // Nothing comes through it any more; who asks does not wait for its end.
                tokio::spawn(async move { close(&shared, &client, open).await });
            }
            false
        }
    }
}

/// A client could not write through `stateid`. If that is of a delegation, it is asked back: as long as the client has it, it
/// takes the size that it wanted to write for the true one.
pub(crate) fn refused<V: Vfs>(c: &Compound<'_, V>, stateid: Stateid) {
    let (Ok(client), Ok(stateid)) = (c.client(), c.stateid(stateid)) else { return };
    let held = client.state().table.delegation_of(&stateid).map(|(file, held)| (file, held.id));
    let Ok((file, id)) = held else { return };
    let question = AskHolder { client: client.vfs, file, id, what: HolderQuestion::GiveBack };
    tokio::spawn(ask_back(c.shared.clone(), question));
}

/// Has the client asked until it has heard it, or there is nothing to give back any more.
async fn ask_back<V: Vfs>(shared: Arc<Shared<V>>, question: AskHolder) {
    // After its lease it loses it to whoever wants it then, also unasked.
    let until = Instant::now() + shared.config.lease;
    for pauses in 0.. {
        if Instant::now() >= until {
            return;
        }
        let Some(client) = shared.clients.by_vfs_id(question.client) else { return };
        let found = client.state().table.delegation(question.id);
        let Some((stateid, held)) = found else {
            if pauses >= GIVEN_WITHIN {
                return;
            }
            tokio::time::sleep(AGAIN / 10).await;
            continue;
        };
        if client.state().lapsed(Instant::now(), shared.config.lease) {
            shared.evict(&client).await;
            return;
        }
        let object = Opaque(held.handle);
        let recall = CbArgs::Recall(CbRecallArgs { stateid, truncate: false, object });
        let asked = match shared.clients.back_channel(&client) {
            Some(session) => session.back.call(recall).await,
            None => Err(CallError::Down),
        };
        match asked {
            Ok(_) => return,
            Err(why) => tracing::debug!(client = client.id, ?why, "a delegation could not be asked back yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether a client that may have written has nothing that is not known here; `None` when it does not say.
async fn is_unchanged<V: Vfs>(shared: &Arc<Shared<V>>, question: &AskHolder) -> Option<bool> {
    let client = shared.clients.by_vfs_id(question.client)?;
    let (_, held) = client.state().table.delegation(question.id)?;
    let session = shared.clients.back_channel(&client)?;
    let request = Bitmap::of(&[attr::CHANGE, attr::SIZE]);
    let ask = CbArgs::Getattr(CbGetattrArgs { object: Opaque(held.handle), request });
    let Ok(CbReply::Getattr(fattr)) = session.back.call(ask).await else { return None };
    // Anything but what it was given at first says that it has written (RFC 8881 section 10.4.3).
    let change = fattr.mask.contains(attr::CHANGE).then(|| Decoder::new(fattr.values).u64().ok())??;
    Some(change == held.change)
}
