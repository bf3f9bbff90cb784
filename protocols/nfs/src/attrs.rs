//! Attributes between the contract and the wire.

use crate::compound::FileRef;
use crate::exports::{PseudoId, PseudoLook};
use crate::handle::Handle;
use bytes::Bytes;
use nfs_wire::{
    Attributes, Bitmap, Fattr, FileType, Fsid, OpenArguments, SetTime as WireSetTime, SpecData, Status, attr,
};
use std::time::Duration;
use types::{Attr, FileKind, Mode, SetAttr, SetTime, Time, limits};
use vfs::StatFsReply;
use xdr::Opaque;

const NANOSECONDS: u32 = 1_000_000_000;
/// NFS4_CHANGE_TYPE_IS_MONOTONIC_INCR and ..._IS_UNDEFINED (RFC 7862 section 12.2.3).
const CHANGE_GROWS: u32 = 0;
const CHANGE_UNDEFINED: u32 = 4;
/// All permission bits.
const MODE_BITS: u32 = 0o7777;
/// Unit of CLONE.
const CLONE_BYTES: u32 = limits::BLOCK_BYTES as u32;
/// Permission bits of pseudo directories.
const PSEUDO_MODE: u32 = 0o555;

const BASE: &[u32] = &[
    attr::SUPPORTED_ATTRS,
    attr::TYPE,
    attr::FH_EXPIRE_TYPE,
    attr::CHANGE,
    attr::SIZE,
    attr::LINK_SUPPORT,
    attr::SYMLINK_SUPPORT,
    attr::NAMED_ATTR,
    attr::FSID,
    attr::UNIQUE_HANDLES,
    attr::LEASE_TIME,
    attr::RDATTR_ERROR,
    attr::CANSETTIME,
    attr::CASE_INSENSITIVE,
    attr::CASE_PRESERVING,
    attr::CHOWN_RESTRICTED,
    attr::FILEHANDLE,
    attr::FILEID,
    attr::FILES_AVAIL,
    attr::FILES_FREE,
    attr::FILES_TOTAL,
    attr::HOMOGENEOUS,
    attr::MAXFILESIZE,
    attr::MAXLINK,
    attr::MAXNAME,
    attr::MAXREAD,
    attr::MAXWRITE,
    attr::MODE,
    attr::NO_TRUNC,
    attr::NUMLINKS,
    attr::OWNER,
    attr::OWNER_GROUP,
    attr::RAWDEV,
    attr::SPACE_AVAIL,
    attr::SPACE_FREE,
    attr::SPACE_TOTAL,
    attr::SPACE_USED,
    attr::TIME_ACCESS,
    attr::TIME_ACCESS_SET,
    attr::TIME_CREATE,
    attr::TIME_DELTA,
    attr::TIME_METADATA,
    attr::TIME_MODIFY,
    attr::TIME_MODIFY_SET,
    attr::MOUNTED_ON_FILEID,
    attr::SUPPATTR_EXCLCREAT,
];
const SINCE_42: &[u32] = &[
    attr::CLONE_BLKSIZE,
    attr::CHANGE_ATTR_TYPE,
    attr::MODE_UMASK,
    attr::XATTR_SUPPORT,
    attr::OPEN_ARGUMENTS,
];
const SETTABLE: Bitmap = Bitmap::of(&[
    attr::SIZE,
    attr::MODE,
    attr::OWNER,
    attr::OWNER_GROUP,
    attr::TIME_ACCESS_SET,
    attr::TIME_CREATE,
    attr::TIME_MODIFY_SET,
    attr::MODE_UMASK,
]);
const WRITE_ONLY: Bitmap = Bitmap::of(&[attr::TIME_ACCESS_SET, attr::TIME_MODIFY_SET, attr::MODE_UMASK]);
const OF_STATFS: Bitmap = Bitmap::of(&[
    attr::FILES_AVAIL,
    attr::FILES_FREE,
    attr::FILES_TOTAL,
    attr::SPACE_AVAIL,
    attr::SPACE_FREE,
    attr::SPACE_TOTAL,
]);

/// The attributes that minor version `minor` is offered.
pub(crate) fn supported(minor: u32) -> Bitmap {
    let mut set = Bitmap::of(BASE);
    if minor >= 2 {
        SINCE_42.iter().for_each(|number| set.insert(*number));
    }
    set
}

/// What GETATTR and READDIR may be asked; the unsupported is left out silently.
pub(crate) fn readable(request: &Bitmap, minor: u32) -> Result<Bitmap, Status> {
    if request.intersects(&WRITE_ONLY) {
        Err(Status::Inval)
    } else {
        Ok(request.intersection(&supported(minor)))
    }
}

/// Whether the answer needs the numbers of the whole filesystem.
pub(crate) fn wants_statfs(request: &Bitmap) -> bool {
    request.intersects(&OF_STATFS)
}

