//! HTTPS: the cluster's own certificate, one that was given, and another one while running.

use crate::Scene;
use e2e::free_port;
use std::path::Path;
use std::process::{Command, Output};

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl").args(["-sS", "--max-time", "30"]).args(arguments).output().unwrap()
}

/// A certificate of this name and its key, signed by itself.
fn certificate(folder: &Path, name: &str) {
    let (key, own) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(own)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn clients_trust_the_certificate_of_the_cluster() {
    let port = free_port("127.0.0.1").unwrap();
    let mut scene = Scene::with(&format!(
        "s3.tls_listen = \"127.0.0.1:{port}\"\ns3.domains = [\"localhost\", \"s3.example.org\"]"
    ));
    let own = scene.daemon.data().join("s3-certificate.pem");
    let mode = std::fs::metadata(scene.daemon.data().join("s3-certificate-key.pem")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let first = std::fs::read(&own).unwrap();
    scene.daemon.revive().unwrap();
    assert!(std::fs::read(&own).unwrap() == first, "it stays over a restart");
    let trusted = ["--cacert", own.to_str().unwrap()];
    for host in ["127.0.0.1", "localhost", "bucket.s3.example.org"] {
        let url = format!("https://{host}:{port}/");
        let resolve = format!("{host}:{port}:127.0.0.1");
        let said = curl(
            &[&trusted[..], &["--resolve", &resolve, "-o", "/dev/null", "-w", "%{http_code}", &url]].concat(),
        );
        assert_eq!(
            String::from_utf8_lossy(&said.stdout),
            if host.starts_with('b') { "404" } else { "200" },
            "{said:?}"
        );
    }
    let url = format!("https://127.0.0.1:{port}/");
    assert!(!curl(&[&url]).status.success(), "nobody else trusts it");
    assert!(!curl(&[&format!("http://127.0.0.1:{port}/")]).status.success(), "no HTTP here");

    let script = scene.scratch.path().join("https.py");
    std::fs::write(&script, include_str!("https.py")).unwrap();
    let output = Command::new("python3")
        .arg(&script)
        .env("ENDPOINT", format!("https://127.0.0.1:{port}"))
        .env("PLAIN", format!("http://{}", scene.daemon.s3()))
        .env("AWS_CA_BUNDLE", &own)
        .env("AWS_ACCESS_KEY_ID", &scene.key.access_key)
        .env("AWS_SECRET_ACCESS_KEY", scene.key.secret_key.as_deref().unwrap())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_given_certificate_is_read_again() {
    let folder = tempfile::TempDir::new().unwrap();
    certificate(folder.path(), "first");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (own, key, port) = (file("certificate.pem"), file("key.pem"), free_port("127.0.0.1").unwrap());
    let scene = Scene::with(&format!(
        "s3.tls_listen = \"127.0.0.1:{port}\"\ns3.tls_certificate = \"{own}\"\ns3.tls_key = \"{key}\""
    ));
    let works = || {
        let url = format!("https://127.0.0.1:{port}/");
        curl(&["--cacert", &own, "-o", "/dev/null", &url]).status.success()
    };
    assert!(works());
    certificate(folder.path(), "second");
    assert!(!works(), "the former is still in force");
    scene.daemon.reload().unwrap();
    let begun = std::time::Instant::now();
    while !works() {
        assert!(begun.elapsed().as_secs() < 30, "the new one is never used");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // What cannot be read changes nothing.
    let good = std::fs::read(&own).unwrap();
    std::fs::write(&own, "no certificate").unwrap();
    scene.daemon.reload().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    std::fs::write(&own, good).unwrap();
    assert!(works());
}
