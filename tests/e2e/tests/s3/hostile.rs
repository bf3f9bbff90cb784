//! Requests of strangers and of broken clients: AWS's own codes, bounded memory, nobody held up.

use crate::Scene;
use e2e::s3_request::{S3Request, answer, at, exchange, now, scope, signature};
use std::io::Write;
use std::net::TcpStream;

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
fn chunks_with_wrong_signatures_and_lying_lengths_are_refused() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    let put = |payload: &str, body: &str, length: &str| {
        let put = S3Request::new("PUT", "/bucket/key").body(body).payload(payload);
        let put = put.header("x-amz-decoded-content-length", length);
        let put = put.header("content-encoding", "aws-chunked");
        let answer = exchange(host, &put.signed(host, &scene.key, &now())).unwrap();
        (answer.status, answer.code())
    };
    let none = "0".repeat(64);
    let signed = format!("5;chunk-signature={none}\r\n12345\r\n0;chunk-signature={none}\r\n\r\n");
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", &signed, "5"), is(403, "SignatureDoesNotMatch"));
    for length in ["4", "6", "5000000"] {
        let plain = "5\r\n12345\r\n0\r\n\r\n";
        let said = put("STREAMING-UNSIGNED-PAYLOAD-TRAILER", plain, length);
        assert_eq!(said, is(400, "InvalidRequest"), "{length}");
    }
    assert_eq!(scene.get("/bucket/key").code(), "NoSuchKey");
}

#[test]
fn presigned_requests_are_good_for_their_time_and_method_only() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    scene.put("/bucket/key", "content");
    let ask = |method: &str, url: &str| {
        let answer = exchange(host, &S3Request::new(method, url).unsigned(host)).unwrap();
        (answer.status, answer.code())
    };
    let good = presigned(&scene, "GET", "/bucket/key", -10, 60);
    assert_eq!(ask("GET", &good).0, 200);
    let denied = (403, "AccessDenied".to_owned());
    assert_eq!(ask("GET", &presigned(&scene, "GET", "/bucket/key", -100, 60)), denied);
    let mismatch = (403, "SignatureDoesNotMatch".to_owned());
    assert_eq!(ask("DELETE", &good), mismatch);
    assert_eq!(ask("GET", &good.replace("/key?", "/other?")), mismatch);
    assert_eq!(ask("GET", &good.replace("Expires=60", "Expires=6000")), mismatch);
    assert_eq!(scene.get("/bucket/key").body, b"content");
}

/// A URL that is good from some seconds from now on, for a time.
fn presigned(scene: &Scene, method: &str, path: &str, from: i64, seconds: u32) -> String {
    let (at, host) = (at(from), scene.daemon.s3());
    let scope = scope(&at);
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}&X-Amz-Date={at}&X-Amz-Expires={seconds}\
         &X-Amz-SignedHeaders=host",
        scene.key.access_key,
        scope.replace('/', "%2F")
    );
    let canonical = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    format!("{path}?{query}&X-Amz-Signature={}", signature(&scene.key, &at, &canonical))
}

