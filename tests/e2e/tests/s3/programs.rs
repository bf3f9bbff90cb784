//! Real clients, with their default settings.

use crate::Scene;
use std::path::Path;
use std::process::Command;

const SCRIPT: &str = include_str!("boto.py");
const CLIENTS: &str = include_str!("clients.sh");
const OBJECT_STORE: &str = include_str!("object_store.py");

/// Runs a program against the scene's daemon.
fn run(scene: &Scene, program: &mut Command) -> (bool, String) {
    let output = program
        .current_dir(scene.scratch.path())
        // The machine's own settings are not the default ones.
        .env_remove("AWS_CA_BUNDLE")
        .env("ENDPOINT", format!("http://{}", scene.daemon.s3()))
        .env("AWS_ACCESS_KEY_ID", &scene.key.access_key)
        .env("AWS_SECRET_ACCESS_KEY", scene.key.secret_key.as_deref().unwrap())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn script(scene: &Scene, name: &str, text: &str) -> std::path::PathBuf {
    let file = scene.scratch.path().join(name);
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn boto3_does_what_programs_do() {
    let scene = Scene::new();
    let file = script(&scene, "boto.py", SCRIPT);
    let (done, said) = run(&scene, Command::new("python3").arg(file));
    assert!(
        !said.contains("No module named 'boto3'"),
        "python3 has no boto3: `packaging/prepare test` installs python3-boto3"
    );
    assert!(done, "{said}");
}

fn client_of_the_distribution(program: &str) {
    let found =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join(program).exists());
    assert!(found, "there is no {program}: `packaging/prepare test` installs it");
    let scene = Scene::new();
    if program == "s3fs" {
        // It makes no buckets.
        scene.put("/s3fs", "");
    }
    let file = script(&scene, "clients.sh", CLIENTS);
    let (done, said) = run(&scene, Command::new("bash").arg(file).arg(program));
    assert!(done && said.contains("done\n"), "{said}");
}

#[test]
fn the_aws_cli_does_what_people_do() {
    client_of_the_distribution("aws");
}

#[test]
fn rclone_does_what_people_do() {
    client_of_the_distribution("rclone");
}

#[test]
fn s3cmd_does_what_people_do() {
    client_of_the_distribution("s3cmd");
}

#[test]
fn s3fs_does_what_people_do() {
    client_of_the_distribution("s3fs");
}

/// The crate needs another TLS provider than ours, and is taken as its Python package, with `OBSTORE=FOLDER`.
#[test]
#[ignore = "needs a Python package of its own, run by the eleventh part of test-full"]
fn object_store_does_what_engines_do() {
    let folder = std::env::var_os("OBSTORE").expect("OBSTORE says where the Python package `obstore` is");
    assert!(Path::new(&folder).join("obstore").exists(), "no obstore in {}", folder.display());
    let scene = Scene::new();
    let file = script(&scene, "object_store.py", OBJECT_STORE);
    let (done, said) = run(&scene, Command::new("python3").arg(file).env("PYTHONPATH", folder));
    assert!(done, "{said}");
}
