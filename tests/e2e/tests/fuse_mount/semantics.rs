//! What POSIX promises, seen from system calls.

use crate::mounted::Mounted;
use fuse::MountOptions;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use types::{Cred, Name};
use vfs::{Ctx, Durability, Lookup, Vfs, WriteOffset};

#[test]
fn an_unlinked_file_lives_until_it_is_closed() {
    let mounted = Mounted::new();
    let path = mounted.path("f");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"hello").unwrap();
    fs::remove_file(&path).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    file.set_len(2).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 2);
    assert!(!path.exists());
}

#[test]
fn holes_are_found_punched_and_copied() {
    let mounted = Mounted::new();
    mounted.python(
        r#"
import os
f = os.open("f", os.O_RDWR | os.O_CREAT)
os.pwrite(f, b"x" * 65536, 1 << 20)
os.ftruncate(f, 4 << 20)
assert os.lseek(f, 0, os.SEEK_DATA) == 1 << 20
assert os.lseek(f, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 65536
assert os.stat("f").st_blocks * 512 < 1 << 20
try:
    os.lseek(f, 2 << 20, os.SEEK_DATA); assert False
except OSError as e:
    assert e.errno == 6
g = os.open("g", os.O_RDWR | os.O_CREAT)
n = 0
while n < 4 << 20:
    n += os.copy_file_range(f, g, (4 << 20) - n, n, n)
assert os.pread(g, 5, 1 << 20) == b"xxxxx" and os.stat("g").st_size == 4 << 20
assert os.copy_file_range(f, g, 100, (1 << 20) + 7, 3) == 100
assert os.pread(g, 4, 0) == b"\0\0\0x"
os.posix_fallocate(f, 0, 8 << 20)
assert os.stat("f").st_size == 8 << 20
"#,
    );
    mounted.sh("fallocate -p -o 1048576 -l 65536 f; test -z \"$(tr -d '\\0' < f)\"");
}

#[test]
fn mapped_pages_and_calls_see_the_same_bytes() {
    let mounted = Mounted::new();
    mounted.python(
        r#"
import mmap, os
f = os.open("f", os.O_RDWR | os.O_CREAT)
os.ftruncate(f, 100000)
m = mmap.mmap(f, 100000)
m[5000:5005] = b"hello"
m.flush()
assert os.pread(f, 5, 5000) == b"hello"
os.pwrite(f, b"WORLD", 70000)
assert m[70000:70005] == b"WORLD"
m[0:3] = b"abc"
os.close(f); m.close()
assert open("f", "rb").read(3) == b"abc"
"#,
    );
}

#[test]
fn appends_of_many_writers_never_overlap() {
    let mounted = Mounted::new();
    let path = mounted.path("log");
    std::thread::scope(|scope| {
        for writer in 0..4u8 {
            let path = &path;
            scope.spawn(move || {
                let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
                for _ in 0..100 {
                    file.write_all(&[b'a' + writer; 100]).unwrap();
                }
            });
        }
    });
    let data = fs::read(&path).unwrap();
    assert_eq!(data.len(), 4 * 100 * 100);
    assert!(data.chunks(100).all(|record| record.iter().all(|byte| *byte == record[0])));
}

/// Somebody else changes files below the kernel's feet, as another head does.
#[test]
fn changes_behind_the_kernel_are_seen_at_once() {
    let mounted = Mounted::new();
    let path = mounted.path("f");
    fs::write(&path, vec![b'1'; 10_000]).unwrap();
    let open = OpenOptions::new().read(true).append(true).open(&path).unwrap();
    let mut buffer = [0; 4];
    open.read_exact_at(&mut buffer, 0).unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (vfs, root) = (mounted.model.clone(), mounted.model.root());
    let ctx = Ctx::new(Cred::root());
    let name = Name::new(&b"f"[..]).unwrap();
    let change = |offset, data: &'static [u8]| {
        runtime.block_on(async {
            let file = vfs.lookup(&ctx, Lookup { dir: root, name: name.clone() }).await.unwrap().attr.file;
            let (data, durability) = (data.into(), Durability::File);
            vfs.write(&ctx, vfs::Write { file, open: None, offset, data, durability }).await.unwrap();
        });
    };
    change(WriteOffset::At(0), b"2222");
    open.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"2222", "an open file sees them");
    change(WriteOffset::End, b"tail");
    assert_eq!(open.metadata().unwrap().len(), 10_004);
    change(WriteOffset::End, b"more");
    (&open).write_all(b"mine").unwrap();
    let data = fs::read(&path).unwrap();
    assert_eq!(&data[10_000..], b"tailmoremine", "an append goes where the end is now");
    let mut last = [0; 4];
    open.read_exact_at(&mut last, 10_008).unwrap();
    assert_eq!(&last, b"mine", "and its own pages do not hide it");
    open.read_exact_at(&mut buffer, 1000).unwrap();
    change(WriteOffset::At(1000), b"3333");
    let copy = OpenOptions::new().read(true).write(true).create_new(true).open(mounted.path("copy")).unwrap();
    let copied = rustix::fs::copy_file_range(&open, Some(&mut 1000), &copy, Some(&mut 7), 4).unwrap();
    copy.read_exact_at(&mut buffer, 7).unwrap();
    assert_eq!((copied, &buffer), (4, b"3333"), "a copy is made of them");
    runtime.block_on(async {
        vfs.unlink(&ctx, vfs::Unlink { dir: root, name: name.clone() }).await.unwrap();
    });
    assert!(File::open(&path).is_err(), "a name that is gone is gone");
}

