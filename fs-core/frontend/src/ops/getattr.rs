//! Reading attributes.

use crate::{Frontend, Shards, Stripes};
use types::FsError;
use vfs::{Ctx, GetAttr, GetAttrReply};

pub(crate) async fn getattr<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: GetAttr,
) -> Result<GetAttrReply, FsError> {
    Ok(GetAttrReply::untrusted(fe.attr(request.file).await?))
}
