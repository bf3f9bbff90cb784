//! SECINFO (RFC 8881 section 18.29).

use super::lookup::find;
use crate::compound::Compound;
use nfs_wire::{SecinfoArgs, SecinfoOk, Status};
use vfs::Vfs;
use xdr::List;
use xdr::rpc::AUTH_SYS;

/// The one flavor that is served.
pub(super) fn flavors() -> SecinfoOk {
    SecinfoOk { flavors: List(vec![AUTH_SYS]) }
}

pub(super) async fn secinfo<V: Vfs>(c: &mut Compound<'_, V>, args: SecinfoArgs) -> Result<SecinfoOk, Status> {
    match find(c, &args.name).await {
        // To be asked with the wrong flavor is what it is for.
        Ok(_) | Err(Status::WrongSec) => {}
        Err(status) => return Err(status),
    }
    // The current handle is used up (RFC 8881 section 2.6.3.1.1.8).
    c.current = None;
    Ok(flavors())
}
