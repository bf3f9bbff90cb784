//! Runs every rule over the repository.

use std::path::PathBuf;
use tidy::{docs, packages, repository, rings, sources};

fn files() -> (PathBuf, Vec<(String, String)>) {
    let root = repository::root();
    let files = repository::files(&root).unwrap_or_else(|err| panic!("{}: {err}", root.display()));
    let texts: Vec<_> = files.into_iter().filter_map(|(path, text)| text.map(|text| (path, text))).collect();
    assert!(texts.len() > 50, "only {} files under {}", texts.len(), root.display());
    (root, texts)
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn dependencies_point_down_the_rings() {
    let metadata = repository::metadata(&repository::root(), &["--no-deps"]).expect("cargo metadata");
    none(rings::complaints(&metadata));
}

#[test]
fn the_table_names_every_crate_once() {
    let metadata = repository::metadata(&repository::root(), &["--no-deps"]).expect("cargo metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    let mut members: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut named: Vec<&str> =
        rings::PLACES.iter().map(|place| place.name).chain(rings::TESTS.iter().copied()).collect();
    members.sort_unstable();
    named.sort_unstable();
    assert_eq!(members, named);
}

#[test]
fn every_package_has_a_licence_that_we_may_use() {
    let arguments = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let metadata = repository::metadata(&repository::root(), &arguments).expect("cargo metadata");
    assert!(metadata["packages"].as_array().is_some_and(|packages| packages.len() > 30));
    none(packages::licence_complaints(&metadata));
}

#[test]
fn sources_keep_the_rules() {
    let (_, files) = files();
    let sources = files.iter().filter(|(path, _)| path.ends_with(".rs"));
    for (path, text) in sources.clone() {
        let lines = text.lines().count();
        if lines > sources::LINES_WARN {
            println!("{path}: {lines} lines, wants to be two files");
        }
    }
    let rules = |(path, text): &(String, String)| {
        let mut complaints = sources::complaints(path, text);
        complaints.extend(packages::name_complaints(path));
        complaints
    };
    none(sources.flat_map(rules).collect());
}

#[test]
fn manifests_keep_the_rules() {
    let (_, files) = files();
    let manifests = files.iter().filter(|(path, _)| path.ends_with("/Cargo.toml"));
    none(manifests.flat_map(|(path, text)| packages::manifest_complaints(path, text)).collect());
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let (_, files) = files();
    none(files.iter().flat_map(|(path, text)| sources::machine_complaints(path, text)).collect());
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    let (root, files) = files();
    let pages = files.iter().filter(|(path, _)| path.ends_with(".md"));
    none(pages.flat_map(|(path, text)| docs::complaints(&root, path, text)).collect());
}
