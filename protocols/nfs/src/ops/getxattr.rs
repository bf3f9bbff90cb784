//! GETXATTR (RFC 8276 section 8.4.1).

use crate::compound::{Compound, OrStatus};
use bytes::{BufMut, BytesMut};
use nfs_wire::{Component, GetxattrArgs, GetxattrOk, Status};
use types::{Name, limits};
use vfs::{GetXattr, Vfs};
use xdr::Opaque;

/// All attributes of the protocol are in this name space (RFC 8276 section 5).
pub(super) const PREFIX: &[u8] = b"user.";

/// The name of an attribute as the contract knows it.
pub(super) fn xattr_name(component: &Component) -> Result<Name, Status> {
    if component.is_empty() {
        return Err(Status::Inval);
    }
    if PREFIX.len() + component.len() > limits::XATTR_NAME_BYTES_MAX {
        return Err(Status::NameTooLong);
    }
    let mut name = BytesMut::with_capacity(PREFIX.len() + component.len());
    name.put_slice(PREFIX);
    name.put_slice(component);
    Name::new(name.freeze()).map_err(crate::status::name_status)
}

pub(super) async fn getxattr<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: GetxattrArgs,
) -> Result<GetxattrOk, Status> {
    let file = c.file_or(Status::NoXattr)?;
    let request = GetXattr { file: file.file, name: xattr_name(&args.name)? };
    let reply = c.vfs().getxattr(&c.ctx(&file)?, request).await.or_status()?;
    Ok(GetxattrOk { value: Opaque(reply.value) })
}
