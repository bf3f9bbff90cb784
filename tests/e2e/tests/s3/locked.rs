//! What S3 has locked no other head changes, moves or removes.

use crate::Scene;
use crate::one_data_set::Mounted;
use e2e::Guest;
use e2e::s3_request::{S3Answer, S3Request};
use std::fs;
use std::io;
use std::path::Path;

/// Far enough away.
const LATER: &str = "2099-01-01T00:00:00Z";

fn refused(what: &str, result: io::Result<()>) {
    match result {
        Ok(()) => panic!("{what} was not refused"),
        Err(error) => assert_eq!(error.raw_os_error(), Some(1), "{what}: {error}"),
    }
}

fn locked_put(scene: &Scene, key: &str, mode: &str) -> S3Answer {
    let request = S3Request::new("PUT", &format!("/bucket/{key}"))
        .header("x-amz-object-lock-mode", mode)
        .header("x-amz-object-lock-retain-until-date", LATER);
    scene.must(request.body("as it is"))
}

fn version(answer: &S3Answer) -> String {
    answer.header("x-amz-version-id").unwrap().to_owned()
}

/// Everything that a user of the mount can do to a file.
fn nobody_changes(file: &Path) {
    let other = file.with_file_name("other");
    fs::write(&other, "x").unwrap();
    refused("write", fs::write(file, "x"));
    refused("append", fs::OpenOptions::new().append(true).open(file).map(drop));
    refused("truncate", nix_truncate(file));
    refused("remove", fs::remove_file(file));
    refused("rename", fs::rename(file, file.with_file_name("elsewhere")));
    refused("replace", fs::rename(&other, file));
    refused("chmod", fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)));
    let second = file.with_extension("second");
    fs::hard_link(file, &second).unwrap();
    refused("the other name", fs::remove_file(&second));
    refused("write by it", fs::write(&second, "x"));
    fs::remove_file(&other).unwrap();
    assert_eq!(fs::read(file).unwrap(), b"as it is");
}

fn nix_truncate(file: &Path) -> io::Result<()> {
    let status = std::process::Command::new("truncate").arg("-s0").arg(file).output()?;
    if status.status.success() { Ok(()) } else { Err(io::Error::from_raw_os_error(1)) }
}

fn new_scene() -> (Scene, Mounted) {
    let scene = Scene::new();
    scene.must(S3Request::new("PUT", "/bucket").header("x-amz-bucket-object-lock-enabled", "true"));
    let mounted = Mounted::new(&scene);
    (scene, mounted)
}

/// Each line that is printed is something that was not refused.
const THROUGH_NFS: &str = r#"#!/bin/bash
modprobe nfsv4
mkdir -p /tmp/nfs
mount -t nfs4 -o vers=4.2,port=$1 $HOST:/default /tmp/nfs || exit 3
cd /tmp/nfs/buckets/bucket || exit 4
refused() { "$@" 2>/tmp/said && echo "done: $*"; grep -q "Operation not permitted" /tmp/said || echo "$*: $(cat /tmp/said)"; }
for file in governance compliance hold; do
  refused bash -c "echo x >$file"
  refused bash -c "echo x >>$file"
  refused truncate -s 0 $file
  refused rm -f $file
  refused mv $file elsewhere
  refused bash -c "echo x >other && mv -f other $file"
  refused chmod 600 $file
  refused chown 1:1 $file
  refused touch -d 2001-01-01 $file
  refused setfattr -n user.a -v b $file
  [ "$(cat $file)" = "as it is" ] || echo "$file has changed"
done
refused mv /tmp/nfs/buckets/bucket /tmp/nfs/buckets/other
cd / && umount /tmp/nfs
"#;

#[test]
fn a_locked_object_is_locked_for_a_kernel_s_nfs_client() {
    let scene = Scene::new();
    scene.must(S3Request::new("PUT", "/bucket").header("x-amz-bucket-object-lock-enabled", "true"));
    locked_put(&scene, "governance", "GOVERNANCE");
    locked_put(&scene, "compliance", "COMPLIANCE");
    let held = S3Request::new("PUT", "/bucket/hold").header("x-amz-object-lock-legal-hold", "ON");
    scene.must(held.body("as it is"));
    let done = Guest::uml().run(THROUGH_NFS, &[&scene.daemon.nfs().port().to_string()]).unwrap();
    assert_eq!((done.status, done.output.as_str()), (0, ""), "{}", scene.daemon.log());
}

