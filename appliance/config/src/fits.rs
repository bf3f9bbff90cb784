//! What names and paths in options look like.

const FILESYSTEM_NAME_BYTES_MAX: usize = 64;
/// Entries of a list.
pub(crate) const LIST_MAX: usize = 1024;

/// Whether a filesystem can have this name.
pub(crate) fn is_filesystem_name(name: &str) -> bool {
    (1..=FILESYSTEM_NAME_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Whether a webhook can have this name, which stands in ARNs.
pub(crate) fn is_webhook_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether `path` can be a mount path: absolute, not the root, no `.`, `..`, empty or overlong part.
pub(crate) fn is_mount_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let part = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.len() <= types::limits::NAME_BYTES_MAX
    };
    path.len() <= 1024 && !path.contains(|c: char| c.is_control()) && rest.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_paths_are_plain() {
        assert!(is_mount_path("/default") && is_mount_path("/a/b"));
        for path in ["", "/", "a", "/a/", "/a//b", "/./a", "/a/..", "/a\n"] {
            assert!(!is_mount_path(path), "{path:?}");
        }
    }
}
