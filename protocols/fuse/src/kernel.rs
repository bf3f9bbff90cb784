//! What the library does not do. mount(2) itself, which only the superuser may call: unlike a helper it lets the mount
//! have its own type (`fuse.plexus`), device nodes and setuid programs. Letting a name expire; and being told that the kernel
//! does not know an inode.

use crate::options::MountOptions;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{getgid, getuid};
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const DEVICE: &str = "/dev/fuse";
/// What `/proc/mounts` shows as the type.
const TYPE: &str = "fuse.plexus";
/// Bytes of the largest read that the kernel asks for.
const READ_BYTES_MAX: u32 = 1 << 20;

/// Mounts at `path`; the connection to the kernel comes back, or nothing for who may not.
pub(crate) fn mount_at(path: &Path, options: &MountOptions) -> io::Result<Option<OwnedFd>> {
    let root = rustix::fs::stat(path)?;
    let device = rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let others = if options.allow_other { ",allow_other" } else { "" };
    let data = format!(
        "fd={},rootmode={:o},user_id={uid},group_id={gid},default_permissions,max_read={READ_BYTES_MAX}{others}",
        device.as_raw_fd(),
        root.st_mode,
    );
    let data = CString::new(data)?;
    match mount(options.source.as_str(), path, TYPE, flags(options), data.as_c_str()) {
        Ok(()) => Ok(Some(device)),
        Err(Errno::PERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn flags(options: &MountOptions) -> MountFlags {
    let mut flags = MountFlags::NOATIME;
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOSUID, !options.suid);
    flags.set(MountFlags::NODEV, !options.dev);
    flags.set(MountFlags::NOEXEC, !options.exec);
    flags
}

/// `FUSE_NOTIFY_INVAL_INODE` of linux/fuse.h.
const INVAL_INODE: i32 = 2;
/// `FUSE_NOTIFY_INVAL_ENTRY` of linux/fuse.h, and its flag `FUSE_EXPIRE_ONLY`.
const INVAL_ENTRY: i32 = 3;
const EXPIRE_ONLY: u32 = 1;

/// Has the kernel ask for the attributes of `inode` before it trusts them, for which it waits for nothing. Not found is
/// what it does not know: the library takes that for done.
pub(crate) fn forget_attributes(connection: &OwnedFd, inode: u64) -> io::Result<()> {
    // A header (length, what it is, nothing it answers), the inode, an offset that stands for no data, a length.
    let mut message = Vec::with_capacity(16 + 24);
    message.extend((16_u32 + 24).to_ne_bytes());
    message.extend(INVAL_INODE.to_ne_bytes());
    message.extend(0_u64.to_ne_bytes());
    message.extend(inode.to_ne_bytes());
    message.extend((-1_i64).to_ne_bytes());
    message.extend(0_i64.to_ne_bytes());
    rustix::io::write(connection, &message)?;
    Ok(())
}

/// Has the kernel ask for `name` in `dir` again before it trusts it, and leaves whatever is mounted below it; before
/// Linux 6.2 the kernel forgets the name. Waits for the lock of the folder.
pub(crate) fn expire(connection: &OwnedFd, dir: u64, name: &OsStr) -> io::Result<()> {
    let name = name.as_bytes();
    // A header (length, what it is, nothing it answers), what is known of the entry, the name and its end.
    let length = 16 + 16 + name.len() + 1;
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_ne_bytes());
    message.extend(INVAL_ENTRY.to_ne_bytes());
    message.extend(0_u64.to_ne_bytes());
    message.extend(dir.to_ne_bytes());
    message.extend((name.len() as u32).to_ne_bytes());
    message.extend(EXPIRE_ONLY.to_ne_bytes());
    message.extend(name);
    message.push(0);
    rustix::io::write(connection, &message)?;
    Ok(())
}

/// Takes a mount whose connection is broken out of the tree, so that nobody runs into it.
pub(crate) fn take_away(path: &Path) {
    if let Err(error) = unmount(path, UnmountFlags::DETACH) {
        tracing::warn!(path = %path.display(), %error, "a broken mount stays");
    }
}