#[test]
fn renames_storm_without_loss() {
    let mounted = Mounted::new();
    let root = mounted.path("");
    for number in 0..8 {
        fs::write(root.join(format!("f{number}")), [number]).unwrap();
    }
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let root = &root;
            scope.spawn(move || {
                let (one, two) = (root.join(format!("f{worker}")), root.join(format!("x{worker}")));
                for _ in 0..200 {
                    fs::rename(&one, &two).unwrap();
                    fs::rename(&two, &one).unwrap();
                }
            });
        }
        let root = &root;
        scope.spawn(move || {
            for _ in 0..200 {
                let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
                let still: Vec<_> =
                    names.filter(|name| matches!(name.to_str(), Some("f4" | "f5" | "f6" | "f7"))).collect();
                assert_eq!(still.len(), 4, "names at rest are always listed");
            }
        });
    });
    for number in 0..8 {
        assert_eq!(fs::read(root.join(format!("f{number}"))).unwrap(), [number]);
    }
    mounted.python(
        r#"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def rename(a, b, flags):
    return 0 if libc.renameat2(-100, a, -100, b, flags) == 0 else ctypes.get_errno()
assert rename(b"f0", b"f1", 1) == 17, "RENAME_NOREPLACE"
assert rename(b"f0", b"f1", 2) == 0, "RENAME_EXCHANGE"
assert open("f0", "rb").read() == b"\1" and open("f1", "rb").read() == b"\0"
os.mkdir("d"); os.mkdir("d/e")
assert rename(b"d", b"d/e/x", 0) == 22
"#,
    );
}

