//! What the head does by itself: lifecycle rules, and what removed buckets have left.

use crate::Scene;
use crate::one_data_set::Mounted;
use e2e::s3_request::S3Request;
use std::fs;
use std::time::{Duration, Instant};

/// Days of a second, and a pass each.
const QUICK: &str = "s3.lifecycle_period = 1\ns3.lifecycle_day = 1";
const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn count(scene: &Scene, target: &str, tag: &str) -> usize {
    let answer = scene.must(S3Request::new("GET", target));
    String::from_utf8_lossy(&answer.body).matches(&format!("<{tag}>")).count()
}

#[test]
fn lifecycle_rules_are_acted_upon() {
    let scene = Scene::with(QUICK);
    scene.put("/bucket", "");
    scene.put("/bucket/old/small", "x");
    scene.put("/bucket/old/large", vec![b'l'; 100_000]);
    scene.put("/bucket/stays", "x");
    scene.must(S3Request::new("PUT", "/bucket/tagged").header("x-amz-tagging", "go=yes").body("x"));
    scene.must(S3Request::new("POST", "/bucket/part?uploads="));
    scene.put("/versions", "");
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    scene.must(S3Request::new("PUT", "/versions?versioning=").body(on));
    for number in 0..4 {
        scene.put("/versions/key", format!("{number}"));
    }
    scene.put("/versions/gone", "x");
    scene.must(S3Request::new("DELETE", "/versions/gone"));

    let rule = |id: &str, filter: &str, what: &str| {
        format!("<Rule><ID>{id}</ID><Status>Enabled</Status><Filter>{filter}</Filter>{what}</Rule>")
    };
    let days = "<Expiration><Days>1</Days></Expiration>";
    let tag = "<Tag><Key>go</Key><Value>yes</Value></Tag>";
    let larger = "<And><Prefix>old/</Prefix><ObjectSizeGreaterThan>1000</ObjectSizeGreaterThan></And>";
    let abort = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
    let rules = [rule("1", larger, days), rule("2", tag, days), rule("3", "<Prefix></Prefix>", abort)];
    let set = |bucket: &str, rules: &str| {
        let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        scene.must(S3Request::new("PUT", &format!("/{bucket}?lifecycle=")).body(body));
    };
    set("bucket", &rules.concat());
    let old = "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>";
    let markers = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
    set(
        "versions",
        &[rule("1", "<Prefix>key</Prefix>", old), rule("2", "<Prefix>gone</Prefix>", markers)].concat(),
    );

    until("objects that a rule is of go", || count(&scene, "/bucket?list-type=2", "Key") == 2);
    assert_eq!(scene.get("/bucket/old/small").body, b"x");
    assert_eq!(scene.get("/bucket/stays").body, b"x");
    until("uploads are given up", || count(&scene, "/bucket?uploads=", "Upload") == 0);
    until("old versions go but for the newest of them", || {
        count(&scene, "/versions?prefix=key&versions=", "Version") == 2
    });
    assert_eq!(scene.get("/versions/key").body, b"3");
    // A marker stays while there is something behind it.
    assert_eq!(count(&scene, "/versions?prefix=gone&versions=", "DeleteMarker"), 1);
    let answer = scene.must(S3Request::new("GET", "/versions?prefix=gone&versions="));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let (_, version) = text.split_once("<Version>").unwrap();
    let version = version.split_once("<VersionId>").unwrap().1.split_once('<').unwrap().0;
    scene.must(S3Request::new("DELETE", &format!("/versions/gone?versionId={version}")));
    until("a marker alone goes", || count(&scene, "/versions?prefix=gone&versions=", "DeleteMarker") == 0);
}

#[test]
fn what_a_bucket_has_left_goes_when_another_head_has_removed_it() {
    let scene = Scene::with(QUICK);
    scene.put("/bucket", "");
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    scene.must(S3Request::new("PUT", "/bucket?versioning=").body(on));
    let mounted = Mounted::new(&scene);
    let inodes = || {
        let report = scene.daemon.plexus(&["--json", "filesystem", "list"]).unwrap();
        let text = String::from_utf8_lossy(&report.stdout).into_owned();
        let (_, rest) = text.split_once("\"inodes\":").unwrap_or_else(|| panic!("{text}"));
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap()
    };
    for number in 0..3 {
        scene.put("/bucket/a/b/key", format!("{number}"));
        scene.put("/bucket/other", vec![b'x'; 10_000]);
    }
    scene.must(S3Request::new("POST", "/bucket/part?uploads="));
    let before = inodes();
    fs::remove_dir_all(mounted.path("")).unwrap();
    // The bucket with `a`, `b` and two objects; then versions, their directories, and the upload.
    until("what was kept goes", || inodes() + 15 <= before);
    scene.put("/bucket", "");
    assert_eq!(count(&scene, "/bucket?versions=", "Version"), 0);
    let fsck = scene.daemon.plexus(&["fsck"]).unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}
