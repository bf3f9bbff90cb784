//! Notifications: who asked hears of changes, by HTTP and HTTPS, also after restarts of either side, and not of what it did
//! not ask for.

use crate::Scene;
use e2e::s3_request::S3Request;
use rcgen::CertifiedKey;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A web server that takes events and hands them on; it answers with `status`.
struct Hook {
    address: SocketAddr,
    /// Its certificate, when it speaks HTTPS.
    certificate: Option<String>,
    status: Arc<AtomicU16>,
    heard: mpsc::Receiver<(String, Value)>,
}

impl Hook {
    fn new() -> Hook {
        Hook::with(None)
    }

    /// By HTTPS, with a certificate that it has signed itself.
    fn secure() -> Hook {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        Hook { certificate: Some(cert.pem()), ..Hook::with(Some(Arc::new(config))) }
    }

    fn with(tls: Option<Arc<ServerConfig>>) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(200));
        let (hear, heard) = mpsc::sync_channel(1024);
        let answer = status.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (hear, answer, tls) = (hear.clone(), answer.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &hear, &answer),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).unwrap();
                        serve(StreamOwned::new(connection, stream), &hear, &answer);
                    }
                });
            }
        });
        Hook { address, certificate: None, status, heard }
    }

    fn configuration(&self) -> String {
        let url = format!("http://{}/events?from=here", self.address);
        format!("s3.webhook = [{{ name = \"here\", url = \"{url}\", token = \"secret\" }}]")
    }

    /// As [`Self::configuration`], by HTTPS, with these authorities.
    fn configuration_with(&self, authorities: &Path) -> String {
        let ca = format!("ca = {authorities:?}, url");
        self.configuration().replace("url", &ca).replace("http:", "https:")
    }

    fn next(&self) -> Value {
        let (head, event) = self.heard.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("POST /events?from=here HTTP/1.1"), "{head}");
        assert!(head.contains("authorization: Bearer secret"), "{head}");
        event
    }

    /// The names and keys of so many events, in any order.
    fn changes(&self, count: usize) -> Vec<String> {
        let change = |event: Value| {
            let record = &event["Records"][0];
            format!(
                "{} {}",
                record["eventName"].as_str().unwrap_or_default(),
                record["s3"]["object"]["key"].as_str().unwrap_or_default()
            )
        };
        let mut changes: Vec<String> = (0..count).map(|_| change(self.next())).collect();
        changes.sort();
        changes
    }
}

fn serve<T: Read + Write>(stream: T, hear: &mpsc::SyncSender<(String, Value)>, status: &AtomicU16) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let status = status.load(Ordering::SeqCst);
        let taken = status == 200;
        let _ = write!(reader.get_mut(), "HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n");
        if taken && hear.send((head, serde_json::from_slice(&body).unwrap())).is_err() {
            return;
        }
    }
}

fn asks(events: &[&str], rules: &str) -> S3Request {
    let events: String = events.iter().map(|event| format!("<Event>{event}</Event>")).collect();
    let document = format!(
        "<NotificationConfiguration><QueueConfiguration><Id>own</Id>\
         <Queue>arn:plexus:sqs::here:webhook</Queue>{events}\
         <Filter><S3Key>{rules}</S3Key></Filter></QueueConfiguration></NotificationConfiguration>"
    );
    S3Request::new("PUT", "/bucket?notification").body(document)
}

const JPG: &str = "<FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule>\
                   <FilterRule><Name>suffix</Name><Value>.jpg</Value></FilterRule>";

