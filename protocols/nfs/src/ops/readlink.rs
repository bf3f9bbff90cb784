//! READLINK (RFC 8881 section 18.24).

use crate::compound::{Compound, OrStatus};
use nfs_wire::{ReadlinkOk, Status};
use types::FsError;
use vfs::{ReadLink, Vfs};
use xdr::Opaque;

pub(super) async fn readlink<V: Vfs>(c: &mut Compound<'_, V>) -> Result<ReadlinkOk, Status> {
    let file = c.file_or(Status::WrongType)?;
    let reply = c.vfs().readlink(&c.ctx(&file)?, ReadLink { file: file.file }).await;
    match reply {
        Ok(reply) => Ok(ReadlinkOk { link: Opaque(reply.target) }),
        // Whatever else it is, it is not a symbolic link (RFC 8881 section 18.24.4).
        Err(FsError::IsDirectory | FsError::Invalid | FsError::WrongKind) => Err(Status::WrongType),
        Err(error) => Err(error).or_status(),
    }
}
