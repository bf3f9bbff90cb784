//! SECINFO_NO_NAME (RFC 8881 section 18.45).

use super::{lookupp, secinfo::flavors};
use crate::compound::Compound;
use nfs_wire::{SecinfoNoNameArgs, SecinfoOk, SecinfoStyle, Status};
use vfs::Vfs;

pub(super) async fn secinfo_no_name<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: SecinfoNoNameArgs,
) -> Result<SecinfoOk, Status> {
    c.place()?;
    if args.style == SecinfoStyle::Parent {
        lookupp::lookupp(c).await?;
    }
    c.current = None;
    Ok(flavors())
}
