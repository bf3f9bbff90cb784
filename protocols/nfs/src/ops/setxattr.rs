//! SETXATTR (RFC 8276 section 8.4.3).

use super::getxattr::xattr_name;
use crate::compound::{Compound, OrStatus};
use nfs_wire::{ChangeInfo, ChangeOk, SetXattrOption, SetxattrArgs, Status};
use types::limits;
use vfs::{SetXattr, SetXattrHow, Vfs};

pub(super) async fn setxattr<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: SetxattrArgs,
) -> Result<ChangeOk, Status> {
    let file = c.writable()?;
    if args.value.len() > limits::XATTR_VALUE_BYTES_MAX {
        return Err(Status::Xattr2Big);
    }
    let how = match args.option {
        SetXattrOption::Either => SetXattrHow::Either,
        SetXattrOption::Create => SetXattrHow::Create,
        SetXattrOption::Replace => SetXattrHow::Replace,
    };
    let request = SetXattr { file: file.file, name: xattr_name(&args.name)?, value: args.value.0, how };
    let reply = c.vfs().setxattr(&c.change(&file, 0)?, request).await.or_status()?;
    let change = ChangeInfo { atomic: true, before: reply.change.before, after: reply.change.after };
    Ok(ChangeOk { change })
}
