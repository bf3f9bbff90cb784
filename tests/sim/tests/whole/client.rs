//! A client that is alone in its directory: every answer that it gets must be the model's, and after a crash it finds
//! what it was told, and the answer that it did not get.

use crate::content::Possible;
use crate::op::{ALL, BOTH, Number, Op, WHOLE, name};
use crate::site::{Core, Files};
use bytes::Bytes;
use env::{Random, SeededRandom};
use model::Model;
use std::collections::BTreeMap;
use std::time::Duration;
use types::{Attr, Cookie, Cred, FileId, FileKind, FsError, Mode, RequestId, SetAttr};
use vfs::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Where files end at most.
const FILE_BYTES: u64 = 40_000;
/// Steps that a failure shows.
const TRACE: usize = 60;
const OPENS_MAX: usize = 3;

/// An inode, in the model and in the real one.
struct Node {
    ids: [FileId; 2],
    kind: FileKind,
    /// It was gone when a crash came: nobody is told then for how long it can still be reached.
    gone: bool,
}

struct Opened {
    ids: [OpenId; 2],
    file: Number,
}

pub(crate) struct Client {
    number: u64,
    random: SeededRandom,
    model: Model,
    nodes: Vec<Node>,
    contents: BTreeMap<Number, Possible>,
    opens: Vec<Opened>,
    /// What was asked and not answered, and whether a crash came since.
    under_way: Option<(Op, bool)>,
    sequence: u64,
    trace: Vec<String>,
    /// Of all that was asked and answered, and when.
    pub(crate) digest: u64,
    pub(crate) steps: u64,
    /// Answers that were asked for again after a crash.
    pub(crate) again: u64,
    /// Files of which a crash took what was not durable.
    pub(crate) lost: u64,
}

fn short(what: &dyn std::fmt::Debug) -> String {
    let mut text = format!("{what:?}");
    text.truncate(text.floor_char_boundary(300));
    text
}

impl Client {
    pub(crate) fn new(seed: u64, number: u64) -> Client {
        Client {
            number,
            random: SeededRandom::new(seed.wrapping_mul(31).wrapping_add(number)),
            model: Model::new(),
            nodes: Vec::new(),
            contents: BTreeMap::new(),
            opens: Vec::new(),
            under_way: None,
            sequence: 0,
            trace: Vec::new(),
            digest: seed,
            steps: 0,
            again: 0,
            lost: 0,
        }
    }

    fn differ(&self, what: &str) -> ! {
        panic!("client {}: {what}\nlast steps:\n{}", self.number, self.trace.join("\n"));
    }

    fn note(&mut self, what: String) {
        if self.trace.len() == TRACE {
            self.trace.remove(0);
        }
        self.trace.push(what);
    }

    fn ctx(&self, op: &Op) -> Ctx {
        let client = ClientId(100 + u128::from(self.number));
        let request = RequestId { client: client.0, channel: 0, sequence: self.sequence, step: 0 };
        Ctx { client, request: op.is_remembered().then_some(request), ..Ctx::new(Cred::root()) }
    }

    fn request(&self, op: &Op, side: usize) -> Request {
        let open = |n: Number| self.opens[n].ids[side];
        op.request(|n| self.nodes[n].ids[side], open)
    }

    fn content(&self, file: Number) -> Vec<u8> {
        self.contents.get(&file).map_or(Vec::new(), |content| content.now().to_vec())
    }

    /// Makes its directory in `top`, once.
    pub(crate) async fn settle_in(&mut self, core: &Core) {
        let (files, top) = (&core.files, core.top);
        if !self.nodes.is_empty() {
            return;
        }
        let (name, set) = (name(&format!("client{}", self.number)), SetAttr::default());
        let make = Mkdir { dir: top, name: name.clone(), mode: Mode(0o755), set };
        let ctx = Ctx::new(Cred::root());
        let found = match files.mkdir(&ctx, make).await {
            Ok(made) => made.attr,
            Err(FsError::Exists) => files.lookup(&ctx, Lookup { dir: top, name }).await.unwrap().attr,
            Err(error) => self.differ(&format!("no directory: {error:?}")),
        };
        self.nodes.push(Node {
            ids: [self.model.root(), found.file],
            kind: FileKind::Directory,
            gone: false,
        });
    }

