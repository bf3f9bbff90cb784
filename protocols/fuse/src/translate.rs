//! Kernel numbers to contract values and back.

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use types::{Attr, Device, FileId, FileKind, FsError, InodeId, Mode, Name, SetTime, Time};
use vfs::NodeKind;

/// Inode numbers as the kernel sees them: those of the file system, only that the mount's root is 1.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) root: FileId,
}

impl Numbers {
    pub(crate) fn file(self, ino: INodeNo) -> FileId {
        let ino = if ino == INodeNo::ROOT { self.root.ino } else { InodeId(ino.0) };
        FileId { fs: self.root.fs, ino }
    }

    pub(crate) fn ino(self, file: FileId) -> INodeNo {
        if file.ino == self.root.ino { INodeNo::ROOT } else { INodeNo(file.ino.0) }
    }

    pub(crate) fn attr(self, attr: &Attr) -> FileAttr {
        FileAttr {
            ino: self.ino(attr.file),
            size: attr.size,
            blocks: attr.used.div_ceil(512),
            atime: to_system(attr.atime),
            mtime: to_system(attr.mtime),
            ctime: to_system(attr.ctime),
            crtime: to_system(attr.btime),
            kind: kind(attr.kind),
            perm: attr.mode.0,
            nlink: attr.links,
            uid: attr.uid,
            gid: attr.gid,
            rdev: encode_device(attr.device),
            blksize: 4096,
            flags: 0,
        }
    }
}

pub(crate) fn kind(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
    }
}

/// What mknod(2) asks for, by the type bits of its mode.
pub(crate) fn node_kind(mode: u32, device: u32) -> Result<NodeKind, FsError> {
    match mode & 0o170_000 {
        0 | 0o100_000 => Ok(NodeKind::File),
        0o010_000 => Ok(NodeKind::Fifo),
        0o140_000 => Ok(NodeKind::Socket),
        0o020_000 => Ok(NodeKind::CharDevice(decode_device(device))),
        0o060_000 => Ok(NodeKind::BlockDevice(decode_device(device))),
        _ => Err(FsError::Invalid),
    }
}

pub(crate) fn mode(mode: u32) -> Mode {
    Mode((mode & 0o7777) as u16)
}

pub(crate) fn name(name: &OsStr) -> Result<Name, FsError> {
    Name::new(name.as_bytes().to_vec()).map_err(|error| match error {
        types::NameError::TooLong => FsError::NameTooLong,
        types::NameError::Empty | types::NameError::Reserved => FsError::Invalid,
    })
}

/// The kernel's 32 bits of a device number: 12 of the major, 20 of the minor.
fn decode_device(device: u32) -> Device {
    Device { major: device >> 8 & 0xfff, minor: device & 0xff | device >> 12 & 0xf_ff00 }
}

fn encode_device(device: Device) -> u32 {
    device.minor & 0xff | (device.major & 0xfff) << 8 | (device.minor & 0xf_ff00) << 12
}

fn to_system(time: Time) -> SystemTime {
    let whole = if time.seconds >= 0 {
        UNIX_EPOCH.checked_add(Duration::from_secs(time.seconds.unsigned_abs()))
    } else {
        UNIX_EPOCH.checked_sub(Duration::from_secs(time.seconds.unsigned_abs()))
    };
    let nanoseconds = Duration::from_nanos(u64::from(time.nanoseconds));
    whole.and_then(|whole| whole.checked_add(nanoseconds)).unwrap_or(UNIX_EPOCH)
}

/// Undoes how `fuser` 0.18 reads times before 1970: it takes the nanoseconds off instead of adding them.
pub(crate) fn from_system(time: SystemTime) -> Time {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Time {
            seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: after.subsec_nanos(),
        },
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
            Time { seconds, nanoseconds: before.subsec_nanos() }
        }
    }
}

pub(crate) fn set_time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::SpecificTime(time) => SetTime::At(from_system(time)),
        TimeOrNow::Now => SetTime::Now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_go_both_ways() {
        for device in [(0, 0), (8, 1), (259, 70_000), (4095, 0xf_ffff)] {
            let device = Device { major: device.0, minor: device.1 };
            assert_eq!(decode_device(encode_device(device)), device);
        }
        assert_eq!(encode_device(Device { major: 8, minor: 1 }), 0x801);
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let fuser_reads = UNIX_EPOCH - Duration::new(5, 7);
        assert_eq!(from_system(fuser_reads), Time { seconds: -5, nanoseconds: 7 });
        let sent = to_system(Time { seconds: -5, nanoseconds: 7 });
        assert_eq!(sent, UNIX_EPOCH - Duration::new(4, 999_999_993));
        assert_eq!(
            to_system(Time { seconds: i64::MIN, nanoseconds: 0 }),
            to_system(Time { seconds: i64::MIN, nanoseconds: 0 })
        );
    }

    #[test]
    fn the_root_of_the_mount_is_one() {
        let root = FileId { fs: types::FsId(3), ino: InodeId(77) };
        let numbers = Numbers { root };
        assert_eq!(numbers.file(INodeNo::ROOT), root);
        assert_eq!(numbers.ino(root), INodeNo::ROOT);
        assert_eq!(numbers.file(INodeNo(5)).ino, InodeId(5));
    }
}
