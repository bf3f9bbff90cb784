//! Work whose every step is announced, done, made durable and acknowledged in a log elsewhere, and
//! the check that a tree has all that its log acknowledges: what a power cut is survived by.

use rustix::fs::{OFlags, XattrFlags, fsync};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use suites::Random;

const XATTR: &str = "user.plexus";
const BYTES_MAX: u64 = 48 * 1024;
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Why work or its check did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Of the tree or the log.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: String,
        /// What happened.
        source: io::Error,
    },
    /// The tree is not as the log says.
    #[error("{0}")]
    Wrong(String),
}

pub(crate) fn failed(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> WorkloadError {
    move |source| WorkloadError::Io { what: what.to_string(), source }
}

/// Work in one tree.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Where; made when missing, must be empty.
    pub tree: PathBuf,
    /// What is announced (`T`) and acknowledged (`A`), on storage that outlives the cut.
    pub log: PathBuf,
    /// Decides everything.
    pub seed: u64,
    /// Sync folders, too: for file systems whose names are not durable when acknowledged.
    pub sync_names: bool,
}

impl Workload {
    /// Works for so many steps.
    ///
    /// # Errors
    /// The first step that fails: none should.
    pub fn run(&self, steps: u64) -> Result<(), WorkloadError> {
        let mut left = steps;
        self.run_while(|| {
            let more = left > 0;
            left = left.saturating_sub(1);
            more
        })
    }

    /// Works for as long as `more` says so before a step.
    ///
    /// # Errors
    /// The first step that fails: none should.
    pub fn run_while(&self, mut more: impl FnMut() -> bool) -> Result<(), WorkloadError> {
        fs::create_dir_all(&self.tree).map_err(failed(self.tree.display()))?;
        if self.sync_names {
            let parent = self.tree.parent().unwrap_or(Path::new("/"));
            sync_folder(parent).map_err(failed(parent.display()))?;
        }
        let flags = i32::try_from(OFlags::SYNC.bits()).unwrap_or_default();
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .custom_flags(flags)
            .open(&self.log)
            .map_err(failed(self.log.display()))?;
        let mut say = |line: String| log.write_all(line.as_bytes()).map_err(failed(self.log.display()));
        let mut model = Model::default();
        let mut random = Random::new(self.seed);
        for step in 0.. {
            if !more() {
                break;
            }
            let op = model.next(&mut random);
            say(format!("T {step} {}\n", op.text()))?;
            op.perform(&self.tree, self.sync_names).map_err(failed(op.text()))?;
            model.apply(&op);
            say(format!("A {step}\n"))?;
        }
        Ok(())
    }
}

/// Compares a tree with its log: everything acknowledged is there; of a step that was announced and
/// not acknowledged, all or nothing of its names and any part of its data. Gives the number of
/// acknowledged steps.
///
/// # Errors
/// What is wrong, or cannot be read.
pub fn verify(tree: &Path, log: &Path) -> Result<u64, WorkloadError> {
    let text = fs::read(log).map_err(failed(log.display()))?;
    let text = String::from_utf8_lossy(&text);
    let (mut model, mut open, mut acknowledged) = (Model::default(), None, 0);
    // A line without an end was cut while it was written.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("T"), Some(_)) => {
                let op = Op::parse(&mut words);
                open = Some(op.ok_or_else(|| WorkloadError::Wrong(format!("the log has {line:?}")))?);
            }
            (Some("A"), Some(_)) => {
                if let Some(op) = open.take() {
                    model.apply(&op);
                    acknowledged += 1;
                }
            }
            _ => return Err(WorkloadError::Wrong(format!("the log has {line:?}"))),
        }
    }
    if !tree.exists() && acknowledged == 0 {
        return Ok(0);
    }
    let found = read_tree(tree)?;
    let before = model.expected();
    let after = open.as_ref().map(|op| {
        let mut model = model.clone();
        model.apply(op);
        model.expected()
    });
    let as_before = differences(&found, &before, after.as_ref(), open.as_ref());
    if as_before.is_empty() {
        return Ok(acknowledged);
    }
    if let Some(after) = &after
        && differences(&found, after, Some(&before), open.as_ref()).is_empty()
    {
        return Ok(acknowledged);
    }
    let in_flight = open.map_or_else(|| "none".to_owned(), |op| op.text());
    Err(WorkloadError::Wrong(format!(
        "{} is not as acknowledged ({acknowledged} steps, in flight: {in_flight}):\n  {}",
        tree.display(),
        as_before.join("\n  ")
    )))
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Op {
    /// Overwrites from the start, making the file when it is not there.
    Put {
        name: String,
        seed: u64,
        bytes: u64,
    },
    Append {
        name: String,
        seed: u64,
        bytes: u64,
    },
    Truncate {
        name: String,
        bytes: u64,
    },
    Unlink {
        name: String,
    },
    Rename {
        name: String,
        to: String,
    },
    Link {
        name: String,
        to: String,
    },
    Symlink {
        name: String,
        to: String,
    },
    Mkdir {
        name: String,
    },
    Rmdir {
        name: String,
    },
    Xattr {
        name: String,
        seed: u64,
    },
}

