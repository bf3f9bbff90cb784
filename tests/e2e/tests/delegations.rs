//! Files delegated to the NFS client of a Linux kernel, and a FUSE mount of the same file system: each sees at once what the other does.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::s3_request::{S3Request, exchange, now};
use e2e::{Daemon, DaemonOptions, Guest, Mount, RunningGuest};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Mounts with the defaults, and does what it is told, line by line: `PORT MASTER`.
const SCRIPT: &str = r#"#!/bin/bash
modprobe nfsv4
mkdir -p /tmp/nfs
mount -t nfs4 -o vers=4.$3,port=$1 $HOST:/default /tmp/nfs || exit 3
cd /tmp/nfs
cat >/tmp/hand.py <<'END'
import errno, fcntl, os, socket, struct, sys
def count(name):
    "How often the client has asked for an operation."
    for line in open('/proc/self/mountstats'):
        words = line.split()
        if words and words[0] == name + ':':
            return int(words[1])
def total():
    "All that it has asked for."
    ops = False
    n = 0
    for line in open('/proc/self/mountstats'):
        if 'per-op statistics' in line: ops = True
        elif line.startswith('device'): ops = False
        elif ops and line.strip(): n += int(line.split()[1])
    return n
def write(path, what, flags=os.O_RDWR | os.O_CREAT):
    fd = os.open(path, flags)
    os.pwrite(fd, what.encode(), 0)
    os.close(fd)
def read(path):
    with open(path) as file: return file.read()
def lock(fd, kind):
    fcntl.lockf(fd, kind)
    return 'locked'
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in s.makefile():
    try:
        try: answer = eval(line, globals())
        except SyntaxError: answer = exec(line, globals())
    except OSError as error: answer = errno.errorcode[error.errno]
    s.sendall((str(answer) + '\n').encode())
END
exec python3 /tmp/hand.py $HOST $2
"#;

/// A daemon, a FUSE mount here, and a guest whose kernel is the NFS client.
struct Site {
    daemon: Daemon,
    fuse: Mount,
    guest: RunningGuest,
    hand: BufReader<TcpStream>,
    _scratch: TempDir,
}

impl Site {
    fn new(minor: u32, configuration: &str) -> Site {
        Site::with(&Guest::uml(), minor, configuration)
    }

    fn with(guest: &Guest, minor: u32, configuration: &str) -> Site {
        let scratch = TempDir::new().unwrap();
        let options = DaemonOptions {
            flags: ["--drive-size", "1G"].map(str::to_owned).to_vec(),
            configuration: configuration.to_owned(),
            ..DaemonOptions::default()
        };
        let daemon = Daemon::start(&scratch.path().join("daemon"), &options).unwrap();
        let fuse = Mount::new(&daemon, &scratch.path().join("fuse")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (nfs, master) = (daemon.nfs().port(), listener.local_addr().unwrap().port());
        let arguments = [nfs.to_string(), master.to_string(), minor.to_string()];
        let guest = guest.start(SCRIPT, &arguments.each_ref().map(String::as_str)).unwrap();
        let hand = BufReader::new(listener.accept().unwrap().0);
        Site { daemon, fuse, guest, hand, _scratch: scratch }
    }

    /// Has the guest do something in Python, and says what came of it.
    fn nfs(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.hand.get_mut(), "{line}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.hand.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the guest is gone; {}", self.daemon.log());
        answer.trim_end().to_owned()
    }

    fn count(&mut self, operation: &str) -> u64 {
        self.nfs(&format!("count('{operation}')")).parse().unwrap()
    }

    fn here(&self, name: &str) -> PathBuf {
        self.fuse.at.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.here(name)).unwrap()
    }

    /// Does something, and says how many delegations the guest has given back for it.
    fn given_back(&mut self, what: impl FnOnce(&mut Site)) -> u64 {
        let before = self.count("DELEGRETURN");
        what(self);
        self.count("DELEGRETURN") - before
    }
}