/// What OPEN understands (RFC 9754 section 5): no times of delegated files, and no delegation in the place of an open.
fn open_arguments() -> OpenArguments {
    OpenArguments {
        share_access: Bitmap::of(&[1, 2, 3]),
        share_deny: Bitmap::of(&[0, 1, 2, 3]),
        // Any delegation, none, and to cancel a wish.
        share_access_want: Bitmap::of(&[3, 4, 5]),
        // By name, after a restart, and by handle, each also of what is delegated.
        open_claim: Bitmap::of(&[0, 1, 2, 4, 5]),
        create_mode: Bitmap::of(&[0, 1, 2, 3]),
    }
}

fn common(minor: u32, lease: Duration) -> Attributes {
    Attributes {
        supported_attrs: Some(supported(minor)),
        open_arguments: Some(open_arguments()),
        fh_expire_type: Some(0),
        link_support: Some(true),
        symlink_support: Some(true),
        named_attr: Some(false),
        unique_handles: Some(true),
        lease_time: Some(u32::try_from(lease.as_secs()).unwrap_or(u32::MAX).max(1)),
        rdattr_error: Some(Status::Ok),
        cansettime: Some(true),
        case_insensitive: Some(false),
        case_preserving: Some(true),
        chown_restricted: Some(true),
        homogeneous: Some(true),
        maxfilesize: Some(limits::FILE_BYTES_MAX),
        maxlink: Some(limits::LINKS_MAX),
        maxname: Some(limits::NAME_BYTES_MAX as u32),
        maxread: Some(limits::IO_BYTES_MAX as u64),
        maxwrite: Some(limits::IO_BYTES_MAX as u64),
        no_trunc: Some(true),
        time_delta: Some(nfs_wire::Time { seconds: 0, nseconds: 1 }),
        suppattr_exclcreat: Some(SETTABLE.intersection(&supported(minor))),
        clone_blksize: Some(CLONE_BYTES),
        ..Attributes::default()
    }
}

/// All attributes of an inode.
pub(crate) fn of_file(
    file: &FileRef,
    attr: &Attr,
    statfs: Option<&StatFsReply>,
    minor: u32,
    lease: Duration,
) -> Attributes {
    let is_root = file.export.root() == Some(attr.file);
    let mounted_on = if is_root { file.export.mounted_on() } else { attr.file.ino.0 };
    Attributes {
        file_type: Some(file_type(attr.kind)),
        change: Some(attr.change),
        size: Some(attr.size),
        fsid: Some(fsid(file)),
        filehandle: Some(Opaque(file.sibling(attr.file).handle().encode())),
        fileid: Some(attr.file.ino.0),
        mode: Some(u32::from(attr.mode.0)),
        numlinks: Some(attr.links),
        owner: Some(decimal(attr.uid)),
        owner_group: Some(decimal(attr.gid)),
        rawdev: Some(SpecData { major: attr.device.major, minor: attr.device.minor }),
        space_used: Some(attr.used),
        time_access: Some(time(attr.atime)),
        time_create: Some(time(attr.btime)),
        time_metadata: Some(time(attr.ctime)),
        time_modify: Some(time(attr.mtime)),
        mounted_on_fileid: Some(mounted_on),
        xattr_support: Some(true),
        change_attr_type: Some(CHANGE_GROWS),
        files_avail: statfs.map(|s| s.files_free),
        files_free: statfs.map(|s| s.files_free),
        files_total: statfs.map(|s| s.files.saturating_add(s.files_free)),
        space_avail: statfs.map(|s| s.available),
        space_free: statfs.map(|s| s.free),
        space_total: statfs.map(|s| s.total),
        ..common(minor, lease)
    }
}

/// All attributes of a pseudo directory that looks so; all its entries are directories.
pub(crate) fn of_pseudo(id: PseudoId, look: PseudoLook, minor: u32, lease: Duration) -> Attributes {
    let never = nfs_wire::Time { seconds: 0, nseconds: 0 };
    Attributes {
        file_type: Some(FileType::Dir),
        change: Some(look.change),
        size: Some(u64::from(look.entries)),
        fsid: Some(Fsid { major: 0, minor: 0 }),
        filehandle: Some(Opaque(Handle::Pseudo(id).encode())),
        fileid: Some(id.0),
        mode: Some(PSEUDO_MODE),
        numlinks: Some(look.entries.saturating_add(2)),
        owner: Some(decimal(0)),
        owner_group: Some(decimal(0)),
        rawdev: Some(SpecData { major: 0, minor: 0 }),
        space_used: Some(0),
        time_access: Some(never),
        time_create: Some(never),
        time_metadata: Some(never),
        time_modify: Some(never),
        mounted_on_fileid: Some(id.0),
        xattr_support: Some(false),
        change_attr_type: Some(CHANGE_UNDEFINED),
        files_avail: Some(0),
        files_free: Some(0),
        files_total: Some(0),
        space_avail: Some(0),
        space_free: Some(0),
        space_total: Some(0),
        ..common(minor, lease)
    }
}

