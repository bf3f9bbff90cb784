//! Rules for the pages.

use std::path::{Component, Path, PathBuf};

/// The targets of the inline links of a page that stay in the repository, without their anchors.
#[must_use]
pub fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        for part in line.split("](").skip(1) {
            let Some((target, _)) = part.split_once(')') else { continue };
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target);
            }
        }
    }
    found
}

/// Complaints about links of the page at `path` (from the root) that lead nowhere.
#[must_use]
pub fn complaints(root: &Path, path: &str, text: &str) -> Vec<String> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    links(text)
        .into_iter()
        .filter(|target| inside(&folder.join(target)).is_none_or(|target| !root.join(target).exists()))
        .map(|target| format!("{path}: the link {target} leads nowhere"))
        .collect()
}

/// The path without `..`; `None` when it leaves the repository.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let root = crate::repository::root();
        let text =
            "[a](Cargo.toml) [b](https://example.org/x) [c](#here)\n```\n[d](no)\n```\n[e](gone.md#x)\n";
        assert_eq!(links(text), ["Cargo.toml", "gone.md"]);
        assert_eq!(complaints(&root, "README.md", text), ["README.md: the link gone.md leads nowhere"]);
        assert_eq!(complaints(&root, "docs/x.md", "[a](../Cargo.toml)"), Vec::<String>::new());
        assert_eq!(complaints(&root, "docs/x.md", "[a](../../x)").len(), 1);
    }
}
