//! Where damaged inodes are, for people: a path to each, as far as names lead to it.

use crate::keys::{self, Key};
use crate::records::{self, Body};
use map::{MapError, OrderedMap};
use std::collections::{BTreeMap, BTreeSet};
use types::{FileId, FsId, InodeId};

/// Inodes whose path is looked for.
const PATHS_MAX: usize = 1000;
/// Levels of a path; a loop has no end.
const DEPTH_MAX: usize = 256;

/// A directory and the name in it.
type Place = (FileId, String);

/// The paths of up to 1000 of `files`; those that no name leads to have none.
pub(crate) fn paths(
    view: &dyn OrderedMap,
    files: impl Iterator<Item = FileId>,
    filesystems: &BTreeMap<FsId, String>,
) -> Result<BTreeMap<FileId, String>, MapError> {
    let wanted: BTreeSet<FileId> = files.collect::<BTreeSet<_>>().into_iter().take(PATHS_MAX).collect();
    let mut places = BTreeMap::new();
    let unnamed: BTreeSet<FileId> = wanted.iter().filter(|file| file.ino != InodeId::ROOT).copied().collect();
    if !unnamed.is_empty() {
        scan_all(view, &unnamed, &mut places)?;
    }
    let mut paths = BTreeMap::new();
    for file in wanted {
        let mut parts = Vec::new();
        let mut at = file;
        while at.ino != InodeId::ROOT && parts.len() < DEPTH_MAX {
            let place = match places.get(&at) {
                Some(place) => Some(place.clone()),
                None => in_parent(view, at)?,
            };
            let Some((dir, name)) = place else { break };
            places.insert(at, (dir, name.clone()));
            parts.push(name);
            at = dir;
        }
        if at.ino == InodeId::ROOT
            && let Some(name) = filesystems.get(&at.fs)
        {
            parts.reverse();
            paths.insert(file, format!("{name}/{}", parts.join("/")));
        }
    }
    Ok(paths)
}

/// One name of each of `wanted`, from a pass over all entries.
fn scan_all(
    view: &dyn OrderedMap,
    wanted: &BTreeSet<FileId>,
    places: &mut BTreeMap<FileId, Place>,
) -> Result<(), MapError> {
    view.scan(&[], &[0xff; 64], &mut |key, value| {
        let Some(key) = Key::parse(key).filter(|key| key.kind == keys::ENTRY) else { return true };
        let (Some((dir, _)), Ok(entry)) = (key.inode_and_number(), records::decode::<records::Entry>(value))
        else {
            return true;
        };
        let child = FileId { fs: key.fs, ino: InodeId(entry.ino) };
        if wanted.contains(&child) {
            let dir = FileId { fs: key.fs, ino: dir };
            places.entry(child).or_insert_with(|| (dir, entry.name.escape_ascii().to_string()));
        }
        true
    })
}

/// The name of a directory in the one that it calls its parent.
fn in_parent(view: &dyn OrderedMap, dir: FileId) -> Result<Option<Place>, MapError> {
    let inode = view.get(&keys::inode(dir))?.and_then(|value| records::decode::<records::Inode>(&value).ok());
    let Some(Body::Directory { parent, .. }) = inode.map(|inode| inode.body) else { return Ok(None) };
    let parent = FileId { ino: InodeId(parent), ..dir };
    let (from, to) = keys::entries(parent);
    let mut found = None;
    view.scan(&from, &to, &mut |_, value| {
        if let Ok(entry) = records::decode::<records::Entry>(value)
            && entry.ino == dir.ino.0
        {
            found = Some((parent, entry.name.escape_ascii().to_string()));
        }
        found.is_none()
    })?;
    Ok(found)
}