    /// Goes on for ever.
    pub(crate) async fn run(&mut self, core: &Core) {
        loop {
            self.step(core).await;
            if self.random.below(8) == 0 {
                crate::commons::meddle(core, &self.random).await;
            }
            if self.random.below(4) == 0 {
                tokio::time::sleep(Duration::from_micros(self.random.below(3000))).await;
            }
        }
    }

    async fn step(&mut self, core: &Core) {
        let op = self.some_op();
        self.sequence += 1;
        self.steps += 1;
        self.under_way = Some((op, false));
        self.finish(core).await;
    }

    fn some_node(&mut self, directory: bool) -> Option<Number> {
        if directory && self.random.below(3) == 0 {
            return Some(0);
        }
        let fits = |n: &Number| {
            let node = &self.nodes[*n];
            (node.kind == FileKind::Directory) == directory && !node.gone
        };
        let all: Vec<Number> = (0..self.nodes.len()).filter(fits).collect();
        // Younger inodes are more likely to be still there.
        let back = self.random.below(all.len().min(6) as u64) as usize;
        (!all.is_empty()).then(|| all[all.len() - 1 - back])
    }

    fn some_name(&mut self) -> &'static str {
        NAMES[self.random.below(NAMES.len() as u64) as usize]
    }

    fn some_place(&mut self) -> usize {
        let at = self.random.below(FILE_BYTES) as usize;
        if self.random.below(2) == 0 { at / 4096 * 4096 } else { at }
    }

    fn some_length(&mut self) -> usize {
        1 + match self.random.below(4) {
            0 => self.random.below(16),
            1 => self.random.below(4096),
            2 => self.random.below(20_000),
            _ => 4096 * (1 + self.random.below(4)) - 1,
        } as usize
    }

    fn some_op(&mut self) -> Op {
        let dir = self.some_node(true).unwrap_or(0);
        let (one, two) = (self.some_name(), self.some_name());
        let Some(file) = self.some_node(false) else { return Op::Make(dir, one) };
        let (at, length) = (self.some_place(), self.some_length());
        match self.random.below(100) {
            0..6 => Op::Mkdir(dir, one),
            6..13 => Op::Make(dir, one),
            13..15 => Op::Symlink(dir, one),
            15..18 => Op::Link(file, dir, one),
            18..23 => Op::Unlink(dir, one),
            23..26 => Op::Rmdir(dir, one),
            26..34 => {
                let to = self.some_node(true).unwrap_or(0);
                let hows =
                    [RenameHow::Replace, RenameHow::Replace, RenameHow::NoReplace, RenameHow::Exchange];
                Op::Rename(dir, one, to, two, hows[self.random.below(4) as usize])
            }
            34..36 => Op::Mode(file, [0o644, 0o600, 0o755][self.random.below(3) as usize]),
            36..40 => Op::Size(file, at),
            40..43 => Op::SetXattr(file, ["user.a", "user.b"][at % 2], length % 2000),
            43 => Op::RemoveXattr(file, ["user.a", "user.b"][at % 2]),
            44..48 if self.opens.len() < OPENS_MAX => {
                let how = if at % 2 == 0 { CreateHow::Unchecked } else { CreateHow::Guarded };
                Op::Open(dir, one, how)
            }
            44..51 if !self.opens.is_empty() => Op::Close(at % self.opens.len()),
            44..72 => {
                let fill = 1 + self.random.below(255) as u8;
                Op::Write { file, at, fill, length, durable: self.random.below(4) == 0 }
            }
            72..76 => {
                let hows = [
                    AllocateHow::Reserve,
                    AllocateHow::ReserveKeepSize,
                    AllocateHow::Punch,
                    AllocateHow::Punch,
                    AllocateHow::Zero,
                    AllocateHow::ZeroKeepSize,
                ];
                Op::Allocate { file, at, length, how: hows[self.random.below(6) as usize] }
            }
            76..79 => {
                let to = self.some_node(false).unwrap_or(file);
                let blocks = |n: usize| n / 4096 * 4096;
                let to_at = blocks(self.some_place());
                Op::Clone { from: file, at: blocks(at), to, to_at, length: blocks(length + 4095) }
            }
            79..88 => Op::Commit(file),
            88..94 => Op::Read(file, at, length),
            94..96 => Op::Attr(file),
            96..98 => Op::Lookup(dir, one),
            _ => Op::List(dir),
        }
    }

    /// Asks until there is an answer, and compares.
    async fn finish(&mut self, core: &Core) {
        let Some((op, again)) = self.under_way.clone() else { return };
        let ctx = self.ctx(&op);
        let answer = loop {
            match self.request(&op, 1).run(&core.files, &ctx).await {
                Err(FsError::Delay | FsError::Grace) => tokio::time::sleep(Duration::from_millis(20)).await,
                answer => break answer,
            }
        };
        let expected = self.request(&op, 0).run(&self.model, &ctx).await;
        self.note(format!(
            "{} {op:?}{}: {}",
            self.sequence,
            if again { " again" } else { "" },
            short(&answer)
        ));
        self.mix(self.sequence << 32 ^ core.began.elapsed().as_nanos() as u64 ^ u64::from(answer.is_ok()));
        match (&expected, &answer) {
            (Ok(expected), Ok(answer)) => self.same(expected, answer, again),
            (Err(expected), Err(answer)) if expected == answer => {}
            _ => self.differ(&format!("{op:?} gave {}, not {}", short(&answer), short(&expected))),
        }
        self.under_way = None;
        if let (Ok(expected), Ok(answer)) = (expected, answer) {
            self.learn(&op, expected, answer);
        }
    }

    fn mix(&mut self, with: u64) {
        self.digest = (self.digest ^ with).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }

    /// What follows from a reply.
    fn learn(&mut self, op: &Op, expected: Reply, answer: Reply) {
        if let Some((file, change, durable)) = op.change(|file| self.content(file)) {
            let content = self.contents.entry(file).or_insert_with(|| Possible::only(Vec::new()));
            if durable { content.must(&change) } else { content.may(&change) }
        }
        match (op, expected, answer) {
            (Op::Commit(file), ..) => {
                self.contents.entry(*file).or_insert_with(|| Possible::only(Vec::new())).settle();
            }
            (Op::Open(..), Reply::Open(a), Reply::Open(b)) => {
                let file = self.node(&a.attr, &b.attr);
                self.opens.push(Opened { ids: [a.open, b.open], file });
            }
            (Op::Close(n), ..) => drop(self.opens.remove(*n)),
            _ => {}
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&self, a: &T, b: &T) {
        if a != b {
            self.differ(&format!("it is {}, and should be {}", short(b), short(a)));
        }
    }

    /// Compares replies; sizes are not those of before when what was written may have been lost since.
    fn same(&mut self, a: &Reply, b: &Reply, again: bool) {
        match (a, b) {
            (Reply::Lookup(a), Reply::Lookup(b)) => self.same_attr(&a.attr, &b.attr, again),
            (Reply::GetAttr(a), Reply::GetAttr(b)) | (Reply::SetAttrOf(a), Reply::SetAttrOf(b)) => {
                self.same_attr(&a.attr, &b.attr, again);
            }
            (Reply::Mkdir(a), Reply::Mkdir(b))
            | (Reply::Symlink(a), Reply::Symlink(b))
            | (Reply::Mknod(a), Reply::Mknod(b)) => self.same_attr(&a.attr, &b.attr, again),
            (Reply::Link(a), Reply::Link(b)) => self.same_attr(&a.attr, &b.attr, again),
            (Reply::Open(a), Reply::Open(b)) => {
                self.equal(&a.created, &b.created);
                self.same_attr(&a.attr, &b.attr, again);
            }
            (Reply::Read(a), Reply::Read(b)) => {
                let at = a.data.iter().zip(&b.data).position(|(a, b)| a != b);
                self.equal(&(a.data.len(), a.end, None), &(b.data.len(), b.end, at));
            }
            (Reply::ReadDir(a), Reply::ReadDir(b)) => {
                let names = |reply: &ReadDirReply| {
                    let mut names: Vec<_> = reply.entries.iter().map(|e| (e.name.clone(), e.kind)).collect();
                    names.sort();
                    names
                };
                self.equal(&names(a), &names(b));
            }
            _ => {}
        }
    }

    fn same_attr(&mut self, a: &Attr, b: &Attr, but_for_size: bool) {
        let size = |attr: &Attr| (!but_for_size).then_some(attr.size);
        let essence = |attr: &Attr| (attr.kind, attr.mode, attr.links, attr.uid, attr.gid, size(attr));
        self.equal(&essence(a), &essence(b));
        self.node(a, b);
    }

    /// The inode of these attributes; a new one when both sides do not know it.
    fn node(&mut self, a: &Attr, b: &Attr) -> Number {
        let known = self.nodes.iter().position(|node| node.ids[0] == a.file || node.ids[1] == b.file);
        let Some(n) = known else {
            self.nodes.push(Node { ids: [a.file, b.file], kind: a.kind, gone: false });
            return self.nodes.len() - 1;
        };
        self.equal(&self.nodes[n].ids, &[a.file, b.file]);
        n
    }

    /// After a crash: claims what it had open, hears what became of what it had asked, and looks at everything.
    pub(crate) async fn recover(&mut self, core: &Core) {
        let files = &core.files;
        self.note("a crash".to_owned());
        self.model.restart();
        // Whether it was closed or not, nobody claims it.
        if let Some((Op::Close(n), _)) = self.under_way {
            self.opens.remove(n);
            self.under_way = None;
        }
        for n in 0..self.opens.len() {
            self.claim(files, n).await;
        }
        match self.under_way.take() {
            Some((op, _)) if op.is_remembered() => {
                self.again += 1;
                self.under_way = Some((op, true));
                self.finish(core).await;
            }
            Some((op, _)) => {
                self.note(format!("{} {op:?}: cut off", self.sequence));
                if let Some((file, change, _)) = op.change(|file| self.content(file)) {
                    let content = self.contents.entry(file).or_insert_with(|| Possible::only(Vec::new()));
                    content.cut_off(&change);
                }
            }
            None => {}
        }
        let client = self.ctx(&Op::List(0)).client;
        files.reclaimed(&self.ctx(&Op::List(0)), Reclaimed { client }).await.unwrap();
        self.model.end_grace();
        for node in &mut self.nodes {
            let ctx = Ctx::new(Cred::root());
            node.gone |= self.model.getattr(&ctx, GetAttr { file: node.ids[0] }).await.is_err();
        }
        self.check(core).await;
    }

    /// Removes all that it has.
    pub(crate) async fn clear(&mut self, core: &Core) {
        let (files, ctx) = (&core.files, self.ctx(&Op::List(0)));
        for opened in self.opens.drain(..) {
            files.close(&ctx, Close { open: opened.ids[1] }).await.unwrap();
        }
        crate::commons::remove(core, &format!("client{}", self.number)).await;
    }

    async fn claim(&mut self, files: &Files, n: Number) {
        let ctx = self.ctx(&Op::List(0));
        let ids = self.nodes[self.opens[n].file].ids;
        let claim = |file| Open {
            target: OpenTarget::File(file),
            access: BOTH,
            deny: OpenAccess::default(),
            create: None,
            truncate: false,
            reclaim: true,
            for_execution: false,
        };
        let (a, b) = (self.model.open(&ctx, claim(ids[0])).await, files.open(&ctx, claim(ids[1])).await);
        match (a, b) {
            (Ok(a), Ok(b)) => self.opens[n].ids = [a.open, b.open],
            (a, b) => self.differ(&format!("a claim gave {}, not {}", short(&b), short(&a))),
        }
    }

    /// Compares the whole tree, and takes what was found for what is there.
    pub(crate) async fn check(&mut self, core: &Core) {
        let files = &core.files;
        let ctx = Ctx::new(Cred::root());
        let (mut left, mut seen) = (vec![0], std::collections::BTreeSet::new());
        while let Some(dir) = left.pop() {
            let list = |side: usize| {
                let dir = self.nodes[dir].ids[side];
                ReadDir { dir, after: Cookie::START, limit: 1000, attrs: true }
            };
            let (ours, theirs) = (
                self.model.readdir(&ctx, list(0)).await.unwrap(),
                files.readdir(&ctx, list(1)).await.unwrap(),
            );
            let sorted = |mut entries: Vec<DirEntry>| {
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                entries
            };
            let (ours, theirs) = (sorted(ours.entries), sorted(theirs.entries));
            let names = |all: &[DirEntry]| all.iter().map(|e| (e.name.clone(), e.kind)).collect::<Vec<_>>();
            self.equal(&names(&ours), &names(&theirs));
            for (a, b) in ours.iter().zip(&theirs) {
                let (a, b) = (a.attr.clone().unwrap(), b.attr.clone().unwrap());
                let is_file = a.kind == FileKind::File;
                self.same_attr(&a, &b, is_file);
                let node = self.node(&a, &b);
                if !seen.insert(node) {
                    continue;
                }
                match a.kind {
                    FileKind::Directory => left.push(node),
                    FileKind::File => self.check_file(files, node, b.size).await,
                    _ => {}
                }
                self.check_xattrs(files, node).await;
            }
        }
        for n in 0..self.opens.len() {
            let node = self.opens[n].file;
            if seen.insert(node) {
                let file = self.nodes[node].ids[1];
                let attr = files.getattr(&ctx, GetAttr { file }).await.unwrap().attr;
                self.check_file(files, node, attr.size).await;
            }
        }
    }

    async fn check_file(&mut self, files: &Files, node: Number, size: u64) {
        let ctx = Ctx::new(Cred::root());
        let read = Read { file: self.nodes[node].ids[1], open: None, offset: 0, length: ALL };
        let found = match files.read(&ctx, read).await {
            Ok(reply) => reply.data.to_vec(),
            Err(error) => self.differ(&format!("inode {node} cannot be read: {error:?}")),
        };
        self.equal(&size, &(found.len() as u64));
        let possible = self.contents.entry(node).or_insert_with(|| Possible::only(Vec::new()));
        if let Err(why) = possible.check(&found) {
            self.differ(&format!("inode {node}: {why}"));
        }
        if possible.is_settled() && possible.now() == found {
            return;
        }
        // Written back and not yet durable, or lost: what is there from now on must stay.
        self.lost += u64::from(possible.now() != found);
        *possible = Possible::only(found.clone());
        let file = self.nodes[node].ids[0];
        let set = SetAttr { size: Some(size), ..SetAttr::default() };
        self.model.setattr(&ctx, SetAttrOf { file, open: None, set, if_ctime: None }).await.unwrap();
        let (offset, data) = (WriteOffset::At(0), Bytes::from(found));
        if !data.is_empty() {
            let write = Write { file, open: None, offset, data, durability: Durability::File };
            self.model.write(&ctx, write).await.unwrap();
        }
        let file = self.nodes[node].ids[1];
        files.commit(&ctx, Commit { file, range: WHOLE }).await.unwrap();
    }

    async fn check_xattrs(&mut self, files: &Files, node: Number) {
        let ctx = Ctx::new(Cred::root());
        let ids = self.nodes[node].ids;
        let ours = self.model.listxattr(&ctx, ListXattr { file: ids[0] }).await.unwrap();
        let theirs = files.listxattr(&ctx, ListXattr { file: ids[1] }).await.unwrap();
        self.equal(&ours, &theirs);
        for name in ours.names {
            let get = |file| GetXattr { file, name: name.clone() };
            let value = self.model.getxattr(&ctx, get(ids[0])).await;
            self.equal(&value, &files.getxattr(&ctx, get(ids[1])).await);
        }
    }
}
