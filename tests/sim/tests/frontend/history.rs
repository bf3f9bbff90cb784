//! Whether what concurrent callers were answered is what some order of their operations gives that respects time.

use std::collections::{BTreeMap, HashSet};
use types::FsError;

/// A directory that operations are done in, by its handle: 0 is the root.
pub(crate) type Dir = usize;
pub(crate) type Text = &'static str;
/// An inode, by the operation that made it; the directories that were there before come first.
pub(crate) type Entity = usize;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Mkdir(Dir, Text),
    Create(Dir, Text),
    Rmdir(Dir, Text),
    Unlink(Dir, Text),
    Rename(Dir, Text, Dir, Text),
    Exchange(Dir, Text, Dir, Text),
    /// Another name for what stands at the first.
    Link(Entity, Dir, Text),
    Lookup(Dir, Text),
    Stat(Dir),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Done,
    /// An inode, and its number of links.
    Found(Entity, u32),
    /// Links and entries of a directory.
    Directory(u32, u64),
    Failed(FsError),
}

/// When an operation began and ended, in ticks, and how.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) op: Op,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) answer: Answer,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Node {
    directory: bool,
    /// Of a directory; itself for the root.
    parent: Entity,
    links: u32,
}

/// The tree as it should be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tree {
    nodes: BTreeMap<Entity, Node>,
    names: BTreeMap<(Entity, Text), Entity>,
}

enum Expected {
    Answer(Answer),
    /// Any of these reasons.
    Failure(Vec<FsError>),
}

impl Tree {
    /// A root with directories of these names, entities 1 and so on.
    pub(crate) fn new(names: &[Text]) -> Tree {
        let node = |parent| Node { directory: true, parent, links: 2 };
        let mut tree = Tree { nodes: BTreeMap::from([(0, node(0))]), names: BTreeMap::new() };
        for (n, name) in names.iter().enumerate() {
            tree.nodes.insert(n + 1, node(0));
            tree.names.insert((0, name), n + 1);
        }
        tree.nodes.get_mut(&0).unwrap().links += names.len() as u32;
        tree
    }

    fn entries(&self, dir: Entity) -> usize {
        self.names.range((dir, "")..(dir + 1, "")).count()
    }

    fn is_above(&self, above: Entity, mut at: Entity) -> bool {
        loop {
            if at == above {
                return true;
            }
            match self.nodes.get(&at) {
                Some(node) if node.parent != at => at = node.parent,
                _ => return false,
            }
        }
    }

    fn add(&mut self, dir: Entity, name: Text, entity: Entity) {
        self.names.insert((dir, name), entity);
        if self.nodes[&entity].directory {
            self.nodes.get_mut(&entity).unwrap().parent = dir;
            self.nodes.get_mut(&dir).unwrap().links += 1;
        }
    }

    fn take(&mut self, dir: Entity, name: Text) -> Entity {
        let entity = self.names.remove(&(dir, name)).unwrap();
        if self.nodes[&entity].directory {
            self.nodes.get_mut(&dir).unwrap().links -= 1;
        }
        entity
    }

    /// The entity has lost a name.
    fn drop_link(&mut self, entity: Entity) {
        let node = self.nodes.get_mut(&entity).unwrap();
        node.links = if node.directory { 0 } else { node.links - 1 };
        if node.links == 0 {
            self.nodes.remove(&entity);
        }
    }

