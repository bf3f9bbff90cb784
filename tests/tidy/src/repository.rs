//! The files of the repository and what cargo knows of it.

use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

/// Every file that belongs to the repository: path from the root, and text where it is text. Build
/// outputs, data folders and hidden folders but `.ci`, `.cargo` and `.config` do not belong.
///
/// # Errors
/// Those of reading.
pub fn files(root: &Path) -> io::Result<Vec<(String, Option<String>)>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            let hidden = name.starts_with('.') && ![".ci", ".cargo", ".config"].contains(&name.as_str());
            if kind.is_dir() {
                let ours =
                    !hidden && !["target", "plexus-data", "node_modules", "shared"].contains(&name.as_str());
                if ours {
                    folders.push(entry.path());
                }
            } else if kind.is_file() && name != "Cargo.lock" && name != ".git" {
                let path = entry.path();
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                found.push((name, String::from_utf8(std::fs::read(&path)?).ok()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What `cargo metadata` says, without the network.
///
/// # Errors
/// When cargo cannot be run or its answer is not JSON.
pub fn metadata(root: &Path, arguments: &[&str]) -> io::Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .args(arguments)
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(io::Error::other)
}