impl Op {
    fn text(&self) -> String {
        match self {
            Op::Put { name, seed, bytes } => format!("put {name} {seed} {bytes}"),
            Op::Append { name, seed, bytes } => format!("append {name} {seed} {bytes}"),
            Op::Truncate { name, bytes } => format!("truncate {name} {bytes}"),
            Op::Unlink { name } => format!("unlink {name}"),
            Op::Rename { name, to } => format!("rename {name} {to}"),
            Op::Link { name, to } => format!("link {name} {to}"),
            Op::Symlink { name, to } => format!("symlink {name} {to}"),
            Op::Mkdir { name } => format!("mkdir {name}"),
            Op::Rmdir { name } => format!("rmdir {name}"),
            Op::Xattr { name, seed } => format!("xattr {name} {seed}"),
        }
    }

    fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Op> {
        let kind = words.next()?;
        let name = words.next()?.to_owned();
        let mut number = || words.next()?.parse().ok();
        Some(match kind {
            "put" => Op::Put { name, seed: number()?, bytes: number()? },
            "append" => Op::Append { name, seed: number()?, bytes: number()? },
            "truncate" => Op::Truncate { name, bytes: number()? },
            "xattr" => Op::Xattr { name, seed: number()? },
            "unlink" => Op::Unlink { name },
            "mkdir" => Op::Mkdir { name },
            "rmdir" => Op::Rmdir { name },
            "rename" => Op::Rename { name, to: words.next()?.to_owned() },
            "link" => Op::Link { name, to: words.next()?.to_owned() },
            "symlink" => Op::Symlink { name, to: words.next()?.to_owned() },
            _ => return None,
        })
    }

