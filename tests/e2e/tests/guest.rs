//! The guests themselves: they boot, run, report, reach this machine, and end when told.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use e2e::{Guest, GuestError};
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

fn reaches_this_machine(guest: &Guest, kernel: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"hello\n").unwrap());
    let script = "#!/bin/bash\nuname -r; echo \"$2\"; head -1 </dev/tcp/$HOST/$1; cat /host/seen; echo out >/job/left\n\
                  grep -c nfs4 /proc/filesystems >/dev/null || modprobe nfsv4 || exit 3\nexit 7\n";
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("seen"), "from the host\n").unwrap();
    let done = guest.clone().host(host.path()).run(script, &[&port, "it's \"here\""]).unwrap();
    let lines: Vec<&str> = done.output.lines().map(str::trim_end).collect();
    assert!(lines[0].starts_with(kernel), "{}", done.output);
    assert_eq!(lines[1..], ["it's \"here\"", "hello", "from the host"]);
    assert_eq!(done.status, 7);
    assert_eq!(std::fs::read_to_string(done.job.path().join("left")).unwrap(), "out\n");
    server.join().unwrap();
}

#[test]
fn uml_reaches_this_machine() {
    reaches_this_machine(&Guest::uml(), "6.1.");
}

#[test]
fn qemu_reaches_this_machine() {
    reaches_this_machine(&Guest::qemu(), "6.12.");
}

#[test]
fn a_guest_that_takes_too_long_is_ended() {
    let guest = Guest::uml().alone().limit(Duration::from_secs(6));
    let Err(GuestError::Late { output, .. }) = guest.run("#!/bin/bash\necho begun\nsleep 100\n", &[]) else {
        panic!("it ended by itself")
    };
    // On a slow machine the limit may pass before the script begins.
    assert!(["", "begun"].contains(&output.trim_end()), "{output}");
}
