//! BACKCHANNEL_CTL (RFC 8881 section 18.33).

use crate::compound::Compound;
use nfs_wire::{BackchannelCtlArgs, Status};
use vfs::Vfs;

pub(super) fn backchannel_ctl<V: Vfs>(c: &Compound<'_, V>, args: BackchannelCtlArgs) -> Result<(), Status> {
    let slot = c.slot.as_ref().ok_or(Status::OpNotInSession)?;
    // Contexts of RPCSEC_GSS, the only other way, are known to nobody here.
    if slot.session.back.control(args.cb_program, &args.sec_parms) { Ok(()) } else { Err(Status::NoEnt) }
}
