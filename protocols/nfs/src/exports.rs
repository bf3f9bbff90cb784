//! What is served to whom, and the pseudo directories that lead there (RFC 8881 section 7.3).

use serve::{Export, Squash};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use types::{Cred, FileId, Name};
use xdr::rpc::AuthSys;

/// Why a table cannot be served.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExportError {
    /// The path is not absolute or has parts that are no names.
    #[error("export path {0:?} is not an absolute path of plain names")]
    Path(String),
    /// One lies in the other, or both are the same.
    #[error("exports {0:?} and {1:?} overlap")]
    Overlap(String, String),
    /// Two paths have the same short form; another name helps.
    #[error("exports {0:?} and {1:?} cannot be told apart in file handles; rename one")]
    Collision(String, String),
}

/// All exports.
#[derive(Clone, Debug, Default)]
pub struct ExportTable {
    exports: Vec<Arc<Exported>>,
}

/// An export and what is known of it at run time.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) rules: Export,
    /// Short form of the path, part of file handles.
    pub(crate) id: u32,
    parts: Vec<Name>,
    root: Mutex<Option<FileId>>,
}

/// A directory on the way to exports, known by the hash of its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PseudoId(pub(crate) u64);

impl PseudoId {
    pub(crate) const ROOT: PseudoId = PseudoId(FNV_OFFSET);
}

/// What a pseudo directory looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PseudoLook {
    pub(crate) entries: u32,
    /// Another number whenever the entries, or what is behind them, are others.
    pub(crate) change: u64,
}

/// What is behind a name in a pseudo directory.
pub(crate) enum PseudoEntry {
    Directory(PseudoId),
    Export(Arc<Exported>),
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a over the parts of a path: stable for ever, since it is in file handles.
fn path_hash(parts: &[Name]) -> u64 {
    fnv(FNV_OFFSET, parts.iter().flat_map(|part| part.as_bytes().iter().chain(b"/")))
}

fn fnv<'a>(hash: u64, bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

impl ExportTable {
    /// Checks and takes the exports.
    ///
    /// # Errors
    /// [`ExportError`] says which and why.
    pub fn new(exports: Vec<Export>) -> Result<ExportTable, ExportError> {
        let mut table: Vec<Arc<Exported>> = Vec::new();
        for rules in exports {
            let parts = parts(&rules.path).ok_or_else(|| ExportError::Path(rules.path.clone()))?;
            let id = path_hash(&parts) as u32;
            for other in &table {
                let names = || (other.rules.path.clone(), rules.path.clone());
                if other.parts.starts_with(&parts) || parts.starts_with(&other.parts) {
                    let (a, b) = names();
                    return Err(ExportError::Overlap(a, b));
                }
                if other.id == id {
                    let (a, b) = names();
                    return Err(ExportError::Collision(a, b));
                }
            }
            table.push(Arc::new(Exported { rules, id, parts, root: Mutex::new(None) }));
        }
        Ok(ExportTable { exports: table })
    }

    /// The export that stands in file handles as `id`.
    pub(crate) fn by_id(&self, id: u32) -> Option<&Arc<Exported>> {
        self.exports.iter().find(|export| export.id == id)
    }

    /// The export of "/", which takes the place of the pseudo root.
    pub(crate) fn at_root(&self) -> Option<&Arc<Exported>> {
        self.exports.iter().find(|export| export.parts.is_empty())
    }

    /// The path of a pseudo directory; `None` when nothing leads through it any more.
    fn path(&self, id: PseudoId) -> Option<&[Name]> {
        if id == PseudoId::ROOT {
            return Some(&[]);
        }
        let prefixes =
            self.exports.iter().flat_map(|export| (1..export.parts.len()).map(|n| &export.parts[..n]));
        prefixes.into_iter().find(|prefix| path_hash(prefix) == id.0)
    }

    /// Whether the pseudo directory exists.
    pub(crate) fn exists(&self, id: PseudoId) -> bool {
        self.path(id).is_some()
    }

    /// The entries of a pseudo directory that `peer` may see, by name.
    pub(crate) fn entries(&self, id: PseudoId, peer: IpAddr) -> Vec<(Name, PseudoEntry)> {
        let Some(path) = self.path(id) else { return Vec::new() };
        let mut entries: Vec<(Name, PseudoEntry)> = Vec::new();
        for export in self.exports.iter().filter(|export| export.rules.shows_to(peer)) {
            let Some(rest) = export.parts.strip_prefix(path) else { continue };
            let Some(name) = rest.first() else { continue };
            if entries.iter().any(|(known, _)| known == name) {
                continue;
            }
            let entry = if rest.len() == 1 {
                PseudoEntry::Export(Arc::clone(export))
            } else {
                PseudoEntry::Directory(PseudoId(path_hash(&export.parts[..=path.len()])))
            };
            entries.push((name.clone(), entry));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries
    }

    /// What a pseudo directory looks like to `peer`.
    pub(crate) fn look(&self, id: PseudoId, peer: IpAddr) -> PseudoLook {
        let entries = self.entries(id, peer);
        let mut change = FNV_OFFSET;
        for (name, entry) in &entries {
            // Whatever is behind the same name now is another thing.
            let behind = match entry {
                PseudoEntry::Directory(_) => "",
                PseudoEntry::Export(export) => &export.rules.filesystem,
            };
            change = fnv(change, name.as_bytes().iter().chain(b"/").chain(behind.as_bytes()).chain(b"\0"));
        }
        PseudoLook { entries: u32::try_from(entries.len()).unwrap_or(u32::MAX), change }
    }

    /// The pseudo directory above this one.
    pub(crate) fn parent(&self, id: PseudoId) -> Option<PseudoId> {
        self.path(id)?.split_last().map(|(_, above)| PseudoId(path_hash(above)))
    }
}

impl Exported {
    /// The pseudo directory that the export stands in; `None` for "/".
    pub(crate) fn parent(&self) -> Option<PseudoId> {
        self.parts.split_last().map(|(_, above)| PseudoId(path_hash(above)))
    }

