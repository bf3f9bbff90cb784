//! CREATE_SESSION (RFC 8881 section 18.36).

use super::exchange_id::principal;
use crate::clients::{Ended, Planned};
use crate::compound::Compound;
use nfs_wire::{CreateSessionArgs, CreateSessionOk, Status};
use tokio::time::Instant;
use vfs::Vfs;

/// PERSIST, CONN_BACK_CHAN and CONN_RDMA; RDMA is not granted.
const FLAGS: u32 = 7;

pub(super) async fn create_session<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: CreateSessionArgs,
) -> Result<CreateSessionOk, Status> {
    if args.flags & !FLAGS != 0 {
        return Err(Status::Inval);
    }
    let clients = &c.shared.clients;
    let client = clients.client(args.clientid)?;
    let _one = client.recording.lock().await;
    let plan = match clients.plan_session(
        client.clone(),
        &args,
        principal(&c.caller.credential),
        (c.minor, &c.caller.line),
    )? {
        Planned::Done(reply) => return Ok(reply),
        Planned::New(plan) => *plan,
    };
    // Before the client may use the session: what it does there has to be known again after a restart.
    c.shared.keep(&client, plan.record.clone()).await?;
    let mut ended = Ended::new();
    let reply = clients.create_session(plan, Instant::now(), &mut ended);
    c.shared.end_clients(ended).await;
    if client.state().ended {
        // Meanwhile; what was kept of it would stay for ever.
        c.shared.end_clients(vec![client.clone()]).await;
    }
    reply
}