#[test]
fn locks_exclude_wait_and_can_be_interrupted() {
    let mounted = Mounted::new();
    mounted.python(
        r#"
import fcntl, os, signal, struct, subprocess, sys, time
f = open("f", "w+b"); f.write(b"x" * 100); f.flush()
fcntl.lockf(f, fcntl.LOCK_EX, 10, 0)
other = '''
import fcntl, sys
f = open("f", "r+b")
%s
'''
def run(code):
    return subprocess.run([sys.executable, "-c", other % code]).returncode
assert run("fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 20)") == 0
assert run("fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 5)") == 1, "conflict"
# flock(2) is another family, and of the open file, not of the process.
assert run("fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)") == 0
fcntl.flock(f, fcntl.LOCK_EX)
assert run("fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)") == 1
g = open("f", "r+b")
try:
    fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB); assert False
except BlockingIOError:
    pass
# Closing any descriptor gives up the process's fcntl locks on the file, not its flocks.
g.close()
assert run("fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)") == 0
assert run("fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)") == 1
fcntl.lockf(f, fcntl.LOCK_EX, 10, 0)
# A waiter is killed, another interrupted, a third gets the lock.
def waiter():
    return subprocess.Popen([sys.executable, "-c", other % "print('go', flush=True)\nfcntl.lockf(f, fcntl.LOCK_EX, 10, 0)"], stdout=subprocess.PIPE)
killed = waiter(); killed.stdout.readline()
killed.kill(); assert killed.wait(timeout=20) == -signal.SIGKILL
stopped = waiter(); stopped.stdout.readline()
stopped.terminate(); assert stopped.wait(timeout=20) == -signal.SIGTERM
third = waiter(); third.stdout.readline()
try:
    third.wait(timeout=0.3); assert False, "must wait"
except subprocess.TimeoutExpired:
    pass
fcntl.lockf(f, fcntl.LOCK_UN, 10, 0)
assert third.wait(timeout=20) == 0
# OFD locks (F_OFD_SETLK = 37) belong to the open file and go with it.
ofd = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 50, 10, 0)
h = open("f", "r+b"); fcntl.fcntl(h, 37, ofd)
assert run("fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 50)") == 1
h.close()
assert run("fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 50)") == 0
f.close()
assert run("fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)") == 0
# F_GETLK says who is in the way, and nothing when nobody is.
f = open("f", "r+b")
lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 10, 0)
assert struct.unpack("hhqqi4x", fcntl.fcntl(f, fcntl.F_GETLK, lock))[0] == fcntl.F_UNLCK
"#,
    );
}

#[test]
fn rights_count_supplementary_groups() {
    let mounted = Mounted::new();
    mounted.python(
        r#"
import os
os.chmod(".", 0o755)
os.mkdir("d"); os.chown("d", 0, 4242); os.chmod("d", 0o770)
os.mkdir("sticky"); os.chmod("sticky", 0o1777); open("sticky/root", "w").close()
def child(groups, work):
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups); os.setgid(1000); os.setuid(1000)
            work(); os._exit(0)
        except PermissionError:
            os._exit(13)
        except BaseException as e:
            print(repr(e), flush=True); os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert child([], lambda: open("d/f", "w")) == 13
assert child([4242], lambda: open("d/f", "w").close()) == 0
assert os.stat("d/f").st_uid == 1000
assert child([], lambda: os.unlink("sticky/root")) == 13
assert child([4242], lambda: os.chown("d/f", -1, 4242)) == 0
assert child([4242], lambda: os.chmod("d/f", 0o2755)) == 0
assert os.stat("d/f").st_mode & 0o7777 == 0o2755
assert child([4242], lambda: open("d/f", "w").write("x")) == 0
assert os.stat("d/f").st_mode & 0o7777 == 0o755, "a write takes setgid"
"#,
    );
}

