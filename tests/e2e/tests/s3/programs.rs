//! A real client: boto3, which most programs use, with its default settings.

use crate::Scene;
use std::process::Command;

const SCRIPT: &str = include_str!("boto.py");

#[test]
fn boto3_does_what_programs_do() {
    let scene = Scene::new();
    let file = scene.scratch.path().join("boto.py");
    std::fs::write(&file, SCRIPT).unwrap();
    let output = Command::new("python3")
        .arg(&file)
        .env("ENDPOINT", format!("http://{}", scene.daemon.s3()))
        .env("AWS_ACCESS_KEY_ID", &scene.key.access_key)
        .env("AWS_SECRET_ACCESS_KEY", scene.key.secret_key.as_deref().unwrap())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !said.contains("No module named 'boto3'"),
        "python3 has no boto3: `packaging/prepare test` installs python3-boto3"
    );
    assert!(output.status.success(), "{said}");
}
