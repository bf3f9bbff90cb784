//! Rules for the text of source files.

/// Lines that a source file may have.
pub const LINES_MAX: usize = 1000;
/// From here on a file likely holds two ideas.
pub const LINES_WARN: usize = 600;

/// Crates that talk to the kernel; all others forbid unsafe code.
const MAY_BE_UNSAFE: &[&str] =
    &["fs-core/drive/", "fs-core/env/", "protocols/fuse/", "appliance/plexusd/", "tests/e2e/"];

/// Folders of pure crates: time, randomness and the world come in as arguments.
const PURE_FOLDERS: &[&str] = &[
    "fs-core/types/src/",
    "fs-core/map/src/",
    "fs-core/namespace/src/",
    "locking/src/",
    "auth/access/src/",
    "auth/mechs/src/",
    "protocols/xdr/src/",
    "protocols/nfs-wire/src/",
];

/// What reaches for the world.
const WORLDLY: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "thread_rng",
    "RandomState",
    "async fn",
];

/// Complaints about one Rust file.
#[must_use]
pub fn complaints(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if !lines.first().is_some_and(|line| line.starts_with("//! ")) {
        complaints.push(format!("{path}: the first line must say (//!) why the file exists"));
    }
    if lines.len() > LINES_MAX {
        complaints.push(format!("{path}: {} lines, over {LINES_MAX}", lines.len()));
    }
    // Tests may call a library of another language, or count what is allocated.
    let may_be_unsafe =
        path.contains("/tests/") || MAY_BE_UNSAFE.iter().any(|folder| path.starts_with(folder));
    let pure = PURE_FOLDERS.iter().any(|folder| path.starts_with(folder));
    for (at, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let mut complain = |what: &str| complaints.push(format!("{path}:{}: {what}", at + 1));
        if is_unbounded(code) {
            complain("every queue is bounded");
        }
        if pure && WORLDLY.iter().any(|word| code.contains(word)) {
            complain("a pure crate touches the world");
        }
        if is_unsafe(code) && !may_be_unsafe {
            complain("unsafe code in a crate that does not talk to the kernel");
        }
        let explained = lines[at.saturating_sub(6)..=at].iter().any(|line| line.contains("SAFETY"));
        if promises(code) && !explained {
            complain("unsafe without a SAFETY line");
        }
        if code.contains(concat!("#[ign", "ore")) && !code.contains(" by the ") {
            complain("a test that nothing runs shows nothing");
        }
    }
    complaints
}

/// Channels and queues without a bound; the words are joined here so that this file has none.
fn is_unbounded(code: &str) -> bool {
    let words =
        [concat!("unbounded", "_channel("), concat!("mpsc::", "channel()"), concat!("unbounded", "()")];
    words.iter().any(|word| code.contains(word))
}

fn is_unsafe(code: &str) -> bool {
    ["{", "impl", "fn", "extern"].iter().any(|next| follows(code, next))
}

/// Unsafe code whose promises are ours to keep; a declaration passes them to its callers.
fn promises(code: &str) -> bool {
    ["{", "impl"].iter().any(|next| follows(code, next))
}

fn follows(code: &str, next: &str) -> bool {
    let words = format!("{} {next}", concat!("un", "safe"));
    let is_name = |before: char| before.is_alphanumeric() || before == '_';
    code.match_indices(&words).any(|(at, _)| !code[..at].ends_with(is_name))
}

/// Complaints about words that belong to the machine of whoever wrote a file.
#[must_use]
pub fn machine_complaints(path: &str, text: &str) -> Vec<String> {
    let words =
        [concat!("/wo", "rk/"), concat!("/var", "/tmp"), concat!("/fa", "rm/"), concat!("/ro", "ot/.")];
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in words {
            let starts = line.match_indices(word).any(|(start, _)| {
                !line[..start].ends_with(|before: char| before.is_alphanumeric() || "._-$}".contains(before))
            });
            if starts {
                complaints.push(format!("{path}:{}: a path of one machine", at + 1));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        complaints(path, text).len()
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        assert_eq!(found("a/src/x.rs", "//! Why.\nfn f() {}\n"), 0);
        assert_eq!(found("a/src/x.rs", "fn f() {}\n"), 1);
        assert_eq!(found("a/src/x.rs", &format!("//! Why.\n{}", "\n".repeat(LINES_MAX))), 1);
        assert_eq!(found("a/src/x.rs", concat!("//! Why.\nlet q = mpsc::unbounded", "_channel();\n")), 1);
        assert_eq!(found("a/src/x.rs", concat!("//! Why.\nun", "safe { f() }\n")), 2);
        assert_eq!(found("fs-core/drive/src/x.rs", concat!("//! Why.\nun", "safe { f() }\n")), 1);
        assert_eq!(
            found("fs-core/drive/src/x.rs", concat!("//! Why.\n// SAFETY: so.\nun", "safe { f() }\n")),
            0
        );
        assert_eq!(found("locking/src/x.rs", "//! Why.\nuse std::fs;\n"), 1);
        assert_eq!(found("locking/src/x.rs", "//! Why.\n// never std::fs\n"), 0);
        assert_eq!(found("a/tests/x.rs", concat!("//! Why.\n#[ign", "ore]\n")), 1);
        assert_eq!(found("a/tests/x.rs", concat!("//! Why.\n#[ign", "ore = \"slow\"]\n")), 1);
        assert_eq!(
            found("a/tests/x.rs", concat!("//! Why.\n#[ign", "ore = \"run by the test below\"]\n")),
            0
        );
        assert_eq!(found("a/tests/x.rs", concat!("//! Why.\nun", "safe { f() }\n")), 1);
        assert_eq!(found("a/src/x.rs", concat!("//! Why.\ntype F = un", "safe extern fn();\n")), 1);
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        assert_eq!(machine_complaints("x", concat!("cd /wo", "rk/x\n")).len(), 1);
        assert_eq!(machine_complaints("x", concat!("net/wo", "rk/x ${a}/wo", "rk/ ./wo", "rk/\n")).len(), 0);
        assert_eq!(machine_complaints("x", concat!("ls /var", "/tmp\n")).len(), 1);
    }
}