#[test]
fn attributes_names_and_nodes_keep_their_values() {
    let mounted = Mounted::new();
    mounted.python(
        r#"
import os, stat
open("f", "w").write("12345")
os.utime("f", ns=(-5 * 10**9 + 7, (1 << 33) * 10**9 + 999999999))
s = os.stat("f")
assert (s.st_atime_ns, s.st_mtime_ns) == (-5 * 10**9 + 7, (1 << 33) * 10**9 + 999999999), s
os.setxattr("f", "user.a", b"1"); os.setxattr("f", "user.big", b"x" * 65536)
assert os.getxattr("f", "user.big") == b"x" * 65536
assert os.listxattr("f") == ["user.a", "user.big"]
try:
    os.setxattr("f", "user.a", b"2", os.XATTR_CREATE); assert False
except FileExistsError:
    pass
os.removexattr("f", "user.a")
try:
    os.getxattr("f", "user.a"); assert False
except OSError as e:
    assert e.errno == 61
os.symlink("x" * 4095, "long"); assert os.readlink("long") == "x" * 4095
os.mknod("dev", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
s = os.stat("dev"); assert (os.major(s.st_rdev), os.minor(s.st_rdev)) == (259, 70000)
os.mkfifo("fifo"); os.link("f", "g"); assert os.stat("g").st_nlink == 2
os.mkdir("many")
for i in range(3000): open(f"many/{'n' * 200}{i}", "w").close()
assert len(os.listdir("many")) == 3000
assert sorted(e.stat().st_size for e in os.scandir("many"))[-1] == 0
fd = os.open("many", os.O_RDONLY); os.fsync(fd)
for i in range(3000): os.unlink(f"many/{'n' * 200}{i}")
os.rmdir("many")
try:
    open("n" * 256, "w"); assert False
except OSError as e:
    assert e.errno == 36
v = os.statvfs("."); assert v.f_namemax == 255 and v.f_blocks > 0
os.truncate("f", (1 << 63) - 1); assert os.stat("f").st_size == (1 << 63) - 1
f = os.open("f", os.O_RDWR | os.O_TRUNC); assert os.fstat(f).st_size == 0
"#,
    );
}

/// Nothing that a user can say ends the mount of all others.
#[test]
fn the_strangest_arguments_end_no_mount() {
    let mounted = Mounted::new();
    mounted.python(
        r#"
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
class Time(ctypes.Structure): _fields_ = [("s", ctypes.c_long), ("n", ctypes.c_long)]
open("f", "w").write("x")
for a in (-2**63, -2**63 + 1, -1, 2**63 - 1):
    for n in (0, 1, 999999999):
        times = (Time * 2)(Time(a, n), Time(a, n))
        for _ in range(8):
            assert libc.utimensat(-100, b"f", times, 0) == 0
        s = os.stat("f").st_mtime_ns
        assert abs(s - (a * 10**9 + n)) < 10**9, (s, a, n)
f = os.open("f", os.O_RDWR)
for call in (lambda: os.pread(f, 10, 2**63 - 1), lambda: os.pwrite(f, b"x" * 10, 2**63 - 5),
             lambda: os.lseek(f, 2**63 - 1, os.SEEK_DATA), lambda: os.ftruncate(f, 2**63 - 1),
             lambda: os.posix_fallocate(f, 2**62, 2**62), lambda: os.setxattr("f", "user.", b""),
             lambda: os.setxattr("f", "x" * 255, b""), lambda: os.copy_file_range(f, f, 2**62, 0, 0),
             lambda: os.rename(".", "x"), lambda: os.mkdir("."), lambda: os.readlink("f")):
    try:
        call()
    except OSError:
        pass
assert os.stat("f").st_size >= 1
"#,
    );
}

#[test]
fn a_read_only_mount_refuses_changes() {
    let mounted = Mounted::with(MountOptions { read_only: true, ..MountOptions::default() });
    assert!(fs::write(mounted.path("f"), "x").is_err());
    assert_eq!(fs::read_dir(mounted.path("")).unwrap().count(), 0);
}

#[test]
fn an_unmounted_file_system_keeps_nothing_of_its_client() {
    let mounted = Mounted::new();
    fs::write(mounted.path("f"), "x").unwrap();
    let model = mounted.model.clone();
    drop(mounted);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ctx = Ctx::new(Cred::root());
        let name = Name::new(&b"f"[..]).unwrap();
        let found = model.lookup(&ctx, Lookup { dir: model.root(), name }).await.unwrap();
        assert_eq!(found.attr.size, 1);
    });
}

#[test]
fn a_directory_that_is_gone_has_no_names_for_who_is_in_it() {
    let mounted = Mounted::new();
    mounted.python(
        r#"
import os
def gone(fd, was):
    now = os.fstat(fd)
    assert now.st_nlink == 0 and (now.st_ino, now.st_mode, now.st_uid) == (was.st_ino, was.st_mode, was.st_uid), now
    try:
        os.mkdir("x", dir_fd=fd); assert False
    except FileNotFoundError:
        pass
for d in ["removed", "new", "replaced"]:
    os.mkdir(d, 0o750)
removed, replaced = os.open("removed", os.O_RDONLY), os.open("replaced", os.O_PATH)
was = [os.fstat(removed), os.fstat(replaced)]
os.rmdir("removed")
os.rename("new", "replaced")
gone(removed, was[0])
gone(replaced, was[1])
assert os.listdir(removed) == []
assert os.stat("replaced").st_nlink == 2
os.mkdir("here"); os.chdir("here"); os.rmdir("../here")
assert os.stat(".").st_nlink == 0
os.close(removed); os.close(replaced)
"#,
    );
}