    /// Whether data may be half there when it was cut off.
    fn data_of(&self) -> Option<&str> {
        match self {
            Op::Put { name, .. } | Op::Append { name, .. } | Op::Truncate { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Does it, and makes it durable.
    fn perform(&self, tree: &Path, sync_names: bool) -> io::Result<()> {
        let path = |name: &str| tree.join(name);
        let mut names: Vec<&str> = Vec::new();
        match self {
            Op::Put { name, seed, bytes } => {
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(path(name))?;
                file.write_all_at(&content(*seed, *bytes), 0)?;
                file.sync_all()?;
                names.push(name);
            }
            Op::Append { name, seed, bytes } => {
                let mut file = OpenOptions::new().append(true).open(path(name))?;
                file.write_all(&content(*seed, *bytes))?;
                file.sync_all()?;
            }
            Op::Truncate { name, bytes } => {
                let file = OpenOptions::new().write(true).open(path(name))?;
                file.set_len(*bytes)?;
                file.sync_all()?;
            }
            Op::Xattr { name, seed } => {
                rustix::fs::setxattr(path(name), XATTR, &content(*seed, 64), XattrFlags::empty())?;
                File::open(path(name))?.sync_all()?;
            }
            Op::Unlink { name } => {
                fs::remove_file(path(name))?;
                names.push(name);
            }
            Op::Rename { name, to } => {
                fs::rename(path(name), path(to))?;
                names.extend([name.as_str(), to]);
            }
            Op::Link { name, to } => {
                fs::hard_link(path(name), path(to))?;
                names.push(to);
            }
            Op::Symlink { name, to } => {
                symlink(to, path(name))?;
                names.push(name);
            }
            Op::Mkdir { name } => {
                fs::create_dir(path(name))?;
                names.push(name);
            }
            Op::Rmdir { name } => {
                fs::remove_dir(path(name))?;
                names.push(name);
            }
        }
        if sync_names {
            for name in names {
                sync_folder(path(name).parent().unwrap_or(tree))?;
            }
        }
        Ok(())
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    Ok(fsync(File::open(folder)?)?)
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    /// Index into the model's inodes.
    File(usize),
    Symlink(String),
    Folder,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    xattr: Option<Vec<u8>>,
}

/// What the tree must be.
#[derive(Clone, Debug, Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    inodes: Vec<Inode>,
}

/// What is under a name, for comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    File { bytes: Vec<u8>, xattr: Option<Vec<u8>>, links: u64 },
    Symlink(String),
    Folder,
}

impl Model {
    fn expected(&self) -> BTreeMap<String, Seen> {
        let links = |at: usize| self.nodes.values().filter(|node| **node == Node::File(at)).count() as u64;
        let seen = |node: &Node| match node {
            Node::File(at) => Seen::File {
                bytes: self.inodes[*at].bytes.clone(),
                xattr: self.inodes[*at].xattr.clone(),
                links: links(*at),
            },
            Node::Symlink(to) => Seen::Symlink(to.clone()),
            Node::Folder => Seen::Folder,
        };
        self.nodes.iter().map(|(name, node)| (name.clone(), seen(node))).collect()
    }

    fn inode(&mut self, name: &str) -> &mut Inode {
        let at = match self.nodes.get(name) {
            Some(Node::File(at)) => *at,
            _ => {
                self.inodes.push(Inode::default());
                self.nodes.insert(name.to_owned(), Node::File(self.inodes.len() - 1));
                self.inodes.len() - 1
            }
        };
        &mut self.inodes[at]
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put { name, seed, bytes } => {
                let new = content(*seed, *bytes);
                let inode = self.inode(name);
                let kept = inode.bytes.len().max(new.len());
                inode.bytes.resize(kept, 0);
                inode.bytes[..new.len()].copy_from_slice(&new);
            }
            Op::Append { name, seed, bytes } => self.inode(name).bytes.extend(content(*seed, *bytes)),
            Op::Truncate { name, bytes } => self.inode(name).bytes.resize(*bytes as usize, 0),
            Op::Xattr { name, seed } => self.inode(name).xattr = Some(content(*seed, 64)),
            Op::Unlink { name } | Op::Rmdir { name } => {
                self.nodes.remove(name);
            }
            Op::Rename { name, to } => {
                if let Some(node) = self.nodes.remove(name) {
                    self.nodes.insert(to.clone(), node);
                }
            }
            Op::Link { name, to } => {
                if let Some(node) = self.nodes.get(name).cloned() {
                    self.nodes.insert(to.clone(), node);
                }
            }
            Op::Symlink { name, to } => {
                self.nodes.insert(name.clone(), Node::Symlink(to.clone()));
            }
            Op::Mkdir { name } => {
                self.nodes.insert(name.clone(), Node::Folder);
            }
        }
    }

    /// A step that must succeed.
    fn next(&self, random: &mut Random) -> Op {
        for folder in ["a", "b"] {
            if !self.nodes.contains_key(folder) {
                return Op::Mkdir { name: folder.to_owned() };
            }
        }
        let files: Vec<(&String, usize)> = self
            .nodes
            .iter()
            .filter_map(|(name, node)| match node {
                Node::File(at) => Some((name, self.inodes[*at].bytes.len())),
                _ => None,
            })
            .collect();
        loop {
            let any = format!("{}n{}", ["", "a/", "b/"][random.below(3) as usize], random.below(12));
            let is_free = !self.nodes.contains_key(&any);
            let is_file = matches!(self.nodes.get(&any), Some(Node::File(_)));
            let file = (!files.is_empty()).then(|| &files[random.below(files.len() as u64) as usize]);
            let folder = format!("m{}", random.below(4));
            let (seed, bytes) = (random.next(), random.below(BYTES_MAX) + 1);
            // Every other write is small: those travel another way.
            let bytes = if random.below(2) == 0 { bytes % 4096 + 1 } else { bytes };
            let op = match (random.below(20), file) {
                (0..=6, _) if is_free || is_file => Op::Put { name: any, seed, bytes },
                (7..=9, Some((name, len))) if *len as u64 + bytes < FILE_BYTES_MAX => {
                    Op::Append { name: (*name).clone(), seed, bytes }
                }
                (10, Some((name, _))) => Op::Truncate { name: (*name).clone(), bytes },
                (11..=12, Some((name, _))) => Op::Unlink { name: (*name).clone() },
                // A rename between two names of one inode does nothing; a cut could not show.
                (13..=15, Some((name, _)))
                    if is_free || is_file && self.nodes.get(&any) != self.nodes.get(*name) =>
                {
                    Op::Rename { name: (*name).clone(), to: any }
                }
                (16, Some((name, _))) if is_free => Op::Link { name: (*name).clone(), to: any },
                (17, Some((name, _))) => Op::Xattr { name: (*name).clone(), seed },
                (18, _) if is_free => Op::Symlink { name: any, to: format!("to-{seed}") },
                (18, _) if matches!(self.nodes.get(&any), Some(Node::Symlink(_))) => Op::Unlink { name: any },
                (19, _) if self.nodes.contains_key(&folder) => Op::Rmdir { name: folder },
                (19, _) => Op::Mkdir { name: folder },
                _ => continue,
            };
            return op;
        }
    }
}

fn read_tree(tree: &Path) -> Result<BTreeMap<String, Seen>, WorkloadError> {
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
fn differences(
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

/// Bytes that no other seed gives; never zero, so that a hole is not taken for them.
pub(crate) fn content(seed: u64, bytes: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut content = Vec::with_capacity(bytes as usize + 8);
    while (content.len() as u64) < bytes {
        content.extend(random.next().to_le_bytes().map(|byte| byte.max(1)));
    }
    content.truncate(bytes as usize);
    content
}
