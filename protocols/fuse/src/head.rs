//! What a session knows, and the table from kernel requests to the functions that serve them.

use crate::answer::{Desk, Fail};
use crate::caller::Callers;
use crate::gone::Gone;
use crate::lockers::Lockers;
use crate::ops;
use crate::options::MountOptions;
use crate::pages::{Orders, Pages};
use crate::status;
use crate::translate::Numbers;
use crate::trusted::{Trusted, Trusts};
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::runtime::Handle;
use types::limits::IO_BYTES_MAX;
use types::{FileId, FsError};
use vfs::{Ctx, FsResult, Vfs};

/// One mounted session.
pub(crate) struct Head<V> {
    pub(crate) vfs: Arc<V>,
    pub(crate) numbers: Numbers,
    pub(crate) options: MountOptions,
    pub(crate) callers: Callers,
    pub(crate) lockers: Lockers,
    pub(crate) gone: Arc<Gone>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) trusted: Arc<Trusted>,
    /// Whether the kernel can let go of a name and of nothing else.
    pub(crate) names_expire: bool,
    pub(crate) desk: Desk,
}

impl<V: Vfs> Head<V> {
    /// With the orders to the kernel that come out of it.
    pub(crate) fn new(
        vfs: Arc<V>,
        root: FileId,
        options: MountOptions,
        runtime: Handle,
    ) -> (Head<V>, Orders) {
        let desk = Desk::new(runtime, options.in_flight);
        let numbers = Numbers { root };
        let (callers, lockers, gone) = (Callers::default(), Lockers::default(), Arc::default());
        let (pages, orders) = Pages::new();
        let pages = Arc::new(pages);
        let (trusted, names_expire) = (Arc::default(), false);
        (Head { vfs, numbers, options, callers, lockers, gone, pages, trusted, names_expire, desk }, orders)
    }

    /// What may be trusted of names in `dir` that are asked for now.
    pub(crate) fn trusts(&self, dir: FileId) -> Trusts {
        Trusts::new(self.trusted.clone(), dir, self.names_expire)
    }

    pub(crate) fn ctx(&self, request: &Request) -> Ctx {
        let cred = self.callers.cred(request.uid(), request.gid(), request.pid());
        Ctx { client: self.options.client, ..Ctx::new(cred) }
    }

    /// Runs `work` with the file system, replies with `done` or the error. When the process `caller` is
    /// killed meanwhile, it is sent away and the work goes on without it.
    pub(crate) fn serve<T, R, F>(
        &self,
        caller: u32,
        reply: R,
        work: impl FnOnce(Arc<V>) -> FsResult<F>,
        done: impl FnOnce(R, T) + Send + 'static,
    ) where
        T: Send + 'static,
        R: Fail,
        F: Future<Output = FsResult<T>> + Send + 'static,
    {
        match work(self.vfs.clone()) {
            Ok(work) => self.desk.answer(caller, reply, work, done),
            Err(error) => reply.fail(status::errno(error)),
        }
    }
}

/// What the head asks the kernel for, where the kernel has it.
const WANTED: [InitFlags; 9] = [
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    InitFlags::FUSE_AUTO_INVAL_DATA,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_POSIX_LOCKS,
    InitFlags::FUSE_FLOCK_LOCKS,
    InitFlags::FUSE_ASYNC_DIO,
];

