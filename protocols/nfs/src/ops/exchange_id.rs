//! EXCHANGE_ID (RFC 8881 section 18.35).

use crate::clients::{Ended, Principal};
use crate::compound::Compound;
use bytes::Bytes;
use nfs_wire::{ExchangeIdArgs, ExchangeIdOk, ServerOwner, StateProtect, Status};
use tokio::time::Instant;
use vfs::Vfs;
use xdr::rpc::Credential;
use xdr::{List, Opaque};

const UPD_CONFIRMED_REC_A: u32 = 0x4000_0000;
const CONFIRMED_R: u32 = 0x8000_0000;
const USE_NON_PNFS: u32 = 0x0001_0000;
/// Flags that a client may send: referrals, migration, state ids by principal, pNFS roles, update.
const ALLOWED: u32 = 0x4007_0103;
/// EXCHGID4_FLAG_SUPP_FENCE_OPS, of minor version 2 (RFC 7862 section 14.1): nothing here ever fences.
const SUPP_FENCE_OPS: u32 = 4;

/// Who speaks.
pub(super) fn principal(credential: &Credential) -> Principal {
    match credential {
        Credential::Sys(sys) => Some(sys.uid),
        Credential::None | Credential::Other(_) => None,
    }
}

pub(super) async fn exchange_id<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: ExchangeIdArgs,
) -> Result<ExchangeIdOk, Status> {
    let allowed = if c.minor >= 2 { ALLOWED | SUPP_FENCE_OPS } else { ALLOWED };
    if args.flags & !allowed != 0 {
        return Err(Status::Inval);
    }
    match args.protect {
        StateProtect::None(()) => {}
        // Both need RPCSEC_GSS (RFC 8881 section 2.10.8.3).
        StateProtect::MachCred(_) => return Err(Status::Inval),
        StateProtect::Ssv(_) => return Err(Status::EncrAlgUnsupp),
    }
    let mut ended = Ended::new();
    let update = args.flags & UPD_CONFIRMED_REC_A != 0;
    let who = principal(&c.caller.credential);
    let known = c.shared.clients.exchange_id(&args.owner, who, update, Instant::now(), &mut ended);
    c.shared.end_clients(ended).await;
    let known = known?;
    let scope = Bytes::copy_from_slice(c.shared.config.scope.as_bytes());
    // Another server of the cluster is another one to a client that looks for connections to share.
    let major_id = Bytes::from(format!("{}/{}", c.shared.config.scope, c.shared.config.server));
    Ok(ExchangeIdOk {
        clientid: known.id,
        sequence: known.sequence,
        flags: USE_NON_PNFS | if known.confirmed { CONFIRMED_R } else { 0 },
        protect: 0,
        server_owner: ServerOwner { minor_id: 0, major_id: Opaque(major_id) },
        scope: Opaque(scope),
        impl_id: List::default(),
    })
}
