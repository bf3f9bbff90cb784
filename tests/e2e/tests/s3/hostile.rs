//! Requests of strangers and of broken clients: AWS's own codes, bounded memory, nobody held up.

use crate::Scene;
use e2e::s3_request::{S3Request, answer, at, exchange, now};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn signatures_that_are_wrong_old_or_of_another_body_are_refused_with_their_codes() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    let put = || S3Request::new("PUT", "/bucket/key").body("body");
    let code = |bytes: Vec<u8>| {
        let answer = exchange(host, &bytes).unwrap();
        (answer.status, answer.code())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(code(put().unsigned(host)), is(403, "AccessDenied"));
    let mut other = scene.key.clone();
    other.secret_key = Some("x".repeat(40));
    assert_eq!(code(put().signed(host, &other, &now())), is(403, "SignatureDoesNotMatch"));
    other.access_key = "NOBODYSKEY".into();
    assert_eq!(code(put().signed(host, &other, &now())), is(403, "InvalidAccessKeyId"));
    for seconds in [-3600, 3600] {
        assert_eq!(code(put().signed(host, &scene.key, &at(seconds))), is(403, "RequestTimeTooSkewed"));
    }
    // Replayed with another body of the same length.
    let mut replayed = put().signed(host, &scene.key, &now());
    replayed.truncate(replayed.len() - 4);
    replayed.extend_from_slice(b"evil");
    assert_eq!(code(replayed), is(400, "XAmzContentSHA256Mismatch"));
    let digest = put().header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(code(digest.signed(host, &scene.key, &now())), is(400, "BadDigest"));
    let digest = put().header("content-md5", "no digest");
    assert_eq!(code(digest.signed(host, &scene.key, &now())), is(400, "InvalidDigest"));
    let checksum = put().header("x-amz-checksum-crc32", "AAAAAA==");
    assert_eq!(code(checksum.signed(host, &scene.key, &now())), is(400, "BadDigest"));
    assert_eq!(scene.get("/bucket/key").code(), "NoSuchKey", "nothing of all that is there");
    assert_eq!(scene.ask(put().header("x-amz-server-side-encryption", "AES256")).code(), "NotImplemented");
}

#[test]
fn bodies_that_are_shorter_than_they_say_leave_nothing() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    for length in ["10", "2000000"] {
        let put = S3Request::new("PUT", "/bucket/short").body("12345").payload("UNSIGNED-PAYLOAD");
        let bytes = put.header("content-length", length).signed(host, &scene.key, &now());
        // Either it is told so, or the connection ends.
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        if let Ok(answer) = answer(&mut stream) {
            assert_eq!((answer.status, answer.code().as_str()), (400, "IncompleteBody"), "{length}");
        }
    }
    for (what, body) in [
        ("a chunk longer than it says", "3\r\n12345\r\n0\r\n\r\n"),
        ("a size that is none", "x\r\n12345\r\n0\r\n\r\n"),
        ("a size without end", &format!("{}\r\n", "1".repeat(10_000))),
        ("no last chunk", "5\r\n12345\r\n"),
    ] {
        let put =
            S3Request::new("PUT", "/bucket/short").body(body).payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let put = put.header("x-amz-decoded-content-length", "5").header("content-encoding", "aws-chunked");
        let answer = exchange(host, &put.signed(host, &scene.key, &now())).unwrap();
        assert_eq!(answer.status, 400, "{what}: {}", answer.code());
    }
    assert_eq!(scene.get("/bucket/short").code(), "NoSuchKey");
}

