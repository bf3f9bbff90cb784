//! BIND_CONN_TO_SESSION (RFC 8881 section 18.34).

use crate::compound::Compound;
use nfs_wire::{BindConnArgs, BindConnOk, ChannelFromClient, ChannelFromServer, Status};
use vfs::Vfs;

/// Every connection may carry requests of every session of its client, so there is nothing to remember of those; calls to the client go
/// over the connections that are bound to the back channel.
pub(super) fn bind_conn_to_session<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: BindConnArgs,
) -> Result<BindConnOk, Status> {
    // It has a request of its own, without SEQUENCE (RFC 8881 section 18.34.3).
    if c.slot.is_some() {
        return Err(Status::NotOnlyOp);
    }
    let session = c.shared.clients.session(&args.session)?;
    if session.is_former() {
        return Err(Status::DeadSession);
    }
    session.client.renew(tokio::time::Instant::now());
    let dir = match args.dir {
        ChannelFromClient::Fore => ChannelFromServer::Fore,
        ChannelFromClient::Back | ChannelFromClient::ForeOrBoth | ChannelFromClient::BackOrBoth => {
            match (session.back.bind(&c.caller.line), args.dir) {
                (true, ChannelFromClient::Back) => ChannelFromServer::Back,
                (true, _) => ChannelFromServer::Both,
                (false, ChannelFromClient::Back) => return Err(Status::NotSupp),
                (false, _) => ChannelFromServer::Fore,
            }
        }
    };
    Ok(BindConnOk { session: args.session, dir, rdma: false })
}
