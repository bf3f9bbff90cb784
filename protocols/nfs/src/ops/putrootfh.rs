//! PUTROOTFH and PUTPUBFH, which is the same here (RFC 8881 sections 18.20 and 18.21).

use crate::compound::{Compound, Place};
use crate::exports::PseudoId;
use nfs_wire::Status;
use vfs::Vfs;

pub(super) async fn putrootfh<V: Vfs>(c: &mut Compound<'_, V>) -> Result<(), Status> {
    let place = match c.shared.exports().at_root() {
        Some(export) => c.enter_export(export).await?,
        None => Place::Pseudo(PseudoId::ROOT),
    };
    c.set_current(place);
    Ok(())
}
