//! ACCESS (RFC 8881 section 18.1, RFC 8276 section 8.4.1).

use crate::compound::{Compound, OrStatus, Place};
use nfs_wire::{AccessArgs, AccessOk, Status};
use types::{AccessMask, FileKind};
use vfs::Vfs;

const READ: u32 = 1;
const LOOKUP: u32 = 2;
const MODIFY: u32 = 4;
const EXTEND: u32 = 8;
const DELETE: u32 = 16;
const EXECUTE: u32 = 32;
const XAREAD: u32 = 64;
const XAWRITE: u32 = 128;
const XALIST: u32 = 256;

pub(super) async fn access<V: Vfs>(c: &mut Compound<'_, V>, args: AccessArgs) -> Result<AccessOk, Status> {
    let file = match c.place()? {
        Place::Pseudo(_) => {
            let supported = args.access & (READ | LOOKUP | MODIFY | EXTEND | DELETE);
            return Ok(AccessOk { supported, access: supported & (READ | LOOKUP) });
        }
        Place::File(file) => file.clone(),
    };
    let request = vfs::Access { file: file.file, mask: AccessMask::ALL };
    let reply = c.vfs().access(&c.ctx(&file)?, request).await.or_status()?;
    let mut meaningful = match reply.attr.kind {
        FileKind::Directory => READ | LOOKUP | MODIFY | EXTEND | DELETE,
        _ => READ | MODIFY | EXTEND | EXECUTE,
    };
    if c.minor >= 2 {
        meaningful |= XAREAD | XAWRITE | XALIST;
    }
    let mut granted = 0;
    if reply.granted.contains(AccessMask::READ) {
        granted |= READ | XAREAD | XALIST;
    }
    if reply.granted.contains(AccessMask::WRITE) && file.clone().writable().is_ok() {
        granted |= MODIFY | EXTEND | DELETE | XAWRITE;
    }
    if reply.granted.contains(AccessMask::EXECUTE) {
        granted |= LOOKUP | EXECUTE;
    }
    let supported = args.access & meaningful;
    Ok(AccessOk { supported, access: supported & granted })
}