impl<V: Vfs> Filesystem for Head<V> {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in WANTED {
            if config.add_capabilities(flag).is_err() {
                tracing::debug!(?flag, "this kernel does not have it");
            }
        }
        self.names_expire = config.add_capabilities(InitFlags::FUSE_HAS_EXPIRE_ONLY).is_ok();
        // Refusals name the nearest value; these are within what every kernel takes.
        let _ = config.set_max_write(IO_BYTES_MAX as u32);
        let _ = config.set_max_background(64);
        let _ = config.set_congestion_threshold(48);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        ops::names::lookup(self, request, parent, name, reply);
    }

    fn forget(&self, _request: &Request, ino: INodeNo, _lookups: u64) {
        // Inode numbers are the file system's own; the kernel forgets one with all its look-ups.
        self.gone.forget(self.numbers.file(ino));
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _open: Option<FileHandle>, reply: ReplyAttr) {
        ops::attributes::getattr(self, request, ino, reply);
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        open: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = types::SetAttr {
            mode: mode.map(crate::translate::mode),
            uid,
            gid,
            size,
            atime: atime.map(crate::translate::set_time),
            mtime: mtime.map(crate::translate::set_time),
            btime: None,
        };
        ops::attributes::setattr(self, request, ino, open, set, reply);
    }

    fn access(&self, request: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        ops::attributes::access(self, request, ino, mask, reply);
    }

    fn statfs(&self, request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        ops::attributes::statfs(self, request, reply);
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        ops::names::readlink(self, request, ino, reply);
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        ops::names::mknod(self, request, (parent, name), mode, device, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        ops::names::mkdir(self, request, (parent, name), mode, reply);
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        ops::names::symlink(self, request, (parent, name), target, reply);
    }

    fn link(&self, request: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        ops::names::link(self, request, ino, (parent, name), reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        ops::names::unlink(self, request, (parent, name), reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        ops::names::rmdir(self, request, (parent, name), reply);
    }

    fn rename(
        &self,
        request: &Request,
        from_dir: INodeNo,
        from: &OsStr,
        to_dir: INodeNo,
        to: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        ops::names::rename(self, request, (from_dir, from), (to_dir, to), flags, reply);
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        ops::file::open(self, request, ino, flags, reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        ops::file::create(self, request, (parent, name), mode, OpenFlags(flags), reply);
    }

    fn flush(&self, request: &Request, ino: INodeNo, _open: FileHandle, owner: LockOwner, reply: ReplyEmpty) {
        ops::file::flush(self, request, ino, owner, reply);
    }

    fn release(
        &self,
        request: &Request,
        ino: INodeNo,
        open: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        ops::file::release(self, request, ino, open, reply);
    }

    fn fsync(&self, request: &Request, ino: INodeNo, _open: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        ops::file::fsync(self, request, ino, reply);
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        open: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        ops::data::read(self, request, (ino, open), offset, size, reply);
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        open: FileHandle,
        offset: u64,
        data: &[u8],
        how: WriteFlags,
        flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        ops::data::write(self, request, (ino, open), offset, data, (how, flags), reply);
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        ops::directory::opendir(self, ino, reply);
    }

    fn releasedir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _open: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        ops::directory::releasedir(self, ino, reply);
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        _open: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        ops::directory::readdir(self, request, ino, offset, reply);
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        _open: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        ops::directory::readdirplus(self, request, ino, offset, reply);
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _open: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        // Names are durable when they are acknowledged.
        reply.ok();
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        ops::xattr::set(self, request, ino, name, value, flags, reply);
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        ops::xattr::get(self, request, ino, name, size, reply);
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        ops::xattr::list(self, request, ino, size, reply);
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        ops::xattr::remove(self, request, ino, name, reply);
    }

    fn getlk(
        &self,
        request: &Request,
        ino: INodeNo,
        _open: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        _pid: u32,
        reply: ReplyLock,
    ) {
        ops::lock::test(self, request, ino, owner, (start, end), kind, reply);
    }

    fn setlk(
        &self,
        request: &Request,
        ino: INodeNo,
        open: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        _pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        ops::lock::set(self, request, (ino, open), owner, (start, end), (kind, sleep), reply);
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _open: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        open: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        ops::space::fallocate(self, request, (ino, open), (offset, length), mode, reply);
    }

    fn lseek(
        &self,
        request: &Request,
        ino: INodeNo,
        _open: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        ops::space::lseek(self, request, ino, offset, whence, reply);
    }

    fn copy_file_range(
        &self,
        request: &Request,
        from: INodeNo,
        from_open: FileHandle,
        from_offset: u64,
        to: INodeNo,
        to_open: FileHandle,
        to_offset: u64,
        length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let (from, to) = ((from, from_open, from_offset), (to, to_open, to_offset));
        ops::space::copy_file_range(self, request, from, to, length, reply);
    }
}

/// In place of a caller that may be sent away: what the answer brings must not be lost (an open), or the
/// caller is not there any more (a release).
pub(crate) const UNTIL_DONE: u32 = 0;

/// For arguments that no kernel sends.
pub(crate) const NONSENSE: FsError = FsError::Invalid;