#[test]
fn documents_of_a_hundred_megabytes_are_refused_wherever_a_document_is_expected() {
    let scene = Scene::new();
    let host = scene.daemon.s3();
    scene.put("/bucket", "");
    scene.put("/bucket/key", "x");
    let before = scene.daemon.resident().unwrap();
    let part = [b"10000\r\n".as_slice(), &[b'<'; 0x10000], b"\r\n"].concat();
    for (method, target) in [
        ("PUT", "/new-bucket"),
        ("PUT", "/bucket?acl"),
        ("PUT", "/bucket?cors"),
        ("PUT", "/bucket?lifecycle"),
        ("PUT", "/bucket?notification"),
        ("PUT", "/bucket?object-lock"),
        ("PUT", "/bucket?ownershipControls"),
        ("PUT", "/bucket?policy"),
        ("PUT", "/bucket?publicAccessBlock"),
        ("PUT", "/bucket?tagging"),
        ("PUT", "/bucket?versioning"),
        ("PUT", "/bucket/key?acl"),
        ("PUT", "/bucket/key?legal-hold"),
        ("PUT", "/bucket/key?retention"),
        ("PUT", "/bucket/key?tagging"),
        ("POST", "/bucket?delete"),
        ("POST", "/bucket/key?uploadId=x"),
    ] {
        for length in [true, false] {
            let request = S3Request::new(method, target).payload("UNSIGNED-PAYLOAD");
            let head = match length {
                true => request.header("content-length", "104857600"),
                // It does not say how long it is.
                false => request.header("transfer-encoding", "chunked").header("content-length", ""),
            };
            let head = String::from_utf8(head.signed(host, &scene.key, &now())).unwrap();
            let mut stream = TcpStream::connect(host).unwrap();
            stream.write_all(head.replace("content-length: \r\n", "").as_bytes()).unwrap();
            let sent = (0..1600).take_while(|_| stream.write_all(&part).is_ok()).count();
            assert!(sent < 1600, "{method} {target}: all was taken");
            // Who is refused early may not hear why.
            if let Ok(answer) = answer(&mut stream) {
                let code = if length { "MaxMessageLengthExceeded" } else { "MissingContentLength" };
                assert_eq!(answer.code(), code, "{method} {target}");
            }
        }
    }
    let more = scene.daemon.resident().unwrap().saturating_sub(before);
    assert!(more < 64 << 10, "{more} KiB more");
    assert_eq!(scene.get("/bucket/key").body, b"x");
}

#[test]
fn encryption_that_there_is_not_is_refused_wherever_it_is_asked_for() {
    let scene = Scene::new();
    scene.put("/bucket", "");
    scene.put("/bucket/key", "x");
    let begun = scene.must(S3Request::new("POST", "/bucket/parts?uploads"));
    let begun = String::from_utf8(begun.body).unwrap();
    let id = begun.split_once("<UploadId>").unwrap().1.split_once("</").unwrap().0.to_owned();
    let put = || S3Request::new("PUT", "/bucket/new").body("x");
    let copy = || S3Request::new("PUT", "/bucket/new").header("x-amz-copy-source", "/bucket/key");
    let part = || S3Request::new("PUT", &format!("/bucket/parts?partNumber=1&uploadId={id}")).body("x");
    let get = |method: &str| S3Request::new(method, "/bucket/key");
    let own = ("x-amz-server-side-encryption", "AES256");
    let kms = ("x-amz-server-side-encryption-aws-kms-key-id", "key");
    let customer = ("x-amz-server-side-encryption-customer-algorithm", "AES256");
    let of_source = ("x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256");
    for (request, (name, value)) in [
        (put(), own),
        (put(), kms),
        (put(), customer),
        (put(), ("x-amz-server-side-encryption-bucket-key-enabled", "true")),
        (copy(), own),
        (copy(), customer),
        (copy(), of_source),
        (S3Request::new("POST", "/bucket/new?uploads"), own),
        (S3Request::new("POST", "/bucket/new?uploads"), customer),
        (part(), customer),
        (get("GET"), customer),
        (S3Request::new("GET", "/bucket/key?attributes").header("x-amz-object-attributes", "ETag"), customer),
    ] {
        let answer = scene.ask(request.clone().header(name, value));
        assert_eq!((answer.status, answer.code().as_str()), (501, "NotImplemented"), "{request:?} {name}");
    }
    // An answer to HEAD has no document.
    assert_eq!(scene.ask(get("HEAD").header(customer.0, customer.1)).status, 501);
    let by_query = S3Request::new("PUT", "/bucket/new?x-amz-server-side-encryption=AES256").body("x");
    assert_eq!(scene.ask(by_query).code(), "NotImplemented");
    let rule = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
                <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
                </ServerSideEncryptionConfiguration>";
    let of_bucket = S3Request::new("PUT", "/bucket?encryption").body(rule);
    assert_eq!(scene.ask(of_bucket).code(), "NotImplemented");
    assert_eq!(scene.get("/bucket/new").code(), "NoSuchKey", "nothing of all that is there");
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
