//! What a client may do, to inodes that it knows by number.

use crate::content::Change;
use bytes::Bytes;
use types::{ByteRange, Cookie, FileId, Mode, Name, SetAttr};
use vfs::*;

/// An inode that a client knows, or an open.
pub(crate) type Number = usize;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Mkdir(Number, &'static str),
    Make(Number, &'static str),
    Symlink(Number, &'static str),
    Link(Number, Number, &'static str),
    Unlink(Number, &'static str),
    Rmdir(Number, &'static str),
    Rename(Number, &'static str, Number, &'static str, RenameHow),
    Mode(Number, u16),
    Size(Number, usize),
    SetXattr(Number, &'static str, usize),
    RemoveXattr(Number, &'static str),
    Open(Number, &'static str, CreateHow),
    Close(Number),
    Write { file: Number, at: usize, fill: u8, length: usize, durable: bool },
    Allocate { file: Number, at: usize, length: usize, how: AllocateHow },
    Clone { from: Number, at: usize, to: Number, to_at: usize, length: usize },
    Commit(Number),
    Read(Number, usize, usize),
    Attr(Number),
    Lookup(Number, &'static str),
    List(Number),
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text.as_bytes().to_vec()).unwrap()
}

/// All of any file here.
pub(crate) const ALL: u32 = 1 << 20;
pub(crate) const WHOLE: ByteRange = ByteRange { offset: 0, end: u64::MAX };
pub(crate) const BOTH: OpenAccess = OpenAccess { read: true, write: true };

impl Op {
    /// The request, where `file` and `open` know the numbers.
    pub(crate) fn request(
        &self,
        file: impl Fn(Number) -> FileId,
        open: impl Fn(Number) -> OpenId,
    ) -> Request {
        let set = SetAttr::default();
        match *self {
            Op::Mkdir(dir, text) => Mkdir { dir: file(dir), name: name(text), mode: Mode(0o755), set }.into(),
            Op::Make(dir, text) => {
                let (name, kind, mode) = (name(text), NodeKind::File, Mode(0o644));
                Mknod { dir: file(dir), name, kind, mode, set }.into()
            }
            Op::Symlink(dir, text) => {
                Symlink { dir: file(dir), name: name(text), target: Bytes::from_static(b"to"), set }.into()
            }
            Op::Link(of, dir, text) => Link { file: file(of), dir: file(dir), name: name(text) }.into(),
            Op::Unlink(dir, text) => Unlink { dir: file(dir), name: name(text) }.into(),
            Op::Rmdir(dir, text) => Rmdir { dir: file(dir), name: name(text) }.into(),
            Op::Rename(from, from_text, to, to_text, how) => {
                let (from_dir, to_dir) = (file(from), file(to));
                Rename { from_dir, from_name: name(from_text), to_dir, to_name: name(to_text), how }.into()
            }
            Op::Mode(of, mode) => {
                let set = SetAttr { mode: Some(Mode(mode)), ..set };
                SetAttrOf { file: file(of), open: None, set, if_ctime: None }.into()
            }
            Op::Size(of, size) => {
                let set = SetAttr { size: Some(size as u64), ..set };
                SetAttrOf { file: file(of), open: None, set, if_ctime: None }.into()
            }
            Op::SetXattr(of, text, length) => {
                let (name, value) = (name(text), Bytes::from(vec![length as u8; length]));
                SetXattr { file: file(of), name, value, how: SetXattrHow::Either }.into()
            }
            Op::RemoveXattr(of, text) => RemoveXattr { file: file(of), name: name(text) }.into(),
            Op::Open(dir, text, how) => {
                let target = OpenTarget::Entry { dir: file(dir), name: name(text) };
                let create = Some(Create { how, mode: Mode(0o644), set });
                let (access, deny) = (BOTH, OpenAccess::default());
                let (truncate, reclaim, for_execution) = (false, false, false);
                Open { target, access, deny, create, truncate, reclaim, for_execution }.into()
            }
            Op::Close(n) => Close { open: open(n) }.into(),
            Op::Write { file: of, at, fill, length, durable } => {
                let (offset, data) = (WriteOffset::At(at as u64), Bytes::from(vec![fill; length]));
                let durability = if durable { Durability::File } else { Durability::Unstable };
                Write { file: file(of), open: None, offset, data, durability }.into()
            }
            Op::Allocate { file: of, at, length, how } => {
                let range = ByteRange::new(at as u64, length as u64);
                Allocate { file: file(of), open: None, range, how }.into()
            }
            Op::Clone { from, at, to, to_at, length } => CloneRange {
                from: file(from),
                from_open: None,
                from_offset: at as u64,
                to: file(to),
                to_open: None,
                to_offset: to_at as u64,
                length: length as u64,
            }
            .into(),
            Op::Commit(of) => Commit { file: file(of), range: WHOLE }.into(),
            Op::Read(of, at, length) => {
                Read { file: file(of), open: None, offset: at as u64, length: length as u32 }.into()
            }
            Op::Attr(of) => GetAttr { file: file(of) }.into(),
            Op::Lookup(dir, text) => Lookup { dir: file(dir), name: name(text) }.into(),
            Op::List(dir) => {
                ReadDir { dir: file(dir), after: Cookie::START, limit: 1000, attrs: true }.into()
            }
        }
    }

    /// Whether its first answer is remembered, so that it can be asked for again.
    pub(crate) fn is_remembered(&self) -> bool {
        matches!(
            self,
            Op::Mkdir(..)
                | Op::Make(..)
                | Op::Symlink(..)
                | Op::Link(..)
                | Op::Unlink(..)
                | Op::Rmdir(..)
                | Op::Rename(..)
                | Op::Mode(..)
                | Op::Size(..)
                | Op::SetXattr(..)
                | Op::RemoveXattr(..)
                | Op::Open(..)
        )
    }

    /// The file whose content it changes, how, and whether that is durable when it is answered. `content` tells
    /// what a file contains.
    pub(crate) fn change(&self, content: impl Fn(Number) -> Vec<u8>) -> Option<(Number, Change, bool)> {
        match *self {
            Op::Write { file, at, fill, length, durable } => {
                Some((file, Change::Write { at, fill, length }, durable))
            }
            Op::Size(file, size) => Some((file, Change::Size(size), true)),
            Op::Allocate { file, at, length, how } => {
                let change = match how {
                    AllocateHow::Reserve => Change::Reserve { to: at + length },
                    AllocateHow::ReserveKeepSize => Change::Reserve { to: 0 },
                    AllocateHow::Zero => Change::Zero { at, length },
                    AllocateHow::Punch | AllocateHow::ZeroKeepSize => Change::Clear { at, length },
                };
                Some((file, change, true))
            }
            Op::Clone { from, at, to, to_at, length } => {
                let data = content(from).get(at..at + length).unwrap_or_default().to_vec();
                Some((to, Change::Put { at: to_at, data }, true))
            }
            _ => None,
        }
    }
}
