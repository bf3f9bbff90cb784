//! What is served to whom, and the pseudo directories that lead there (RFC 8881 section 7.3).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use types::{Cred, FileId, Name};
use xdr::rpc::AuthSys;

/// A set of addresses: those that share the first `prefix` bits with `address`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Whose user ids are not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Squash {
    /// Nobody's.
    None,
    /// The superuser's.
    Root,
    /// Everybody's.
    All,
}

/// A filesystem under a path, and for whom.
#[derive(Clone, Debug)]
pub struct Export {
    /// Where clients find it: absolute, without `.`, `..` and doubled slashes.
    pub path: String,
    /// The filesystem's name in the cluster.
    pub filesystem: String,
    /// Who may come; nobody when empty.
    pub clients: Vec<Network>,
    /// Whose user ids are not believed.
    pub squash: Squash,
    /// User and group of those who are squashed.
    pub anonymous: (u32, u32),
    /// Whether changes are refused.
    pub read_only: bool,
    /// Whether only ports below 1024 may come.
    pub privileged_port: bool,
}

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
    /// Not `ADDRESS` or `ADDRESS/BITS`.
    #[error("{0:?} is not an address or ADDRESS/BITS")]
    Network(String),
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

/// What is behind a name in a pseudo directory.
pub(crate) enum PseudoEntry {
    Directory(PseudoId),
    Export(Arc<Exported>),
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a over the parts of a path: stable for ever, since it is in file handles.
fn path_hash(parts: &[Name]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.as_bytes().iter().chain(b"/"));
    bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS`.
    ///
    /// # Errors
    /// [`ExportError::Network`].
    pub fn parse(text: &str) -> Result<Network, ExportError> {
        let wrong = || ExportError::Network(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| wrong())?;
        if prefix > bits { Err(wrong()) } else { Ok(Network { address, prefix }) }
    }

    /// Whether `peer` is in the set. IPv4 addresses in IPv6 clothes count as IPv4.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, peer.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let differ = u32::from(a) ^ u32::from(b);
                differ.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let differ = u128::from(a) ^ u128::from(b);
                differ.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
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
        for export in self.exports.iter().filter(|export| export.admits(peer)) {
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

    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        self.rules.clients.iter().any(|network| network.contains(peer))
    }

    /// The root directory as it was last seen.
    pub(crate) fn root(&self) -> Option<FileId> {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_root(&self, root: FileId) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(root);
    }

    /// The caller after squashing.
    pub(crate) fn cred(&self, caller: &AuthSys) -> Cred {
        let squashed = match self.rules.squash {
            Squash::None => false,
            Squash::Root => caller.uid == 0,
            Squash::All => true,
        };
        if squashed {
            return Cred::user(self.rules.anonymous.0, self.rules.anonymous.1);
        }
        let believed = |gid: u32| {
            if gid == 0 && self.rules.squash == Squash::Root { self.rules.anonymous.1 } else { gid }
        };
        let groups = caller.gids.iter().map(|gid| believed(*gid)).collect();
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
        Export {
            path: path.to_owned(),
            filesystem: "default".to_owned(),
            clients: vec![Network::parse("127.0.0.0/8").unwrap()],
            squash: Squash::Root,
            anonymous: (65534, 65534),
            read_only: false,
            privileged_port: false,
        }
    }

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn networks_are_matched_by_their_prefix() {
        let network = Network::parse("10.1.0.0/16").unwrap();
        assert!(network.contains("10.1.255.1".parse().unwrap()));
        assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("1.2.3.4".parse().unwrap()));
        assert!(!Network::parse("::/0").unwrap().contains("1.2.3.4".parse().unwrap()));
        for wrong in ["10.0.0.0/33", "host", "10.0.0.0/", "::1/129"] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

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
        assert_eq!(export.cred(&caller(0, 0)), Cred::user(65534, 65534));
        let user = export.cred(&caller(1000, 0));
        assert_eq!((user.uid, user.gid, &user.groups[..]), (1000, 65534, &[65534, 4][..]));
    }
}