    /// What must come of `op`, which makes `entity` if it makes anything.
    fn apply(&mut self, op: &Op, entity: Entity) -> Expected {
        use FsError::*;
        let mut why = Vec::new();
        let dirs: &[Dir] = match op {
            Op::Rename(from, _, to, _) | Op::Exchange(from, _, to, _) => &[*from, *to],
            Op::Mkdir(dir, _) | Op::Create(dir, _) | Op::Rmdir(dir, _) | Op::Unlink(dir, _) => &[*dir],
            Op::Link(_, dir, _) | Op::Lookup(dir, _) | Op::Stat(dir) => &[*dir],
        };
        let gone = dirs.iter().any(|dir| !self.nodes.contains_key(dir));
        let at = |dir: Dir, name: Text| self.names.get(&(dir, name)).copied();
        let is_dir = |entity: Entity| self.nodes[&entity].directory;
        if gone {
            why.push(Stale);
        }
        match *op {
            Op::Mkdir(dir, name) | Op::Create(dir, name) => {
                if at(dir, name).is_some() {
                    why.push(Exists);
                }
                if why.is_empty() {
                    let directory = matches!(op, Op::Mkdir(..));
                    let node = Node { directory, parent: dir, links: 1 + u32::from(directory) };
                    self.nodes.insert(entity, node);
                    self.add(dir, name, entity);
                    return Expected::Answer(Answer::Done);
                }
            }
            Op::Rmdir(dir, name) | Op::Unlink(dir, name) => {
                let directory = matches!(op, Op::Rmdir(..));
                match at(dir, name) {
                    None => why.push(NotFound),
                    Some(found) if directory && !is_dir(found) => why.push(NotDirectory),
                    Some(found) if !directory && is_dir(found) => why.push(IsDirectory),
                    Some(found) if directory && self.entries(found) > 0 => why.push(NotEmpty),
                    Some(_) => {}
                }
                if why.is_empty() {
                    let taken = self.take(dir, name);
                    self.drop_link(taken);
                    return Expected::Answer(Answer::Done);
                }
            }
            Op::Rename(from, from_name, to, to_name) => {
                let (source, target) = (at(from, from_name), at(to, to_name));
                match source {
                    None => why.push(NotFound),
                    Some(source) => {
                        if is_dir(source) && from != to && self.is_above(source, to) {
                            why.push(Invalid);
                        }
                        if target == Some(source) && why.is_empty() {
                            return Expected::Answer(Answer::Done);
                        }
                        match target {
                            Some(target) if is_dir(target) && self.entries(target) > 0 => {
                                why.push(NotEmpty);
                                why.extend((!is_dir(source)).then_some(IsDirectory));
                            }
                            Some(target) if is_dir(source) && !is_dir(target) => why.push(NotDirectory),
                            Some(target) if !is_dir(source) && is_dir(target) => why.push(IsDirectory),
                            _ => {}
                        }
                    }
                }
                if why.is_empty() {
                    if target.is_some() {
                        let taken = self.take(to, to_name);
                        self.drop_link(taken);
                    }
                    let source = self.take(from, from_name);
                    self.add(to, to_name, source);
                    return Expected::Answer(Answer::Done);
                }
            }
            Op::Exchange(from, from_name, to, to_name) => {
                let (source, target) = (at(from, from_name), at(to, to_name));
                match (source, target) {
                    (Some(source), Some(target)) => {
                        let below = |a: Entity, b: Dir| is_dir(a) && from != to && self.is_above(a, b);
                        if below(source, to) || below(target, from) {
                            why.push(Invalid);
                        }
                        if why.is_empty() && source != target {
                            self.take(from, from_name);
                            self.take(to, to_name);
                            self.add(to, to_name, source);
                            self.add(from, from_name, target);
                        }
                    }
                    _ => why.push(NotFound),
                }
                if why.is_empty() {
                    return Expected::Answer(Answer::Done);
                }
            }
            Op::Link(entity, dir, name) => {
                match self.nodes.get(&entity) {
                    None => why.push(Stale),
                    Some(node) if node.directory => why.push(NotPermitted),
                    Some(_) => {}
                }
                if at(dir, name).is_some() {
                    why.push(Exists);
                }
                if why.is_empty() {
                    self.nodes.get_mut(&entity).unwrap().links += 1;
                    self.add(dir, name, entity);
                    return Expected::Answer(Answer::Found(entity, self.nodes[&entity].links));
                }
            }
            Op::Lookup(dir, name) => match at(dir, name) {
                None => why.push(NotFound),
                Some(found) => return Expected::Answer(Answer::Found(found, self.nodes[&found].links)),
            },
            Op::Stat(dir) => {
                if let Some(node) = self.nodes.get(&dir) {
                    return Expected::Answer(Answer::Directory(node.links, self.entries(dir) as u64));
                }
            }
        }
        Expected::Failure(why)
    }
}

/// Fails with what was tried, if no order explains the answers. `first` is the entity that the first event makes.
pub(crate) fn check(start: &Tree, events: &[Event], first: Entity) -> Result<(), String> {
    assert!(events.len() <= 64);
    let mut seen = HashSet::new();
    let mut left = vec![(start.clone(), 0u64)];
    let mut furthest = 0u64;
    while let Some((tree, done)) = left.pop() {
        if done.count_ones() as usize == events.len() {
            return Ok(());
        }
        furthest = if done.count_ones() > furthest.count_ones() { done } else { furthest };
        let open: Vec<usize> = (0..events.len()).filter(|n| done >> n & 1 == 0).collect();
        // Nothing that began after another had ended comes before it.
        let earliest_end = open.iter().map(|n| events[*n].ended).min().unwrap_or(u64::MAX);
        for n in open.into_iter().filter(|n| events[*n].began <= earliest_end) {
            let mut next = tree.clone();
            let fits = match (next.apply(&events[n].op, first + n), &events[n].answer) {
                (Expected::Answer(expected), answer) => expected == *answer,
                (Expected::Failure(why), Answer::Failed(error)) => why.contains(error),
                _ => false,
            };
            let done = done | 1 << n;
            if fits && seen.insert((next.clone(), done)) {
                left.push((next, done));
            }
        }
    }
    let stuck: Vec<&Event> =
        (0..events.len()).filter(|n| furthest >> n & 1 == 0).map(|n| &events[n]).collect();
    Err(format!("no order explains this; the furthest one is stuck at\n{stuck:#?}\nof\n{events:#?}"))
}

#[test]
fn an_impossible_history_is_told() {
    let tree = Tree::new(&["d"]);
    let event = |op, began, ended, answer| Event { op, began, ended, answer };
    let made = event(Op::Create(1, "a"), 0, 1, Answer::Done);
    let seen = event(Op::Lookup(1, "a"), 2, 3, Answer::Found(2, 1));
    let missed = event(Op::Lookup(1, "a"), 2, 3, Answer::Failed(FsError::NotFound));
    let early = event(Op::Lookup(1, "a"), 0, 3, Answer::Failed(FsError::NotFound));
    assert!(check(&tree, &[made.clone(), seen], 2).is_ok());
    assert!(check(&tree, &[made.clone(), missed], 2).is_err());
    assert!(check(&tree, &[made, early], 2).is_ok());
    let moves =
        [event(Op::Mkdir(1, "a"), 0, 1, Answer::Done), event(Op::Rename(0, "d", 2, "x"), 2, 3, Answer::Done)];
    assert!(check(&tree, &moves, 2).is_err(), "below itself");
}
