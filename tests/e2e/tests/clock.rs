//! A machine whose clock jumps, with the daemon and clients at both doors on it.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::{Guest, program};
use std::fs::File;
use std::time::Duration;

const SCRIPT: &str = r#"#!/bin/bash
set -e
mkfs.ext4 -q /dev/ubda
mount /dev/ubda /mnt
modprobe -a fuse nfsv4
printf 'nfs.lease = 2\nnfs.grace = 2\n' >/tmp/plexus.toml
/host/plexusd --data /mnt/data --config /tmp/plexus.toml --drive-size 256M >/job/ready 2>/job/daemon.log &
daemon=$!
for _ in $(seq 600); do
  grep -q "plexus is ready" /job/ready && break
  kill -0 $daemon || { cat /job/daemon.log; exit 3; }
  sleep 0.1
done
trap 'tail -20 /job/daemon.log' EXIT
mkdir /tmp/fuse /tmp/nfs
PLEXUS_DATA=/mnt/data /host/plexus mount default /tmp/fuse --background
mount -t nfs4 -o vers=4.2,port=12049,actimeo=0,lookupcache=none 127.0.0.1:/default /tmp/nfs
echo held >/tmp/nfs/held
exec 9<>/tmp/nfs/held
flock -n 9
taken() {
  python3 -c '
import fcntl, sys
try:
    fcntl.lockf(open("/tmp/fuse/held", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(0)
sys.exit("nobody has the lock any more")'
}
taken
for jump in "+400 days" "-800 days" "+3000 days"; do
  date -s "$(date -d "$jump")"
  year=$(date +%Y)
  for one in fuse/nfs nfs/fuse; do
    from=/tmp/${one%/*} to=/tmp/${one#*/}
    mkdir $from/d
    echo "$jump" >$from/d/f
    mv $from/d/f $from/d/g
    [ "$(cat $to/d/g)" = "$jump" ]
    [ "$(stat -c %y $to/d/g | cut -c1-4)" = $year ]
    rm -r $to/d
    [ ! -e $from/d ]
  done
  # Longer than a lease: nobody lost it because of the clock, and nobody keeps it for a year.
  sleep 3
  taken
  echo "$jump" >&9
done
flock -u 9
! taken 2>/dev/null
PLEXUS_DATA=/mnt/data /host/plexus fsck
exec 9>&-
umount /tmp/nfs /tmp/fuse
kill $daemon
wait $daemon
"#;

#[test]
fn a_clock_that_jumps_disturbs_no_client() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    File::create(&disk).unwrap().set_len(2 << 30).unwrap();
    let programs = program("plexusd").unwrap();
    let guest = Guest::uml().alone().disk(&disk).host(programs.parent().unwrap());
    let done = guest.limit(Duration::from_secs(180)).run(SCRIPT, &[]).unwrap();
    assert_eq!(done.status, 0, "{}", done.output);
}
