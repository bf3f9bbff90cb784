//! LOOKUP (RFC 8881 section 18.13).

use crate::compound::{Compound, OrStatus, Place, name};
use crate::exports::PseudoEntry;
use nfs_wire::{Component, LookupArgs, Status};
use types::Attr;
use vfs::{Lookup, Vfs};

pub(super) async fn lookup<V: Vfs>(c: &mut Compound<'_, V>, args: LookupArgs) -> Result<(), Status> {
    let place = find(c, &args.name).await?.0;
    c.set_current(place);
    Ok(())
}

/// What is behind a name in the current directory, with its attributes when it is an inode.
pub(super) async fn find<V: Vfs>(
    c: &Compound<'_, V>,
    component: &Component,
) -> Result<(Place, Option<Attr>), Status> {
    let dir = c.place()?;
    let name = name(component)?;
    match dir {
        Place::Pseudo(id) => {
            let entries = c.shared.exports().entries(*id, c.caller.peer.ip());
            let (_, entry) = entries.into_iter().find(|(other, _)| *other == name).ok_or(Status::NoEnt)?;
            match entry {
                PseudoEntry::Directory(id) => Ok((Place::Pseudo(id), None)),
                PseudoEntry::Export(export) => Ok((c.enter_export(&export).await?, None)),
            }
        }
        Place::File(dir) => {
            let request = Lookup { dir: dir.file, name };
            let attr = c.vfs().lookup(&c.ctx(dir)?, request).await.or_status()?.attr;
            Ok((Place::File(dir.sibling(attr.file)), Some(attr)))
        }
    }
}
