//! LISTXATTRS (RFC 8276 section 8.4.4).

use super::getxattr::PREFIX;
use crate::compound::{Compound, OrStatus};
use bytes::Bytes;
use nfs_wire::{ListxattrsArgs, ListxattrsOk, Status};
use vfs::{ListXattr, Vfs};
use xdr::{List, Opaque};

/// Bytes of a reply without names: cookie, count, end.
const HEAD_BYTES: usize = 16;

/// The cookie is the number of names given before.
pub(super) async fn listxattrs<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: ListxattrsArgs,
) -> Result<ListxattrsOk, Status> {
    let file = c.file_or(Status::NotSupp)?;
    let reply = c.vfs().listxattr(&c.ctx(&file)?, ListXattr { file: file.file }).await.or_status()?;
    let all: Vec<&[u8]> =
        reply.names.iter().filter_map(|name| name.as_bytes().strip_prefix(PREFIX)).collect();
    let start = usize::try_from(args.cookie).ok().filter(|n| *n <= all.len()).ok_or(Status::BadCookie)?;
    let limit = args.maxcount as usize;
    if limit < HEAD_BYTES {
        return Err(Status::TooSmall);
    }
    let mut used = HEAD_BYTES;
    let mut names = Vec::new();
    for name in &all[start..] {
        used += 4 + name.len().next_multiple_of(4);
        if used > limit {
            break;
        }
        names.push(Opaque(Bytes::copy_from_slice(name)));
    }
    if names.is_empty() && start < all.len() {
        return Err(Status::TooSmall);
    }
    let given = start + names.len();
    Ok(ListxattrsOk { cookie: given as u64, names: List(names), eof: given == all.len() })
}
