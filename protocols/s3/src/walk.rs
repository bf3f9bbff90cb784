//! All paths below a directory in their byte order, from any place on, with memory for a page of each level.

use crate::error::from_fs;
use crate::files::Files;
use s3s::S3Result;
use std::collections::VecDeque;
use types::limits::READDIR_ENTRIES_MAX;
use types::{FileId, FileKind, FsError, Name};
use vfs::{List, ListEntry, Vfs};

/// Entries of a directory that are looked at together first. Each time after it is twice as many: where a page of keys is in
/// many directories, few of those are needed, and each is in another shard.
const FIRST: u32 = 32;

/// Levels below a bucket: a key has 1024 bytes.
const DEPTH_MAX: usize = 512;

/// What stands at a path.
pub(crate) struct Found {
    /// The bytes of the path; those of a directory end in a slash.
    pub(crate) path: Vec<u8>,
    pub(crate) entry: ListEntry,
}

impl Found {
    pub(crate) fn is_directory(&self) -> bool {
        self.entry.attr.kind == FileKind::Directory
    }
}

/// A walk. Directories come before what is in them.
pub(crate) struct Walk<V> {
    files: Files<V>,
    top: FileId,
    value: Option<Name>,
    page: u32,
    /// Paths that are still wanted of a page, after which another one begins.
    left: u32,
    frames: Vec<Frame>,
    /// The directory that was given last, to go down into.
    next: Option<Frame>,
}

/// One directory of the way down.
struct Frame {
    dir: FileId,
    /// Its path.
    path: Vec<u8>,
    from: Vec<u8>,
    past: bool,
    /// Entries to be looked at next.
    step: u32,
    entries: VecDeque<ListEntry>,
    end: bool,
    /// Where to begin in the directory of this name.
    into: Option<(Vec<u8>, Vec<u8>)>,
}

impl Frame {
    /// Begins with the first path that is not less than `path` and `bound`.
    fn new(dir: FileId, path: Vec<u8>, bound: &[u8]) -> Frame {
        let slash = bound.iter().position(|byte| *byte == b'/');
        let (from, into) = match slash {
            Some(slash) => {
                let rest = bound[slash + 1..].to_vec();
                (bound[..=slash].to_vec(), Some((bound[..slash].to_vec(), rest)))
            }
            None => (bound.to_vec(), None),
        };
        Frame { dir, path, from, past: false, step: FIRST, entries: VecDeque::new(), end: false, into }
    }
}

impl<V: Vfs> Walk<V> {
    /// Of all below `top`, from the first path on that is not less than `bound`. They are taken `page` at a time, or so few
    /// that no more entries of a directory should be looked at together.
    pub(crate) fn new(
        files: Files<V>,
        top: FileId,
        value: Option<Name>,
        bound: &[u8],
        page: usize,
    ) -> Walk<V> {
        let page = u32::try_from(page.clamp(1, READDIR_ENTRIES_MAX)).unwrap_or(1);
        let frames = vec![Frame::new(top, Vec::new(), bound)];
        Walk { files, top, value, page, left: page, frames, next: None }
    }

    /// Goes on with the first path that is not less than `bound`.
    pub(crate) fn seek(&mut self, bound: &[u8]) {
        self.next = None;
        self.frames = vec![Frame::new(self.top, Vec::new(), bound)];
    }

    /// Does not go down into the directory that was given last.
    pub(crate) fn skip(&mut self) {
        self.next = None;
    }

    /// The next path.
    pub(crate) async fn next(&mut self) -> S3Result<Option<Found>> {
        if let Some(frame) = self.next.take()
            && self.frames.len() < DEPTH_MAX
        {
            self.frames.push(frame);
        }
        while let Some(frame) = self.frames.last_mut() {
            let Some(entry) = frame.entries.pop_front() else {
                if frame.end {
                    self.frames.pop();
                } else {
                    // Some may not be what is wanted.
                    let most = self.page.min(self.left.max(FIRST));
                    fill(&self.files, self.value.as_ref(), most, frame).await?;
                }
                continue;
            };
            let name = entry.name.as_bytes();
            let mut path = [&frame.path[..], name].concat();
            if entry.attr.kind != FileKind::Directory {
                self.left = if self.left > 1 { self.left - 1 } else { self.page };
                return Ok(Some(Found { path, entry }));
            }
            path.push(b'/');
            let bound = match frame.into.take() {
                Some((into, rest)) if into == name => rest,
                _ => Vec::new(),
            };
            let below = Frame::new(entry.attr.file, path.clone(), &bound);
            if bound.is_empty() {
                self.next = Some(below);
                return Ok(Some(Found { path, entry }));
            }
            if self.frames.len() < DEPTH_MAX {
                self.frames.push(below);
            }
        }
        Ok(None)
    }
}

