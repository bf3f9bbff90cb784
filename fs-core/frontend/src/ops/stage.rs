//! Making a file that has no name yet, and opening it.

use crate::opens::Opened;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::{Action, Reply};
use std::time::Duration;
use types::FsError;
use vfs::{Ctx, OpenAccess, OpenReply, Stage};

const READ_WRITE: OpenAccess = OpenAccess { read: true, write: true };
const NOTHING: OpenAccess = OpenAccess { read: false, write: false };

pub(crate) async fn stage<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Stage,
) -> Result<OpenReply, FsError> {
    let Stage { near, mode } = request;
    // A retry would find no name to recognise it by: whoever asks again gets another file.
    let ctx = Ctx { request: None, ..ctx.clone() };
    for _ in 0..TRIES {
        let action = Action::Stage { near: near.ino, mode };
        let file = match fe.propose(&ctx, near.fs, || Ok(action.clone())).await? {
            Reply::Created { attr, .. } => attr.file,
            reply => return Err(unexpected(&reply)),
        };
        let node = fe.0.nodes.get(file);
        let _pass = node.gate.read().await;
        // The time of grace may end just now, and take all that nobody has open with it.
        if let Err(FsError::Stale) = fe.inode(file).await {
            continue;
        }
        let open = fe.0.opens.next();
        fe.0.locks.open(file, open, ctx.client, READ_WRITE, NOTHING)?;
        fe.0.opens.add(open, Opened { file, client: ctx.client, access: READ_WRITE });
        {
            let mut state = node.state.lock();
            state.opens += 1;
            state.orphan = true;
        }
        let attr = fe.attr(file).await?;
        return Ok(OpenReply { open, attr, created: true, dir: None, trust: Duration::ZERO });
    }
    Err(FsError::Delay)
}
