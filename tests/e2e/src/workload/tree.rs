//! What a tree is, and how it differs from what it must be.

use super::op::Op;
use super::{WorkloadError, XATTR, failed};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is under a name, for comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    File { bytes: Vec<u8>, xattr: Option<Vec<u8>>, links: u64 },
    Symlink(String),
    Folder,
}

pub(super) fn read_tree(tree: &Path) -> Result<BTreeMap<String, Seen>, WorkloadError> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = tree.join(&folder);
        for entry in fs::read_dir(&path).map_err(failed(path.display()))? {
            let entry = entry.map_err(failed(path.display()))?;
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            let path = entry.path();
            let seen = see(&path).map_err(failed(path.display()))?;
            if seen == Seen::Folder {
                folders.push(format!("{name}/"));
            }
            if found.insert(name.clone(), seen).is_some() {
                return Err(WorkloadError::Wrong(format!("{name} is listed twice")));
            }
        }
    }
    Ok(found)
}

fn see(path: &Path) -> io::Result<Seen> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        return Ok(Seen::Folder);
    }
    if meta.is_symlink() {
        return Ok(Seen::Symlink(fs::read_link(path)?.to_string_lossy().into_owned()));
    }
    let bytes = fs::read(path)?;
    if bytes.len() as u64 != meta.size() {
        return Err(io::Error::other(format!("size {} but {} bytes read", meta.size(), bytes.len())));
    }
    let mut value = [0; 256];
    let xattr = match rustix::fs::getxattr(path, XATTR, &mut value) {
        Ok(len) => Some(value[..len].to_vec()),
        Err(rustix::io::Errno::NODATA) => None,
        Err(err) => return Err(err.into()),
    };
    Ok(Seen::File { bytes, xattr, links: meta.nlink() })
}

/// How `found` differs from `expected`. A file whose data were being changed may have parts of
/// what it has in `other`.
pub(super) fn differences(
    found: &BTreeMap<String, Seen>,
    expected: &BTreeMap<String, Seen>,
    other: Option<&BTreeMap<String, Seen>>,
    in_flight: Option<&Op>,
) -> Vec<String> {
    let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let changing = in_flight.and_then(Op::data_of).and_then(|name| {
        let of = |tree: Option<&BTreeMap<String, Seen>>| match tree.and_then(|tree| tree.get(name)) {
            Some(Seen::File { bytes, .. }) => bytes.clone(),
            _ => Vec::new(),
        };
        other.map(|_| (of(Some(expected)), of(other)))
    });
    let mut differences = Vec::new();
    for name in names {
        let (seen, wanted) = (found.get(name), expected.get(name));
        let same = match (seen, wanted, &changing) {
            (
                Some(Seen::File { bytes, xattr, links }),
                Some(Seen::File { bytes: old, xattr: old_xattr, links: old_links }),
                Some((one, two)),
            ) if old == one => {
                (xattr, links) == (old_xattr, old_links) && (bytes == old || is_mixture(bytes, one, two))
            }
            _ => seen == wanted,
        };
        if !same {
            differences.push(format!("{name}: found {}, expected {}", short(seen), short(wanted)));
        }
    }
    differences
}

/// Whether each byte is of the one or the other, or a hole where one of them has nothing.
fn is_mixture(bytes: &[u8], one: &[u8], two: &[u8]) -> bool {
    let shorter = one.len().min(two.len());
    (shorter..=one.len().max(two.len())).contains(&bytes.len())
        && bytes.iter().enumerate().all(|(at, byte)| {
            Some(byte) == one.get(at) || Some(byte) == two.get(at) || (at >= shorter && *byte == 0)
        })
}

fn short(seen: Option<&Seen>) -> String {
    match seen {
        None => "nothing".to_owned(),
        Some(Seen::Folder) => "a folder".to_owned(),
        Some(Seen::Symlink(to)) => format!("a link to {to}"),
        Some(Seen::File { bytes, xattr, links }) => {
            let sum =
                bytes.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            let attribute = if xattr.is_some() { "an" } else { "no" };
            format!("{} bytes (sum {sum:x}), {links} links, {attribute} attribute", bytes.len())
        }
    }
}