#[test]
fn a_locked_object_is_locked_at_every_door() {
    let (mut scene, mounted) = new_scene();
    for (key, mode) in [("dir/deep/governance", "GOVERNANCE"), ("compliance", "COMPLIANCE")] {
        locked_put(&scene, key, mode);
        nobody_changes(&mounted.path(key));
    }
    let held = S3Request::new("PUT", "/bucket/hold").header("x-amz-object-lock-legal-hold", "ON");
    scene.must(held.body("as it is"));
    nobody_changes(&mounted.path("hold"));

    refused("a directory on its way", fs::rename(mounted.path("dir"), mounted.path("dir2")));
    refused("further down", fs::rename(mounted.path("dir/deep"), mounted.path("deep")));
    refused("the bucket", fs::rename(mounted.path(""), mounted.root().join("buckets/b2")));
    refused("what it is in", fs::rename(mounted.root().join("buckets"), mounted.root().join("b")));
    assert!(fs::remove_dir_all(mounted.path("dir/deep")).is_err());
    assert_eq!(fs::read(mounted.path("dir/deep/governance")).unwrap(), b"as it is");

    // Also after a crash, and with a lock that was set afterwards.
    scene.put("/bucket/later", "as it is");
    let body = "<LegalHold><Status>ON</Status></LegalHold>";
    scene.must(S3Request::new("PUT", "/bucket/later?legal-hold").body(body));
    scene.daemon.revive().unwrap();
    nobody_changes(&mounted.path("later"));
    let body = "<LegalHold><Status>OFF</Status></LegalHold>";
    scene.must(S3Request::new("PUT", "/bucket/later?legal-hold").body(body));
    fs::write(mounted.path("later"), "free").unwrap();
    let fsck = scene.daemon.plexus(&["fsck"]).unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

#[test]
fn versions_that_are_locked_come_and_go_as_s3_says() {
    let (scene, mounted) = new_scene();
    let first = version(&locked_put(&scene, "a/key", "GOVERNANCE"));
    let second = version(&locked_put(&scene, "a/key", "COMPLIANCE"));
    let marker = scene.must(S3Request::new("DELETE", "/bucket/a/key"));
    assert_eq!(marker.header("x-amz-delete-marker"), Some("true"));
    // The bucket seems empty to the other head, and is not.
    assert!(fs::read_dir(mounted.path("")).unwrap().next().is_none());
    refused("the bucket with its versions", fs::remove_dir(mounted.path("")));
    refused("the bucket with its versions", fs::rename(mounted.path(""), mounted.root().join("buckets/b2")));

    scene.must(S3Request::new("DELETE", &format!("/bucket/a/key?versionId={}", version(&marker))));
    nobody_changes(&mounted.path("a/key"));
    refused("its way", fs::rename(mounted.path("a"), mounted.path("b")));
    let delete = |version: &str, bypass: bool| {
        let request = S3Request::new("DELETE", &format!("/bucket/a/key?versionId={version}"));
        let request =
            if bypass { request.header("x-amz-bypass-governance-retention", "true") } else { request };
        scene.ask(request)
    };
    for (version, bypass) in [(&first, false), (&second, false), (&second, true)] {
        assert_eq!(delete(version, bypass).code(), "AccessDenied");
    }
    assert_eq!(delete(&first, true).status, 204);
    assert_eq!(scene.ask(S3Request::new("DELETE", "/bucket")).code(), "BucketNotEmpty");
    refused("still", fs::rename(mounted.path(""), mounted.root().join("buckets/b2")));
}

#[test]
fn a_bucket_that_was_emptied_around_governance_can_go() {
    let (scene, mounted) = new_scene();
    let version = version(&locked_put(&scene, "a/key", "GOVERNANCE"));
    let delete = S3Request::new("DELETE", &format!("/bucket/a/key?versionId={version}"));
    scene.must(delete.header("x-amz-bypass-governance-retention", "true"));
    refused("it was promised longer", fs::remove_dir(mounted.path("")));
    assert_eq!(scene.ask(S3Request::new("DELETE", "/bucket")).status, 204);
    assert!(!mounted.path("").exists());
}