#[test]
fn changes_are_told_to_who_asked() {
    let hook = Hook::new();
    let scene = Scene::with(&hook.configuration());
    scene.put("/bucket", "");
    scene.must(asks(&["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], JPG));
    let test = hook.next();
    assert_eq!((&test["Event"], &test["Bucket"]), (&"s3:TestEvent".into(), &"bucket".into()));
    let kept = scene.must(S3Request::new("GET", "/bucket?notification"));
    let kept = String::from_utf8(kept.body).unwrap();
    for part in ["<Queue>arn:plexus:sqs::here:webhook</Queue>", "<Id>own</Id>", "in/", ".jpg"] {
        assert!(kept.contains(part), "{kept}");
    }

    let put = scene.put("/bucket/in/a%20b.jpg", "content");
    let event = hook.next();
    let record = &event["Records"][0];
    assert_eq!(event["Key"], "bucket/in/a b.jpg");
    let named = ["eventVersion", "eventSource", "awsRegion", "eventName"].map(|key| record[key].clone());
    assert_eq!(named, ["2.1", "aws:s3", "us-east-1", "ObjectCreated:Put"].map(Value::from));
    assert_eq!(record["userIdentity"]["principalId"], scene.key.canonical_id);
    assert_eq!(record["requestParameters"]["sourceIPAddress"], "127.0.0.1");
    assert_eq!(record["responseElements"]["x-amz-request-id"], put.header("x-amz-request-id").unwrap());
    assert_eq!(
        (&record["s3"]["configurationId"], &record["s3"]["bucket"]["name"]),
        (&"own".into(), &"bucket".into())
    );
    let object = &record["s3"]["object"];
    assert_eq!((&object["key"], &object["size"]), (&"in/a+b.jpg".into(), &7.into()));
    assert_eq!(object["eTag"], put.header("etag").unwrap().trim_matches('"'));

    // Nobody asked for these.
    scene.put("/bucket/in/a.png", "x");
    scene.put("/bucket/out/a.jpg", "x");
    scene.must(S3Request::new("DELETE", "/bucket/in/nothing.jpg"));
    scene.must(S3Request::new("PUT", "/bucket/in/c.jpg").header("x-amz-copy-source", "/bucket/in/a.png"));
    scene.must(S3Request::new("DELETE", "/bucket/in/a%20b.jpg"));
    let delete = "<Delete><Object><Key>in/c.jpg</Key></Object><Object><Key>in/a.png</Key></Object></Delete>";
    scene.must(S3Request::new("POST", "/bucket?delete").body(delete));
    let expected =
        ["ObjectCreated:Copy in/c.jpg", "ObjectRemoved:Delete in/a+b.jpg", "ObjectRemoved:Delete in/c.jpg"];
    assert_eq!(hook.changes(3), expected);

    let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    scene.must(S3Request::new("PUT", "/bucket?versioning").body(versions));
    let put = scene.put("/bucket/in/v.jpg", "x");
    let told = hook.next();
    assert_eq!(told["Records"][0]["s3"]["object"]["versionId"], put.header("x-amz-version-id").unwrap());
    scene.must(S3Request::new("DELETE", "/bucket/in/v.jpg"));
    assert_eq!(hook.changes(1), ["ObjectRemoved:DeleteMarkerCreated in/v.jpg"]);

    // Nobody asks any more.
    let none = "<NotificationConfiguration/>";
    scene.must(S3Request::new("PUT", "/bucket?notification").body(none));
    scene.put("/bucket/in/z.jpg", "x");
    let deadline = Instant::now() + PATIENCE;
    let webhook = loop {
        let webhooks = scene.daemon.status().unwrap().webhooks;
        let [webhook] = &webhooks[..] else { panic!("{webhooks:?}") };
        if webhook.waiting == 0 {
            break webhook.clone();
        }
        assert!(Instant::now() < deadline, "{webhook:?}");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(hook.heard.try_recv().is_err(), "{webhook:?}");
    assert_eq!((webhook.name.as_str(), webhook.failed, webhook.dropped), ("here", 0, 0));
    assert_eq!(webhook.delivered, 7);
}

#[test]
fn changes_are_told_by_https_to_who_is_vouched_for() {
    let folder = tempfile::tempdir().unwrap();
    let (own, others) = (folder.path().join("own.pem"), folder.path().join("others.pem"));
    let (hook, other) = (Hook::secure(), Hook::secure());
    std::fs::write(&own, hook.certificate.as_deref().unwrap()).unwrap();
    std::fs::write(&others, other.certificate.as_deref().unwrap()).unwrap();

    let scene = Scene::with(&hook.configuration_with(&own));
    scene.put("/bucket", "");
    scene.must(asks(&["s3:ObjectCreated:*"], ""));
    assert_eq!(hook.next()["Event"], "s3:TestEvent");
    scene.put("/bucket/a", "x");
    assert_eq!(hook.changes(1), ["ObjectCreated:Put a"]);

    let scene = Scene::with(&hook.configuration_with(&others));
    scene.put("/bucket", "");
    scene.must(asks(&["s3:ObjectCreated:*"], ""));
    let deadline = Instant::now() + PATIENCE;
    while scene.daemon.status().unwrap().webhooks[0].failed == 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    let webhook = &scene.daemon.status().unwrap().webhooks[0];
    assert_eq!((webhook.delivered, webhook.waiting), (0, 1), "nobody vouches for it");
    assert!(hook.heard.try_recv().is_err());
}

#[test]
fn no_event_of_an_acknowledged_change_is_lost_by_a_kill_of_the_daemon() {
    let hook = Hook::new();
    let mut scene = Scene::with(&hook.configuration());
    scene.put("/bucket", "");
    hook.status.store(503, Ordering::SeqCst);
    scene.must(asks(&["s3:ObjectCreated:Put"], ""));
    for number in 0..20 {
        scene.put(&format!("/bucket/{number:02}"), "x");
    }
    scene.daemon.revive().unwrap();
    for number in 20..30 {
        scene.put(&format!("/bucket/{number:02}"), "x");
    }
    hook.status.store(200, Ordering::SeqCst);
    let mut heard = std::collections::BTreeSet::new();
    // The test event, and each of the changes, which may come twice.
    while heard.len() < 31 {
        heard.insert(hook.next()["Key"].as_str().unwrap_or_default().to_owned());
    }
    let expected = (0..30).map(|number| format!("bucket/{number:02}"));
    assert!(expected.into_iter().all(|key| heard.contains(&key)), "{heard:?}");
}

#[test]
fn configurations_that_nobody_could_follow_are_refused() {
    let hook = Hook::new();
    let scene = Scene::with(&hook.configuration());
    scene.put("/bucket", "");
    let code = |request: S3Request| {
        let answer = scene.ask(request);
        (answer.status, answer.code())
    };
    let invalid = (400, "InvalidArgument".to_owned());
    assert_eq!(code(asks(&["s3:ObjectRestore:*"], "")), invalid);
    let infix = "<FilterRule><Name>infix</Name><Value>x</Value></FilterRule>";
    assert_eq!(code(asks(&["s3:ObjectCreated:*"], infix)), invalid);
    for (kind, arn) in [("Queue", "arn:plexus:sqs::there:webhook"), ("Topic", "arn:aws:sns:x:1:a")] {
        let document = format!(
            "<NotificationConfiguration><{kind}Configuration><{kind}>{arn}</{kind}>\
             <Event>s3:ObjectCreated:*</Event></{kind}Configuration></NotificationConfiguration>"
        );
        assert_eq!(code(S3Request::new("PUT", "/bucket?notification").body(document)), invalid, "{kind}");
    }
    let bridge =
        "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>".to_owned();
    let bridge = S3Request::new("PUT", "/bucket?notification").body(bridge);
    assert_eq!(code(bridge), (501, "NotImplemented".to_owned()));
    let kept = scene.must(S3Request::new("GET", "/bucket?notification"));
    assert!(!String::from_utf8(kept.body).unwrap().contains("<Queue"));
}