/// Every export is a filesystem of its own to clients, so that they mount each by itself.
fn fsid(file: &FileRef) -> Fsid {
    Fsid { major: u64::from(file.file.fs.0) + 1, minor: u64::from(file.export.id) }
}

pub(crate) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::Reg,
        FileKind::Directory => FileType::Dir,
        FileKind::Symlink => FileType::Lnk,
        FileKind::Fifo => FileType::Fifo,
        FileKind::Socket => FileType::Sock,
        FileKind::CharDevice => FileType::Chr,
        FileKind::BlockDevice => FileType::Blk,
    }
}

fn time(time: Time) -> nfs_wire::Time {
    nfs_wire::Time { seconds: time.seconds, nseconds: time.nanoseconds }
}

fn decimal(id: u32) -> Opaque<1024> {
    Opaque(Bytes::from(id.to_string()))
}

/// A user or group by its number; names are not mapped (RFC 8881 section 5.9).
fn id(text: &[u8]) -> Result<u32, Status> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    number.ok_or(Status::BadOwner)
}

fn checked_time(time: nfs_wire::Time) -> Result<Time, Status> {
    if time.nseconds >= NANOSECONDS {
        return Err(Status::Inval);
    }
    Ok(Time { seconds: time.seconds, nanoseconds: time.nseconds })
}

fn set_time(time: WireSetTime) -> Result<SetTime, Status> {
    match time {
        WireSetTime::Server(()) => Ok(SetTime::Now),
        WireSetTime::Client(time) => checked_time(time).map(SetTime::At),
    }
}

/// What SETATTR, CREATE or OPEN are to set; a umask only goes with something new.
pub(crate) fn settable(fattr: &Fattr, minor: u32, new: bool) -> Result<SetAttr, Status> {
    if !fattr.mask.is_subset(&supported(minor)) {
        return Err(Status::AttrNotSupp);
    }
    if !fattr.mask.is_subset(&SETTABLE) {
        return Err(Status::Inval);
    }
    let wire = Attributes::from_fattr(fattr)?;
    let mode = match (wire.mode, wire.mode_umask) {
        (Some(_), Some(_)) => return Err(Status::Inval),
        (None, Some(_)) if !new => return Err(Status::Inval),
        (None, Some(masked)) => Some(masked.mode & !(masked.mask & 0o777)),
        (mode, None) => mode,
    };
    if mode.is_some_and(|mode| mode & !MODE_BITS != 0) {
        return Err(Status::Inval);
    }
    Ok(SetAttr {
        mode: mode.map(|mode| Mode(mode as u16)),
        uid: wire.owner.map(|text| id(&text)).transpose()?,
        gid: wire.owner_group.map(|text| id(&text)).transpose()?,
        size: wire.size,
        atime: wire.time_access_set.map(set_time).transpose()?,
        mtime: wire.time_modify_set.map(set_time).transpose()?,
        btime: wire.time_create.map(checked_time).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fattr(attributes: &Attributes) -> Fattr {
        attributes.to_fattr(&Attributes::KNOWN)
    }

    #[test]
    fn owners_are_decimal_numbers() {
        assert_eq!(id(b"1000"), Ok(1000));
        for wrong in [&b""[..], b"root", b"-1", b"+1", b"4294967296", b"1@x"] {
            assert_eq!(id(wrong), Err(Status::BadOwner));
        }
    }

    #[test]
    fn the_umask_applies_to_what_is_new_and_only_in_42() {
        let masked = nfs_wire::ModeMask { mode: 0o2777, mask: 0o022 };
        let wire = fattr(&Attributes { mode_umask: Some(masked), ..Attributes::default() });
        assert_eq!(settable(&wire, 2, true).unwrap().mode, Some(Mode(0o2755)));
        assert_eq!(settable(&wire, 2, false), Err(Status::Inval));
        assert_eq!(settable(&wire, 1, true), Err(Status::AttrNotSupp));
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        let read_only = fattr(&Attributes { fileid: Some(1), ..Attributes::default() });
        assert_eq!(settable(&read_only, 2, false), Err(Status::Inval));
        let mode = fattr(&Attributes { mode: Some(0o100_644), ..Attributes::default() });
        assert_eq!(settable(&mode, 2, false), Err(Status::Inval));
        let late = nfs_wire::Time { seconds: 0, nseconds: NANOSECONDS };
        let time = fattr(&Attributes { time_create: Some(late), ..Attributes::default() });
        assert_eq!(settable(&time, 2, false), Err(Status::Inval));
        assert_eq!(readable(&Bitmap::of(&[attr::TIME_MODIFY_SET]), 2), Err(Status::Inval));
    }
}