    /// The inode number that the export's place has in its pseudo directory.
    pub(crate) fn mounted_on(&self) -> u64 {
        path_hash(&self.parts)
    }

    /// The root directory as it was last seen.
    pub(crate) fn root(&self) -> Option<FileId> {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_root(&self, root: FileId) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(root);
    }

    /// The caller after squashing; `groups` are those that the caller is in.
    pub(crate) fn cred(&self, caller: &AuthSys, groups: impl FnOnce() -> Arc<[u32]>) -> Cred {
        let squashed = match self.rules.squash {
            Squash::None => false,
            Squash::Root => caller.uid == 0,
            Squash::All => true,
        };
        let anonymous = self.rules.anonymous;
        if squashed {
            return Cred::user(anonymous.uid, anonymous.gid);
        }
        let believed =
            |gid: u32| if gid == 0 && self.rules.squash == Squash::Root { anonymous.gid } else { gid };
        let groups = groups().iter().map(|gid| believed(*gid)).collect();
        Cred { uid: caller.uid, gid: believed(caller.gid), groups }
    }
}

/// The names in an absolute path; `None` when it is none.
fn parts(path: &str) -> Option<Vec<Name>> {
    let relative = path.strip_prefix('/')?;
    if relative.is_empty() {
        return Some(Vec::new());
    }
    relative.split('/').map(|part| Name::new(part.as_bytes().to_vec()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(path: &str) -> Export {
        Export::new(path, "default")
    }

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn pseudo_directories_lead_to_exports() {
        let table = ExportTable::new(vec![export("/default"), export("/a/b"), export("/a/c")]).unwrap();
        let root = table.entries(PseudoId::ROOT, LOCAL);
        assert_eq!(root.len(), 2);
        let PseudoEntry::Directory(a) = root[0].1 else { panic!("a is a directory") };
        assert!(matches!(root[1].1, PseudoEntry::Export(_)));
        assert_eq!(table.entries(a, LOCAL).len(), 2);
        assert_eq!(table.parent(a), Some(PseudoId::ROOT));
        assert!(table.entries(PseudoId::ROOT, "10.0.0.1".parse().unwrap()).is_empty());
        assert!(!table.exists(PseudoId(7)));
    }

    #[test]
    fn a_pseudo_directory_changes_with_what_is_in_it() {
        let look = |exports: Vec<Export>| ExportTable::new(exports).unwrap().look(PseudoId::ROOT, LOCAL);
        let other = Export { filesystem: "other".to_owned(), ..export("/a") };
        let looks = [
            look(vec![]),
            look(vec![export("/a")]),
            look(vec![export("/b")]),
            look(vec![other]),
            look(vec![export("/a/b")]),
            look(vec![export("/a"), export("/b")]),
        ];
        assert_eq!(looks.map(|look| look.entries), [0, 1, 1, 1, 1, 2]);
        for (at, one) in looks.iter().enumerate() {
            assert!(looks[at + 1..].iter().all(|other| other.change != one.change), "{at}");
        }
        assert_eq!(look(vec![export("/b"), export("/a")]), looks[5]);
    }

    #[test]
    fn bad_tables_are_refused() {
        for path in ["", "default", "/a//b", "/a/../b", "/a/"] {
            assert_eq!(ExportTable::new(vec![export(path)]).unwrap_err(), ExportError::Path(path.to_owned()));
        }
        let overlap = ExportTable::new(vec![export("/a"), export("/a/b")]);
        assert!(matches!(overlap, Err(ExportError::Overlap(_, _))));
    }

    #[test]
    fn squashing_takes_the_superuser_away() {
        let table = ExportTable::new(vec![export("/default")]).unwrap();
        let PseudoEntry::Export(export) = &table.entries(PseudoId::ROOT, LOCAL)[0].1 else { panic!() };
        let caller = |uid, gid| AuthSys {
            stamp: 0,
            machine: xdr::Opaque::default(),
            uid,
            gid,
            gids: xdr::List(vec![0, 4]),
        };
        let cred = |caller: AuthSys| export.cred(&caller, || caller.gids.iter().copied().collect());
        assert_eq!(cred(caller(0, 0)), Cred::user(65534, 65534));
        let user = cred(caller(1000, 0));
        assert_eq!((user.uid, user.gid, &user.groups[..]), (1000, 65534, &[65534, 4][..]));
    }
}
