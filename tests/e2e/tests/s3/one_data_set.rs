//! What one door writes, the other reads: identical bytes, sizes and names; and whole objects across crashes.

use crate::Scene;
use e2e::s3_request::{S3Request, exchange, now};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A FUSE mount of the scene's daemon; gone with it.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn new(scene: &Scene) -> Mounted {
        let at = scene.scratch.path().join("mnt");
        fs::create_dir(&at).unwrap();
        let output =
            scene.daemon.plexus(&["mount", "default", at.to_str().unwrap(), "--background"]).unwrap();
        assert!(output.status.success(), "{output:?}");
        Mounted(at)
    }

    /// The root of the filesystem.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.join("buckets/bucket").join(below)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-q", "-l"]).arg(&self.0).status();
    }
}

fn etag(scene: &Scene, key: &str) -> String {
    let answer = scene.must(S3Request::new("HEAD", &format!("/bucket/{key}")));
    answer.header("etag").unwrap().trim_matches('"').to_owned()
}

fn keys(scene: &Scene) -> Vec<String> {
    let answer = scene.must(S3Request::new("GET", "/bucket?list-type=2"));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
    keys.map(|(key, _)| key.to_owned()).collect()
}

#[test]
fn objects_are_files_and_files_are_objects() {
    let scene = Scene::new();
    scene.put("/bucket", "");
    let mounted = Mounted::new(&scene);
    let large: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    scene.put("/bucket/dir/small", "hello");
    scene.put("/bucket/dir/large", large.clone());
    assert_eq!(fs::read(mounted.path("dir/small")).unwrap(), b"hello");
    assert!(fs::read(mounted.path("dir/large")).unwrap() == large);
    assert_eq!(fs::metadata(mounted.path("dir/large")).unwrap().size(), 5_000_000);
    assert_eq!(etag(&scene, "dir/small"), "5d41402abc4b2a76b9719d911017c592");

    fs::create_dir_all(mounted.path("made/by")).unwrap();
    fs::write(mounted.path("made/by/fuse"), &large).unwrap();
    assert!(scene.get("/bucket/made/by/fuse").body == large);
    let first = etag(&scene, "made/by/fuse");
    assert!(first.ends_with("-0"), "no MD5: {first}");
    assert_eq!(etag(&scene, "made/by/fuse"), first, "it stays while the content does");
    let times = fs::metadata(mounted.path("made/by/fuse")).unwrap().modified().unwrap();
    let mut file = fs::File::options().write(true).open(mounted.path("made/by/fuse")).unwrap();
    file.write_all(b"!").unwrap();
    file.set_modified(times).unwrap();
    file.sync_all().unwrap();
    assert_ne!(etag(&scene, "made/by/fuse"), first, "whatever is done about its times");

    // What S3 wrote loses its MD5 when another head changes it, and keeps it when only its mode changes.
    let small = mounted.path("dir/small");
    let mut mode = fs::metadata(&small).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
    fs::set_permissions(&small, mode).unwrap();
    assert_eq!(etag(&scene, "dir/small"), "5d41402abc4b2a76b9719d911017c592");
    fs::write(&small, b"HELLO").unwrap();
    assert!(etag(&scene, "dir/small").ends_with("-0"));
    assert_eq!(scene.get("/bucket/dir/small").body, b"HELLO");

    fs::create_dir(mounted.path("empty")).unwrap();
    fs::write(mounted.path("dir-1"), "").unwrap();
    assert_eq!(keys(&scene), ["dir-1", "dir/large", "dir/small", "empty/", "made/by/fuse"]);
    scene.must(S3Request::new("DELETE", "/bucket/dir/small"));
    scene.must(S3Request::new("DELETE", "/bucket/dir/large"));
    assert!(!mounted.path("dir").exists(), "it was made for keys, and goes with the last");
    scene.must(S3Request::new("DELETE", "/bucket/made/by/fuse"));
    assert!(mounted.path("made/by").exists(), "that one somebody has made");
    let names: Vec<_> = fs::read_dir(&mounted.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["buckets"], "nothing of what the head keeps is to be seen");
    assert!(fs::metadata(mounted.0.join(".plexus")).is_err());
    assert!(fs::create_dir(mounted.0.join(".plexus")).is_err());
}

