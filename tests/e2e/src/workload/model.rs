//! What a tree must be after its steps, and the step to do next.

use super::content;
use super::op::Op;
use super::tree::Seen;
use std::collections::BTreeMap;
use suites::Random;

const BYTES_MAX: u64 = 48 * 1024;
const FILE_BYTES_MAX: u64 = 256 * 1024;

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
pub(super) struct Model {
    nodes: BTreeMap<String, Node>,
    inodes: Vec<Inode>,
}

impl Model {
    pub(super) fn expected(&self) -> BTreeMap<String, Seen> {
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

    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Put { name, seed, bytes } => {
                let new = content(*seed, *bytes);
                let inode = self.inode(name);
                let kept = inode.bytes.len().max(new.len());
                inode.bytes.resize(kept, 0);
                inode.bytes[..new.len()].copy_from_slice(&new);
            }
            Op::Append { name, seed, bytes } => self.inode(name).bytes.extend(content(*seed, *bytes)),
            Op::Write { name, at, seed, bytes } => {
                let inode = self.inode(name);
                let end = (at + bytes) as usize;
                inode.bytes.resize(inode.bytes.len().max(end), 0);
                inode.bytes[*at as usize..end].copy_from_slice(&content(*seed, *bytes));
            }
            Op::Punch { name, at, bytes } => {
                let inode = self.inode(name);
                let end = inode.bytes.len().min((at + bytes) as usize);
                inode.bytes[..end].iter_mut().skip(*at as usize).for_each(|byte| *byte = 0);
            }
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
    pub(super) fn next(&self, random: &mut Random) -> Op {
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
            let op = match (random.below(24), file) {
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
                (20..=21, Some((name, len))) => {
                    // Into the file, to its end, or so far behind it that a hole is left.
                    let at = random.below(*len as u64 + BYTES_MAX).min(FILE_BYTES_MAX);
                    Op::Write { name: (*name).clone(), at, seed, bytes }
                }
                (22..=23, Some((name, len))) if *len > 0 => {
                    Op::Punch { name: (*name).clone(), at: random.below(*len as u64), bytes }
                }
                (19, _) if self.nodes.contains_key(&folder) => Op::Rmdir { name: folder },
                (19, _) => Op::Mkdir { name: folder },
                _ => continue,
            };
            return op;
        }
    }
}
