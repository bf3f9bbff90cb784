//! SIGKILL in the middle of what takes several steps: the old or the new, never less.

use crate::Scene;
use e2e::s3_request::{S3Request, exchange, now};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Kills of one daemon.
const KILLS: u64 = 4;

fn versions_of(scene: &Scene, key: &str) -> Vec<(String, bool)> {
    let answer = scene.must(S3Request::new("GET", "/bucket?versions"));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let mut found = Vec::new();
    for (tag, is_marker) in [("Version", false), ("DeleteMarker", true)] {
        for part in text.split(&format!("<{tag}>")).skip(1) {
            let (part, _) = part.split_once(&format!("</{tag}>")).unwrap();
            let of = |name: &str| {
                let (_, rest) = part.split_once(&format!("<{name}>")).unwrap();
                rest.split_once("</").unwrap().0.to_owned()
            };
            if of("Key") == key {
                found.push((of("VersionId"), is_marker));
            }
        }
    }
    found
}

/// Runs `step` over and over until the daemon is killed under it; the number of the last one that was acknowledged.
fn killed_under(scene: &mut Scene, pause: Duration, step: impl Fn(u64) -> Option<bool> + Sync) -> u64 {
    let acknowledged = AtomicU64::new(0);
    thread::scope(|scope| {
        let doing = scope.spawn(|| {
            for number in 1.. {
                match step(number) {
                    Some(true) => acknowledged.store(number, Ordering::SeqCst),
                    Some(false) => panic!("step {number} was refused"),
                    None => return,
                }
            }
        });
        thread::sleep(pause);
        scene.daemon.kill().unwrap();
        doing.join().unwrap();
    });
    acknowledged.load(Ordering::SeqCst)
}

/// Sends a request that a crash may cut off.
fn ask(host: std::net::SocketAddr, key: &admin::S3KeyReport, request: S3Request) -> Option<bool> {
    let answer = exchange(host, &request.signed(host, key, &now())).ok()?;
    // An answer that was cut off has no status.
    if answer.status == 0 { None } else { Some((200..300).contains(&answer.status)) }
}

#[test]
fn versions_that_were_acknowledged_are_there_after_a_crash() {
    let mut scene = Scene::new();
    scene.put("/bucket", "");
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    scene.must(S3Request::new("PUT", "/bucket?versioning").body(on));
    for kill in 0..KILLS {
        let (host, key) = (scene.daemon.s3(), scene.key.clone());
        let target = format!("/bucket/dir/{kill}");
        // Replaced, replaced, deleted: each step is a version more.
        let last = killed_under(&mut scene, Duration::from_millis(150 + 70 * kill), |number| {
            let request = match number % 3 {
                0 => S3Request::new("DELETE", &target),
                1 => S3Request::new("PUT", &target).body(vec![b'x'; 10_000]),
                _ => S3Request::new("PUT", &target).body(format!("{number}")),
            };
            ask(host, &key, request)
        });
        assert!(last > 0, "nothing was done in time");
        scene.daemon.revive().unwrap();
        let found = versions_of(&scene, &format!("dir/{kill}"));
        let (most, there) = (last + 1, found.len() as u64);
        assert!((last..=most).contains(&there), "{there} versions after {last} acknowledged changes");
        let read = scene.get(&target);
        assert!(matches!(read.status, 200 | 404), "{}", read.code());
        for (version, is_marker) in &found {
            let read = scene.get(&format!("{target}?versionId={version}"));
            assert_eq!(read.status, if *is_marker { 405 } else { 200 }, "{version}");
            assert!(*is_marker || !read.body.is_empty());
        }
        // What was left in between does no harm to what comes.
        scene.put(&target, "after");
        assert_eq!(scene.get(&target).body, b"after");
        assert_eq!(versions_of(&scene, &format!("dir/{kill}")).len() as u64, there + 1);
    }
    let fsck = scene.daemon.plexus(&["fsck"]).unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

#[test]
fn an_upload_that_is_completed_over_a_crash_is_the_old_object_or_the_new_one() {
    let mut scene = Scene::new();
    scene.put("/bucket", "");
    let part = vec![b'p'; 5 << 20];
    for kill in 0..KILLS {
        let target = format!("/bucket/{kill}");
        scene.put(&target, "old");
        let begun = scene.must(S3Request::new("POST", &format!("{target}?uploads")));
        let text = String::from_utf8_lossy(&begun.body).into_owned();
        let id = text.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
        let mut list = String::new();
        for (number, body) in [(1, &part[..]), (2, &part[..]), (3, b"end")] {
            let put = S3Request::new("PUT", &format!("{target}?partNumber={number}&uploadId={id}"));
            let etag = scene.must(put.body(body)).header("etag").unwrap().to_owned();
            list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        let complete = S3Request::new("POST", &format!("{target}?uploadId={id}"))
            .body(format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>"));
        let (host, key) = (scene.daemon.s3(), scene.key.clone());
        let request = complete.clone();
        let answered = thread::scope(|scope| {
            let asking = scope.spawn(move || exchange(host, &request.signed(host, &key, &now())));
            thread::sleep(Duration::from_millis(2 + 4 * kill));
            scene.daemon.kill().unwrap();
            asking.join().unwrap()
        });
        let done = answered.is_ok_and(|answer| {
            answer.status == 200 && String::from_utf8_lossy(&answer.body).contains("<ETag>")
        });
        scene.daemon.revive().unwrap();
        let new = [&part[..], &part[..], b"end"].concat();
        let read = scene.get(&target).body;
        assert!(read == new || !done && read == b"old", "{} bytes, answered: {done}", read.len());
        // Whoever asks again gets what there is.
        assert_eq!(scene.ask(complete).status, 200);
        assert!(scene.get(&target).body == new);
    }
    let uploads = scene.must(S3Request::new("GET", "/bucket?uploads"));
    assert!(!String::from_utf8_lossy(&uploads.body).contains("<Upload>"));
    let fsck = scene.daemon.plexus(&["fsck"]).unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

#[test]
fn changes_of_a_bucket_at_the_same_time_do_not_undo_each_other() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    for round in 0..8 {
        let bucket = format!("/bucket-{round}");
        scene.put(&bucket, "");
        let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        let ownership = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>";
        let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
        let asked = [("versioning", versioning), ("ownershipControls", ownership), ("tagging", tags)];
        thread::scope(|scope| {
            for (what, body) in asked {
                let request = S3Request::new("PUT", &format!("{bucket}?{what}=")).body(body);
                let bytes = request.signed(host, &scene.key, &now());
                scope.spawn(move || {
                    let answer = exchange(host, &bytes).unwrap();
                    assert!((200..300).contains(&answer.status), "{what}: {}", answer.code());
                });
            }
        });
        for (what, is) in [
            ("versioning", "Enabled"),
            ("ownershipControls", "BucketOwnerEnforced"),
            ("tagging", "<Key>a</Key>"),
        ] {
            let answer = scene.get(&format!("{bucket}?{what}="));
            assert!(String::from_utf8_lossy(&answer.body).contains(is), "{what} in round {round}");
        }
    }
}