async fn fill<V: Vfs>(files: &Files<V>, value: Option<&Name>, most: u32, frame: &mut Frame) -> S3Result<()> {
    let request = List {
        dir: frame.dir,
        from: frame.from.clone().into(),
        past: frame.past,
        limit: frame.step.min(most),
        value: value.cloned(),
    };
    frame.step = frame.step.saturating_mul(2);
    match files.list(request).await {
        Ok(reply) => {
            frame.end = reply.end;
            if let Some(last) = reply.entries.last() {
                frame.from = last.name.as_bytes().to_vec();
                if last.attr.kind == FileKind::Directory {
                    frame.from.push(b'/');
                }
                frame.past = true;
            }
            frame.entries = reply.entries.into();
        }
        // It was removed meanwhile.
        Err(FsError::Stale | FsError::NotDirectory) => frame.end = true,
        Err(error) => return Err(from_fs(error)),
    }
    Ok(())
}

/// The least bytes that are more than all that begin with `prefix`; `None`: there are none.
pub(crate) fn beyond(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = prefix.to_vec();
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use model::Model;
    use std::sync::Arc;
    use types::{Cred, Mode, Retention};
    use vfs::{Put, PutIf, PutSource};

    async fn tree(keys: &[&str]) -> (Files<Model>, FileId) {
        let vfs = Arc::new(Model::new());
        let top = vfs.root();
        let files = Files::new(vfs, Cred::root());
        for key in keys {
            let mut dir = top;
            let (dirs, last) = key.rsplit_once('/').unwrap_or(("", key));
            for part in dirs.split('/').filter(|part| !part.is_empty()) {
                let name = Name::new(part.as_bytes().to_vec()).unwrap();
                dir = files.sub(dir, &name, Mode(0o755)).await.unwrap().0.file;
            }
            if last.is_empty() {
                continue;
            }
            let put = Put {
                dir,
                name: Name::new(last.as_bytes().to_vec()).unwrap(),
                source: PutSource::Content { data: Bytes::new(), mode: Mode(0o644) },
                values: Vec::new(),
                only: PutIf::Any,
                keep: None,
                retention: Retention::default(),
            };
            files.put(put).await.unwrap();
        }
        (files, top)
    }

    async fn all(files: &Files<Model>, top: FileId, bound: &str, page: usize) -> Vec<String> {
        let mut walk = Walk::new(files.clone(), top, None, bound.as_bytes(), page);
        let mut found = Vec::new();
        while let Some(next) = walk.next().await.unwrap() {
            found.push(String::from_utf8(next.path).unwrap());
        }
        found
    }

    #[tokio::test]
    async fn paths_come_in_byte_order_from_any_place_on() {
        let keys = ["a-b", "a/b", "a/c/d", "a0", "b", "e/", "z/\u{e4}/x"];
        let (files, top) = tree(&keys).await;
        let mut expected: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        expected.extend(["a/", "a/c/", "z/", "z/\u{e4}/"].map(str::to_owned));
        expected.sort();
        for page in [1, 2, 1000] {
            assert_eq!(all(&files, top, "", page).await, expected);
            let mut bounds = expected.clone();
            bounds
                .extend(["a/c/d\0", "a.", "a/bb", "zz", "z/a/b/c", "b/x/y", "a0/", "a\0"].map(str::to_owned));
            for bound in bounds {
                let rest: Vec<_> = expected.iter().filter(|path| **path >= bound).cloned().collect();
                assert_eq!(all(&files, top, &bound, page).await, rest, "from {bound:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_skipped_is_not_gone_into() {
        let (files, top) = tree(&["a/b", "a/c", "d"]).await;
        let mut walk = Walk::new(files, top, None, b"", 10);
        assert_eq!(walk.next().await.unwrap().unwrap().path, b"a/");
        walk.skip();
        assert_eq!(walk.next().await.unwrap().unwrap().path, b"d");
        walk.seek(b"a/c");
        assert_eq!(walk.next().await.unwrap().unwrap().path, b"a/c");
    }

    #[test]
    fn what_is_beyond_a_prefix_is_more_than_all_that_begin_with_it() {
        assert_eq!(beyond(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(beyond(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(beyond(b"\xff"), None);
    }
}