fn writable(path: &std::path::Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn both_see_the_same(guest: &Guest, minor: u32) {
    let mut site = Site::with(guest, minor, "nfs.lease = 20\nnfs.grace = 20");
    // What is delegated is opened, read and closed without the server.
    assert_eq!(site.nfs("write('f', 'one')"), "None");
    let (opens, all) = (site.count("OPEN"), site.nfs("total()").parse::<u64>().unwrap());
    assert_eq!(site.nfs("[read('f') for _ in range(100)] == ['one'] * 100"), "True");
    let asked = site.nfs("total()").parse::<u64>().unwrap() - all;
    assert_eq!(site.count("OPEN"), opens);
    assert!(asked <= 10, "{asked}");
    fs::write(site.here("e"), "one").unwrap();
    let elsewhere = writable(&site.here("e"));
    let all = site.nfs("total()").parse::<u64>().unwrap();
    assert_eq!(site.nfs("[read('e') for _ in range(100)] == ['one'] * 100"), "True");
    let without = site.nfs("total()").parse::<u64>().unwrap() - all;
    println!("opened, read and closed 100 times: {asked} questions, {without} of what is open elsewhere");
    assert!(without >= 200, "{without}");
    drop(elsewhere);
    fs::remove_file(site.here("e")).unwrap();

    // What is written there and synced shows here, and costs nothing; what is not synced has it asked back. As without
    // delegations, Linux writes that when it is synced or closed.
    assert_eq!(site.nfs("fd = os.open('g', os.O_RDWR | os.O_CREAT)"), "None");
    assert_eq!(site.nfs("os.pwrite(fd, b'cached', 0), os.fsync(fd)"), "(6, None)");
    let returns = site.given_back(|site| assert_eq!(fs::metadata(site.here("g")).unwrap().len(), 6));
    assert_eq!(returns, 0);
    assert_eq!(site.nfs("os.pwrite(fd, b'C', 0)"), "1");
    let returns = site.given_back(|site| assert_eq!(fs::metadata(site.here("g")).unwrap().len(), 6));
    assert_eq!(returns, 1);
    assert_eq!(site.nfs("os.fsync(fd)"), "None");
    assert_eq!(site.read("g"), "Cached", "it is still open there");
    // Nothing is kept of a file that is looked at: it need not be given back.
    let returns = site.given_back(|site| {
        assert_eq!(fs::metadata(site.here("f")).unwrap().len(), 3);
        let names =
            fs::read_dir(&site.fuse.at).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        assert_eq!(names.sum::<u64>(), 9);
    });
    assert_eq!(returns, 0);

    // What is changed here.
    let returns = site.given_back(|site| fs::write(site.here("f"), "two of us").unwrap());
    assert_eq!(returns, 1);
    assert_eq!(site.nfs("read('f')"), "two of us");
    assert_eq!(site.nfs("write('r', 'old')"), "None");
    let returns = site.given_back(|site| assert_eq!(site.read("r"), "old"));
    assert_eq!(returns, 1);
    fs::write(site.here("h"), "old").unwrap();
    assert_eq!(site.nfs("[read('h') for _ in range(3)]"), "['old', 'old', 'old']");
    let returns = site.given_back(|site| {
        assert_eq!(site.read("h"), "old", "both may read");
        writable(&site.here("h")).write_all_at(b"NEW", 0).unwrap();
    });
    assert_eq!((returns, site.nfs("read('h')")), (1, "NEW".to_owned()));

    // Names.
    assert_eq!(site.nfs("write('n', 'named')"), "None");
    let returns = site.given_back(|site| fs::rename(site.here("n"), site.here("m")).unwrap());
    assert_eq!(
        (returns, site.nfs("read('n')"), site.nfs("read('m')")),
        (1, "ENOENT".to_owned(), "named".to_owned())
    );
    assert_eq!(site.nfs("write('l', 'linked')"), "None");
    let returns = site.given_back(|site| fs::hard_link(site.here("l"), site.here("k")).unwrap());
    assert_eq!((returns, site.nfs("os.fstat(os.open('l', os.O_RDONLY)).st_nlink")), (1, "2".to_owned()));
    assert_eq!(site.nfs("gone = os.open('gone', os.O_RDWR | os.O_CREAT)"), "None");
    assert_eq!(site.nfs("os.pwrite(gone, b'kept', 0)"), "4");
    let returns = site.given_back(|site| fs::remove_file(site.here("gone")).unwrap());
    assert_eq!((returns, site.nfs("read('gone')")), (1, "ENOENT".to_owned()));
    assert_eq!(site.nfs("os.pread(gone, 9, 0)"), "b'kept'", "what is open stays");
    assert_eq!(site.nfs("os.close(gone)"), "None");

    // Locks: what the guest holds it holds to itself until somebody asks.
    assert_eq!(site.nfs("w = os.open('w', os.O_RDWR | os.O_CREAT)"), "None");
    let locks = site.count("LOCK");
    assert_eq!(site.nfs("lock(w, fcntl.LOCK_EX | fcntl.LOCK_NB)"), "locked");
    assert_eq!(site.count("LOCK"), locks);
    let here = writable(&site.here("w"));
    let take = || fcntl_lock(&here, FlockOperation::NonBlockingLockExclusive);
    assert!(matches!(take(), Err(Errno::AGAIN | Errno::ACCESS)));
    assert_eq!(site.nfs("lock(w, fcntl.LOCK_UN)"), "locked");
    take().unwrap();
    assert_eq!(site.nfs("lock(w, fcntl.LOCK_EX | fcntl.LOCK_NB)"), "EAGAIN");
    drop(here);
    assert_eq!(site.nfs("lock(w, fcntl.LOCK_EX | fcntl.LOCK_NB)"), "locked");

    assert!(site.daemon.plexus(&["fsck"]).unwrap().status.success());
}

#[test]
fn both_see_the_same_with_41() {
    both_see_the_same(&Guest::uml(), 1);
}

#[test]
fn both_see_the_same_with_42() {
    both_see_the_same(&Guest::uml(), 2);
}

#[test]
#[ignore = "takes a minute, run by the seventh part of test-full"]
fn both_see_the_same_with_42_of_a_newer_kernel() {
    both_see_the_same(&Guest::qemu(), 2);
}

#[test]
fn the_daemon_is_killed_and_what_was_delegated_is_seen_afterwards() {
    let mut site = Site::new(2, "nfs.lease = 20\nnfs.grace = 20");
    for round in 0..5 {
        let name = format!("f{round}");
        assert_eq!(site.nfs(&format!("fd = os.open('{name}', os.O_RDWR | os.O_CREAT)")), "None");
        assert_eq!(site.nfs("os.pwrite(fd, b'before', 0)"), "6");
        assert_eq!(site.nfs("lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)"), "locked");
        site.daemon.kill().unwrap();
        site.tell("os.pwrite(fd, b'after!', 6)");
        site.daemon.revive().unwrap();
        // What was synced is there at once, and what is changed waits for the guest, which comes back when it has something to ask.
        let begun = Instant::now();
        assert_eq!(site.read(&name), "before");
        let looked = begun.elapsed();
        assert_eq!(site.answer(), "6");
        assert_eq!(site.nfs("os.fsync(fd)"), "None");
        assert_eq!(site.read(&name), "beforeafter!");
        println!("{} ms until it could be read", looked.as_millis());
        assert!(looked < Duration::from_secs(10), "{looked:?}");
        let here = writable(&site.here(&name));
        let taken = fcntl_lock(&here, FlockOperation::NonBlockingLockExclusive);
        assert!(matches!(taken, Err(Errno::AGAIN | Errno::ACCESS)), "{taken:?}");
        assert_eq!(site.nfs("os.close(fd)"), "None");
    }
}

#[test]
fn a_client_that_is_gone_with_a_delegation_is_waited_for_no_longer_than_its_lease() {
    let mut site = Site::new(2, "nfs.lease = 5\nnfs.grace = 5");
    assert_eq!(site.nfs("fd = os.open('f', os.O_RDWR | os.O_CREAT)"), "None");
    assert_eq!(site.nfs("os.pwrite(fd, b'synced', 0)"), "6");
    assert_eq!(site.nfs("os.fsync(fd)"), "None");
    assert_eq!(site.nfs("os.pwrite(fd, b'LOST', 0)"), "4");
    site.guest.cut();
    let begun = Instant::now();
    assert_eq!(site.read("f"), "synced");
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(15), "{waited:?}");
    fs::remove_file(site.here("f")).unwrap();
}