#[test]
fn documents_that_are_bombs_or_too_long_are_refused() {
    let scene = Scene::new();
    scene.put("/bucket", "");
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;\">\
                <!ENTITY d \"&c;&c;&c;&c;&c;&c;\">]><Delete><Object><Key>&d;</Key></Object></Delete>";
    let deep = format!("<Delete>{}", "<Object>".repeat(100_000));
    for document in [bomb, &deep, "<Delete>", "no xml", "\u{0}"] {
        let answer = scene.ask(S3Request::new("POST", "/bucket?delete").body(document));
        assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.code());
    }
    let long = vec![b' '; (4 << 20) + 1];
    let answer = scene.ask(S3Request::new("PUT", "/bucket?tagging").body(long));
    assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.code());
    let keys = "<Object><Key>k</Key></Object>".repeat(1001);
    let answer = scene.ask(S3Request::new("POST", "/bucket?delete").body(format!("<Delete>{keys}</Delete>")));
    assert_eq!((answer.status, answer.code().as_str()), (400, "MalformedXML"));
}

#[test]
fn keys_that_no_file_can_have_are_told_so() {
    let scene = Scene::new();
    scene.put("/bucket", "");
    let long = format!("/bucket/{}", "x".repeat(256));
    for (target, status, code) in [
        ("/bucket//a", 400, "InvalidArgument"),
        ("/bucket/a//b", 400, "InvalidArgument"),
        ("/bucket/a/../b", 400, "InvalidArgument"),
        (long.as_str(), 400, "KeyTooLongError"),
    ] {
        let answer = scene.ask(S3Request::new("PUT", target).body("x"));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{target}");
        assert_eq!(scene.get(target).status, 404, "{target}");
    }
    scene.put("/bucket/a", "x");
    let below = scene.ask(S3Request::new("PUT", "/bucket/a/b").body("x"));
    assert_eq!((below.status, below.code().as_str()), (409, "ObjectNameConflict"));
    scene.put("/bucket/c/d", "x");
    let above = scene.ask(S3Request::new("PUT", "/bucket/c").body("x"));
    assert_eq!((above.status, above.code().as_str()), (409, "ObjectNameConflict"));
}

#[test]
fn slow_clients_are_bounded_and_hold_up_nobody() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    // They say little and wait.
    let slow: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut stream = TcpStream::connect(host).unwrap();
            let put = S3Request::new("PUT", &format!("/bucket/slow-{number}")).payload("UNSIGNED-PAYLOAD");
            let bytes = put.header("content-length", "5000000").signed(host, &scene.key, &now());
            let cut = if number % 2 == 0 { bytes.len() } else { bytes.len() / 2 };
            stream.write_all(&bytes[..cut]).unwrap();
            stream
        })
        .collect();
    let begin = Instant::now();
    scene.put("/bucket/quick", "x");
    assert_eq!(scene.get("/bucket/quick").body, b"x");
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    drop(slow);
    let listed = scene.must(S3Request::new("GET", "/bucket?list-type=2&prefix=slow"));
    assert!(!String::from_utf8_lossy(&listed.body).contains("<Key>"));
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    let mut stream = TcpStream::connect(host).unwrap();
    for number in 0..3 {
        let mut bytes = S3Request::new("PUT", "/bucket/k").body("x").signed(host, &scene.key, &now());
        let close = b"connection: close\r\n";
        let close_at = bytes.windows(close.len()).position(|window| window == close).unwrap();
        if number < 2 {
            bytes.drain(close_at..close_at + close.len());
        }
        stream.write_all(&bytes).unwrap();
    }
    let first = answer(&mut stream).unwrap();
    assert_eq!(first.status, 200);
    let rest = String::from_utf8_lossy(&first.body).matches("HTTP/1.1 200").count();
    assert_eq!(rest, 2, "three answers");
}

#[test]
fn who_waits_for_leave_to_send_nothing_is_not_left_on_the_connection() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    let put = S3Request::new("PUT", "/bucket/key").header("expect", "100-continue");
    let text = String::from_utf8(put.signed(host, &scene.key, &now())).unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    // Without what every other request here says.
    stream.write_all(text.replace("connection: close\r\n", "").as_bytes()).unwrap();
    let said = answer(&mut stream).unwrap();
    assert_eq!((said.status, said.header("connection")), (200, Some("close")), "{}", said.code());
}
