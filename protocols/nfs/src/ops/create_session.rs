//! CREATE_SESSION (RFC 8881 section 18.36).

use super::exchange_id::principal;
use crate::clients::Ended;
use crate::compound::Compound;
use nfs_wire::{CreateSessionArgs, CreateSessionOk, Status};
use tokio::time::Instant;
use vfs::Vfs;

/// PERSIST, CONN_BACK_CHAN and CONN_RDMA; none is granted.
const FLAGS: u32 = 7;

pub(super) async fn create_session<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: CreateSessionArgs,
) -> Result<CreateSessionOk, Status> {
    if args.flags & !FLAGS != 0 {
        return Err(Status::Inval);
    }
    let mut ended = Ended::new();
    let now = Instant::now();
    let reply = c.shared.clients.create_session(&args, principal(&c.caller.credential), now, &mut ended);
    c.shared.end_clients(ended).await;
    reply
}