#[test]
fn s3_sees_and_replaces_what_is_delegated() {
    let mut site = Site::new(2, "nfs.lease = 20\nnfs.grace = 20");
    let key = site.daemon.s3_key("main", &["--user", "0"]).unwrap();
    let host = site.daemon.s3();
    let ask = |request: S3Request| {
        let answer = exchange(host, &request.signed(host, &key, &now())).unwrap();
        assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.code());
        String::from_utf8_lossy(&answer.body).into_owned()
    };
    ask(S3Request::new("PUT", "/bucket"));
    for name in ["f", "g", "h"] {
        assert_eq!(site.nfs(&format!("write('buckets/bucket/{name}', 'by nfs')")), "None");
    }
    // It keeps nothing, and so it keeps the delegations while they are listed.
    let returns = site.given_back(|_| {
        let listed = ask(S3Request::new("GET", "/bucket?list-type=2"));
        assert_eq!(listed.matches("<Size>6</Size>").count(), 3, "{listed}");
    });
    assert_eq!(returns, 0);
    let returns = site.given_back(|_| assert_eq!(ask(S3Request::new("GET", "/bucket/f")), "by nfs"));
    assert_eq!(returns, 1);
    assert_eq!(site.nfs("read('buckets/bucket/f')"), "by nfs");
    let returns = site.given_back(|_| drop(ask(S3Request::new("PUT", "/bucket/h").body("by s3"))));
    assert_eq!((returns, site.nfs("read('buckets/bucket/h')")), (1, "by s3".to_owned()));
    let returns = site.given_back(|_| drop(ask(S3Request::new("DELETE", "/bucket/g"))));
    assert_eq!((returns, site.nfs("read('buckets/bucket/g')")), (1, "ENOENT".to_owned()));
}
