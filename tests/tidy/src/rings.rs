//! Who may depend on whom: the table of the architecture page as data.

use serde_json::Value;
use std::collections::BTreeMap;

/// A crate's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// Its ring; it sees all lower ones.
    pub ring: u8,
    /// What it sees of its own ring.
    pub beside: &'static [&'static str],
    /// When given, it sees nothing but this, whatever the rings say.
    pub only: Option<&'static [&'static str]>,
    /// No clock, no randomness, no I/O, no async.
    pub pure: bool,
}

const fn place(name: &'static str, ring: u8, beside: &'static [&'static str]) -> Place {
    Place { name, ring, beside, only: None, pure: false }
}

const fn pure(name: &'static str, ring: u8, beside: &'static [&'static str]) -> Place {
    Place { name, ring, beside, only: None, pure: true }
}

const fn only(name: &'static str, ring: u8, only: &'static [&'static str]) -> Place {
    Place { name, ring, beside: &[], only: Some(only), pure: false }
}

/// The table (docs/architecture.md, Layers).
pub const PLACES: &[Place] = &[
    pure("types", 0, &[]),
    pure("map", 1, &[]),
    pure("locking", 1, &[]),
    pure("access", 1, &[]),
    pure("xdr", 1, &[]),
    pure("namespace", 1, &["locking", "access", "map"]),
    place("env", 1, &[]),
    place("telemetry", 1, &[]),
    place("vfs", 2, &[]),
    pure("nfs-wire", 2, &[]),
    place("serve", 2, &[]),
    pure("mechs", 2, &[]),
    place("fabric", 2, &[]),
    place("drive", 2, &[]),
    place("cluster", 3, &[]),
    place("identity", 3, &[]),
    place("metadata", 4, &[]),
    place("data", 4, &[]),
    only("fsck", 4, &["types", "map", "drive", "cluster"]),
    place("frontend", 5, &[]),
    place("remote", 5, &[]),
    only("nfs", 5, &["types", "env", "telemetry", "vfs", "xdr", "nfs-wire", "serve", "identity", "mechs"]),
    only("s3", 5, &["types", "env", "telemetry", "vfs", "serve", "identity", "mechs"]),
    only("fuse", 5, &["types", "env", "telemetry", "vfs", "serve", "identity"]),
    place("config", 6, &[]),
    place("admin", 6, &["config"]),
    place("plexusd", 6, &["config", "admin"]),
    place("plexus", 6, &["config", "admin"]),
];

/// Crates beside the rings: they see everything, nobody sees them but as a dev-dependency.
pub const TESTS: &[&str] = &["model", "suites", "sim", "tidy", "e2e", "bench", "fuzz"];

/// What a pure crate may take from the registry.
const PURE_PACKAGES: &[&str] = &["bytes", "serde", "thiserror", "postcard", "siphasher", "crc-fast"];

/// Complaints about the dependencies in `cargo metadata --no-deps`.
#[must_use]
pub fn complaints(metadata: &Value) -> Vec<String> {
    let places: BTreeMap<&str, &Place> = PLACES.iter().map(|place| (place.name, place)).collect();
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if TESTS.contains(&name) {
            continue;
        }
        let Some(place) = places.get(name) else {
            complaints.push(format!("{name} has no place in the rings"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let dev = dependency["kind"].as_str() == Some("dev");
            let ours = dependency["path"].is_string();
            if ours && !sees(place, other, dev, &places) {
                complaints.push(format!("{name} may not see {other}"));
            }
            if !ours && !dev && place.pure && !PURE_PACKAGES.contains(&other) {
                complaints.push(format!("{name} is pure and may not use {other}"));
            }
        }
    }
    complaints
}

fn sees(place: &Place, other: &str, dev: bool, places: &BTreeMap<&str, &Place>) -> bool {
    if TESTS.contains(&other) {
        return dev;
    }
    match (place.only, places.get(other)) {
        (_, None) => false,
        (Some(only), _) => only.contains(&other),
        (None, Some(other)) => other.ring < place.ring || place.beside.contains(&other.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependency: &str, kind: Option<&str>, path: Option<&str>) -> Value {
        let dependency = json!({ "name": dependency, "kind": kind, "path": path });
        json!({ "packages": [{ "name": name, "dependencies": [dependency] }] })
    }

    #[test]
    fn what_points_up_or_sideways_is_found() {
        for (name, other) in [
            ("types", "map"),
            ("nfs", "frontend"),
            ("fuse", "nfs"),
            ("metadata", "data"),
            ("fsck", "namespace"),
            ("frontend", "nfs"),
            ("access", "locking"),
            ("nfs", "metadata"),
            ("admin", "plexusd"),
            ("metadata", "model"),
            ("metadata", "unheard-of"),
        ] {
            assert_eq!(
                complaints(&package(name, other, None, Some("/x"))),
                [format!("{name} may not see {other}")]
            );
        }
        assert_eq!(
            complaints(&package("locking", "tokio", None, None)),
            ["locking is pure and may not use tokio"]
        );
        assert_eq!(
            complaints(&package("util", "types", None, Some("/x"))),
            ["util has no place in the rings"]
        );
    }

    #[test]
    fn what_points_down_is_not() {
        for (name, other, kind) in [
            ("namespace", "access", None),
            ("frontend", "vfs", None),
            ("nfs", "vfs", None),
            ("frontend", "model", Some("dev")),
            ("e2e", "plexusd", None),
        ] {
            assert_eq!(complaints(&package(name, other, kind, Some("/x"))), Vec::<String>::new());
        }
        assert_eq!(complaints(&package("locking", "proptest", Some("dev"), None)), Vec::<String>::new());
    }
}