#[test]
fn a_put_that_is_cut_off_by_a_crash_leaves_the_old_object_whole() {
    let mut scene = Scene::new();
    scene.put("/bucket", "");
    scene.put("/bucket/key", "the old one");
    let host = scene.daemon.s3();
    let mut halves = Vec::new();
    for _ in 0..3 {
        let put = S3Request::new("PUT", "/bucket/key")
            .payload("UNSIGNED-PAYLOAD")
            .header("content-length", "8000000");
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(&put.signed(host, &scene.key, &now())).unwrap();
        stream.write_all(&vec![b'n'; 4_000_000]).unwrap();
        halves.push(stream);
    }
    scene.daemon.revive().unwrap();
    assert_eq!(scene.get("/bucket/key").body, b"the old one");
    assert_eq!(keys(&scene), ["key"]);
    let new = vec![b'n'; 8_000_000];
    scene.put("/bucket/key", new.clone());
    scene.daemon.revive().unwrap();
    assert!(scene.get("/bucket/key").body == new, "what was acknowledged is there");
    let fsck = scene.daemon.plexus(&["fsck"]).unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

#[test]
fn who_reads_an_object_that_is_replaced_reads_the_old_one_whole() {
    let scene = Scene::new();
    scene.put("/bucket", "");
    let (old, new) = (vec![b'o'; 6_000_000], vec![b'n'; 6_000_000]);
    scene.put("/bucket/key", old.clone());
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let request = S3Request::new("GET", "/bucket/key");
                    let host = scene.daemon.s3();
                    exchange(host, &request.signed(host, &scene.key, &now())).unwrap().body
                })
            })
            .collect();
        scene.put("/bucket/key", new.clone());
        scene.put("/bucket/key", old.clone());
        for reader in readers {
            let body = reader.join().unwrap();
            assert!(body == old || body == new, "{} bytes", body.len());
        }
    });
}

#[test]
fn who_reads_an_object_that_is_replaced_all_the_time_finds_one() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    let content = |number: usize| vec![b'a' + (number % 26) as u8; 20_000 + number % 26];
    scene.put("/bucket/key", content(0));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let request = S3Request::new("GET", "/bucket/key");
                        let answer = exchange(host, &request.signed(host, &scene.key, &now())).unwrap();
                        assert_eq!(answer.status, 200, "{}", answer.code());
                        let number = answer.body.len() - 20_000;
                        assert!(answer.body == content(number), "{} bytes", answer.body.len());
                    }
                })
            })
            .collect();
        for number in 0..300 {
            scene.put("/bucket/key", content(number));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn accounts_act_as_their_users() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    let mounted = Mounted::new(&scene);
    let user = scene.daemon.s3_key("ann", &["--user", "12345"]).unwrap();
    let ask = |request: S3Request| exchange(host, &request.signed(host, &user, &now())).unwrap();
    assert_eq!(ask(S3Request::new("PUT", "/bucket")).status, 200);
    assert_eq!(ask(S3Request::new("PUT", "/bucket/key").body("x")).status, 200);
    let (bucket, key) = (fs::metadata(mounted.path("")).unwrap(), fs::metadata(mounted.path("key")).unwrap());
    assert_eq!((bucket.uid(), bucket.mode() & 0o777, key.uid()), (12345, 0o700, 12345));
    assert_eq!(scene.get("/bucket/key").code(), "AccessDenied", "another account, whoever its user is");
    // A file of somebody else's in the bucket is not hers to read.
    fs::write(mounted.path("secret"), "x").unwrap();
    fs::set_permissions(mounted.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(ask(S3Request::new("GET", "/bucket/secret")).code(), "AccessDenied");
}
