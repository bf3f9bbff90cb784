//! VERIFY and NVERIFY (RFC 8881 sections 18.31 and 18.15).

use super::getattr::attributes;
use crate::attrs;
use crate::compound::Compound;
use nfs_wire::{Bitmap, Status, VerifyArgs, attr};
use vfs::Vfs;

pub(super) async fn verify<V: Vfs>(c: &mut Compound<'_, V>, args: VerifyArgs) -> Result<(), Status> {
    if same(c, &args).await? { Ok(()) } else { Err(Status::NotSame) }
}

pub(super) async fn nverify<V: Vfs>(c: &mut Compound<'_, V>, args: VerifyArgs) -> Result<(), Status> {
    if same(c, &args).await? { Err(Status::Same) } else { Ok(()) }
}

/// Attributes have one encoding each, so their bytes are compared.
async fn same<V: Vfs>(c: &Compound<'_, V>, args: &VerifyArgs) -> Result<bool, Status> {
    c.place()?;
    let wanted = args.attrs.mask;
    if !wanted.is_subset(&attrs::supported(c.minor)) {
        return Err(Status::AttrNotSupp);
    }
    if wanted.contains(attr::RDATTR_ERROR) {
        return Err(Status::Inval);
    }
    let wanted: Bitmap = attrs::readable(&wanted, c.minor)?;
    Ok(attributes(c, &wanted).await?.to_fattr(&wanted) == args.attrs)
}
