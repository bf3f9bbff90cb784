//! What every package of ours must say of itself, and the licences of those of others.

use serde_json::Value;

/// Licences under which a package can be part of the product.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "NCSA",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
];

/// Names under which things without a noun collect.
const NOUNLESS: &[&str] = &["util", "utils", "common", "helpers", "helper", "misc"];

/// Complaints about the manifest of one of our crates.
#[must_use]
pub fn manifest_complaints(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for line in ["license.workspace = true", "edition.workspace = true", "[lints]\nworkspace = true"] {
        if !text.contains(line) {
            complaints.push(format!("{path} lacks {line:?}"));
        }
    }
    complaints
}

/// Complaints about names of crates and modules: `path` from the root.
#[must_use]
pub fn name_complaints(path: &str) -> Vec<String> {
    let nounless = path
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .any(|part| NOUNLESS.contains(&part));
    let mut complaints = Vec::new();
    if nounless && path.ends_with(".rs") {
        complaints.push(format!("{path}: name it after what it holds"));
    }
    if path.ends_with("/mod.rs") {
        complaints.push(format!("{path}: write foo.rs beside foo/"));
    }
    complaints
}

/// Complaints about licences in `cargo metadata`: an expression is good when one way to satisfy it is.
#[must_use]
pub fn licence_complaints(metadata: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_free(licence) {
            complaints.push(format!("{name} has the licence {licence}"));
        }
    }
    complaints
}

/// `OR` binds weaker than `AND`; crates also write `/` for `OR`.
fn is_free(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let text = expression.trim();
    if let Some(whole) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'))
        && !whole.contains(['(', ')'])
    {
        return is_free(whole);
    }
    let either = split_outside(text, " OR ");
    if either.len() > 1 {
        return either.into_iter().any(is_free);
    }
    let both = split_outside(text, " AND ");
    if both.len() > 1 {
        return both.into_iter().all(is_free);
    }
    LICENCES.contains(&text)
}

fn split_outside<'a>(text: &'a str, by: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0i32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(by) => {
                parts.push(text[start..at].trim());
                start = at + by.len();
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions_are_understood() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(is_free(good), "{good}");
        }
        for bad in ["none", "GPL-2.0", "MPL-2.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-2.0", ""] {
            assert!(!is_free(bad), "{bad}");
        }
    }

    #[test]
    fn bad_names_and_manifests_are_found() {
        assert_eq!(name_complaints("fs-core/util/src/lib.rs").len(), 1);
        assert_eq!(name_complaints("fs-core/data/src/helpers.rs").len(), 1);
        assert_eq!(name_complaints("fs-core/data/src/stripe/mod.rs").len(), 1);
        assert_eq!(name_complaints("fs-core/data/src/stripe.rs").len(), 0);
        assert_eq!(manifest_complaints("x/Cargo.toml", "[package]\n").len(), 3);
    }
}
