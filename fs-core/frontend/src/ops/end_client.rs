//! Ending a client.

use super::close::close_open;
use crate::look::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::{inode, pending};
use namespace::{Action, Reply};
use types::{Cred, FsError, InodeId};
use vfs::{Ctx, EndClient};

pub(crate) async fn end_client<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: EndClient,
) -> Result<(), FsError> {
    for open in fe.0.opens.of_client(request.client) {
        match close_open(fe, open).await {
            Ok(()) | Err(FsError::BadOpen) => {}
            Err(error) => return Err(error),
        }
    }
    fe.0.locks.end_client(request.client);
    let client = request.client.0;
    let mut remembered = Vec::new();
    {
        // None of its changes is under way any more.
        let view = fe.past_view();
        for fs in answer(inode::filesystems(&view))? {
            let slots = answer(pending::slots_with_replays(&view, fs.id, client))?;
            remembered.extend(slots.into_iter().map(|slot| (fs.id, InodeId::new(slot, 0))));
        }
    }
    for (fs, near) in remembered {
        while let Reply::Drained { more: true } =
            fe.propose_as(Cred::root(), fs, Action::ForgetClient { client, near }).await?
        {}
    }
    Ok(())
}
