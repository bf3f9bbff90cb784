//! CREATE: everything but regular files (RFC 8881 section 18.4).

use crate::attrs;
use crate::compound::{Compound, OrStatus, Place, name};
use nfs_wire::{ChangeInfo, CreateArgs, CreateOk, CreateType, Status};
use types::{Device, Mode};
use vfs::{Mkdir, Mknod, NodeKind, Symlink, Vfs};

/// Permission bits when the client says none.
const DEFAULT_MODE: Mode = Mode(0o700);

pub(super) async fn create<V: Vfs>(c: &mut Compound<'_, V>, args: CreateArgs) -> Result<CreateOk, Status> {
    let dir = c.writable()?;
    let name = name(&args.name)?;
    let mut set = attrs::settable(&args.attrs, c.minor, true)?;
    if set.size.is_some() {
        return Err(Status::Inval);
    }
    let mode = set.mode.take().unwrap_or(DEFAULT_MODE);
    let ctx = c.change(&dir, 0)?;
    let node = |kind| Mknod { dir: dir.file, name: name.clone(), kind, mode, set: set.clone() };
    let device = |data: &nfs_wire::SpecData| Device { major: data.major, minor: data.minor };
    let made = match &args.kind {
        CreateType::Dir(()) => {
            c.vfs().mkdir(&ctx, Mkdir { dir: dir.file, name: name.clone(), mode, set: set.clone() }).await
        }
        CreateType::Lnk(target) => {
            let target = target.0.clone();
            if target.is_empty() {
                return Err(Status::Inval);
            }
            c.vfs().symlink(&ctx, Symlink { dir: dir.file, name, target, set }).await
        }
        CreateType::Blk(data) => c.vfs().mknod(&ctx, node(NodeKind::BlockDevice(device(data)))).await,
        CreateType::Chr(data) => c.vfs().mknod(&ctx, node(NodeKind::CharDevice(device(data)))).await,
        CreateType::Sock(()) => c.vfs().mknod(&ctx, node(NodeKind::Socket)).await,
        CreateType::Fifo(()) => c.vfs().mknod(&ctx, node(NodeKind::Fifo)).await,
        CreateType::Reg(()) | CreateType::AttrDir(()) | CreateType::NamedAttr(()) => {
            return Err(Status::BadType);
        }
    }
    .or_status()?;
    c.set_current(Place::File(dir.sibling(made.attr.file)));
    let change = ChangeInfo { atomic: true, before: made.dir.before, after: made.dir.after };
    Ok(CreateOk { change, attrset: args.attrs.mask })
}
