//! One inode, whatever its kind.

use crate::content::Content;
use bytes::Bytes;
use std::collections::BTreeMap;
use types::{Attr, Cookie, Device, FileId, FileKind, Guard, InodeId, Mode, Name, Retention, Time};

/// What is special to each kind.
pub(crate) enum Body {
    File(Content),
    Directory(Directory),
    Symlink(Bytes),
    Node,
}

/// Entries by name and by cookie.
pub(crate) struct Directory {
    pub(crate) parent: InodeId,
    pub(crate) by_name: BTreeMap<Name, (Cookie, InodeId)>,
    pub(crate) by_cookie: BTreeMap<Cookie, Name>,
    next: u64,
}

impl Directory {
    pub(crate) fn new(parent: InodeId) -> Directory {
        Directory { parent, by_name: BTreeMap::new(), by_cookie: BTreeMap::new(), next: Cookie::FIRST.0 }
    }

    /// Puts an entry; one that is there keeps its cookie.
    pub(crate) fn put(&mut self, name: Name, ino: InodeId) {
        if let Some((_, old)) = self.by_name.get_mut(&name) {
            *old = ino;
            return;
        }
        let cookie = Cookie(self.next);
        self.next += 1;
        self.by_cookie.insert(cookie, name.clone());
        self.by_name.insert(name, (cookie, ino));
    }

    pub(crate) fn remove(&mut self, name: &Name) {
        if let Some((cookie, _)) = self.by_name.remove(name) {
            self.by_cookie.remove(&cookie);
        }
    }
}

/// An inode; without links and opens it is freed.
pub(crate) struct Inode {
    pub(crate) kind: FileKind,
    pub(crate) mode: Mode,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) device: Device,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    pub(crate) btime: Time,
    pub(crate) change: u64,
    pub(crate) body: Body,
    pub(crate) xattrs: BTreeMap<Name, Bytes>,
    /// Each with the `content` at which it was set.
    pub(crate) system: BTreeMap<Name, (u64, Bytes)>,
    pub(crate) content: u64,
    pub(crate) retention: Retention,
    pub(crate) guard: Guard,
    /// The verifier of the exclusive create that made it.
    pub(crate) verifier: Option<[u8; 8]>,
    /// The content as it was when last durable, while unstable writes are newer.
    pub(crate) durable: Option<Content>,
}

impl Inode {
    pub(crate) fn new(kind: FileKind, mode: Mode, uid: u32, gid: u32, body: Body, now: Time) -> Inode {
        Inode {
            kind,
            mode: Mode(mode.0 & 0o7777),
            links: if kind == FileKind::Directory { 2 } else { 1 },
            uid,
            gid,
            device: Device::default(),
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            change: 1,
            body,
            xattrs: BTreeMap::new(),
            system: BTreeMap::new(),
            content: 1,
            retention: Retention::default(),
            guard: Guard::default(),
            verifier: None,
            durable: None,
        }
    }

    pub(crate) fn attr(&self, file: FileId) -> Attr {
        let (size, used) = match &self.body {
            Body::File(content) => (content.size, content.used()),
            Body::Directory(dir) => (dir.by_name.len() as u64, 0),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Node => (0, 0),
        };
        Attr {
            file,
            kind: self.kind,
            mode: self.mode,
            links: self.links,
            uid: self.uid,
            gid: self.gid,
            device: self.device,
            size,
            used,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: self.btime,
            change: self.change,
            content: self.content,
        }
    }

    /// Attributes have changed.
    pub(crate) fn touch(&mut self, now: Time) {
        self.ctime = now;
        self.change += 1;
    }

    /// Content or entries have changed.
    pub(crate) fn touch_content(&mut self, now: Time) {
        self.mtime = now;
        self.touch(now);
        self.content = self.change;
    }
}
