//! Two file systems, the same random operations, the first difference.

use crate::desk::name;
use crate::random::Random;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use types::{
    AccessMask, Attr, ByteRange, Cookie, Cred, Device, FileId, FileKind, FsError, Mode, SetAttr, SetTime,
    Time,
};
use vfs::*;

/// Steps that a failure shows.
const TRACE: usize = 40;
/// Opens held at once.
const OPENS_MAX: usize = 12;
/// Range in which offsets fall.
const FILE_BYTES: u64 = 200_000;

/// One inode in both file systems, with the change attributes last seen.
#[derive(Clone, Copy)]
struct Both {
    files: [FileId; 2],
    changes: [u64; 2],
}

struct Opened {
    ids: [OpenId; 2],
    file: usize,
}

/// What the two are held to.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Change attributes move together. Not so where unstable writes are written again after a crash.
    pub changes_together: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { changes_together: true }
    }
}

struct Comparison<'a, A, B> {
    a: &'a A,
    b: &'a B,
    random: Random,
    files: Vec<Both>,
    opens: Vec<Opened>,
    trace: VecDeque<String>,
    seed: u64,
    rules: Rules,
}

/// Makes `steps` random operations, chosen by `seed`, in both file systems, which are empty below their
/// roots, and compares every reply; every 200 steps and at the end also both trees with their content.
///
/// Times, identities and the bytes in use are not compared, nor where exactly a hole begins (any answer
/// that no byte contradicts is right).
///
/// # Panics
/// At the first difference, with the seed and the last steps.
pub async fn compare<A: Vfs, B: Vfs>(model: (&A, FileId), other: (&B, FileId), seed: u64, steps: u64) {
    compare_by(model, other, seed, steps, Rules::default()).await;
}

/// As [`compare`], by other rules.
///
/// # Panics
/// As [`compare`].
pub async fn compare_by<A: Vfs, B: Vfs>(
    model: (&A, FileId),
    other: (&B, FileId),
    seed: u64,
    steps: u64,
    rules: Rules,
) {
    let files = vec![Both { files: [model.1, other.1], changes: [0, 0] }];
    let trace = VecDeque::new();
    let (random, opens) = (Random::new(seed), vec![]);
    let mut comparison = Comparison { a: model.0, b: other.0, random, files, opens, trace, seed, rules };
    // Three users take part, so that the root lets all of them in.
    let set = SetAttr { mode: Some(Mode(0o777)), ..SetAttr::default() };
    let ctx = Ctx::new(Cred::root());
    comparison
        .both(&ctx, |c, side| {
            Request::from(SetAttrOf { file: c.file(0, side), open: None, set: set.clone(), if_ctime: None })
        })
        .await;
    for step in 1..=steps {
        comparison.step().await;
        if step % 200 == 0 || step == steps {
            comparison.trees().await;
        }
    }
}

impl<A: Vfs, B: Vfs> Comparison<'_, A, B> {
    fn file(&self, index: usize, side: usize) -> FileId {
        self.files[index].files[side]
    }

    fn differ(&self, what: &str) -> ! {
        let trace: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        panic!("seed {}: {what}\nlast steps:\n{}", self.seed, trace.join("\n"));
    }

    /// Runs the request that `make` gives for each side, and compares the replies.
    async fn both(&mut self, ctx: &Ctx, make: impl Fn(&Self, usize) -> Request) -> Option<(Reply, Reply)> {
        let requests = [make(self, 0), make(self, 1)];
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        let mut text = format!("uid {}: {:?}", ctx.cred.uid, requests[0]);
        text.truncate(text.floor_char_boundary(600));
        self.trace.push_back(text);
        let [first, second] = requests;
        let (a, b) = (first.run(self.a, ctx).await, second.run(self.b, ctx).await);
        match (a, b) {
            (Ok(a), Ok(b)) => {
                self.same(&a, &b);
                Some((a, b))
            }
            (Err(a), Err(b)) if a == b => None,
            (a, b) => {
                let short = |result: FsResult<Reply>| {
                    let mut text = format!("{result:?}");
                    text.truncate(text.floor_char_boundary(600));
                    text
                };
                self.differ(&format!("the model says {}, the other {}", short(a), short(b)))
            }
        }
    }

    /// Compares replies as far as both must agree.
    fn same(&mut self, a: &Reply, b: &Reply) {
        match (a, b) {
            (Reply::Lookup(a), Reply::Lookup(b)) | (Reply::LookupParent(a), Reply::LookupParent(b)) => {
                self.same_attr(&a.attr, &b.attr);
            }
            (Reply::GetAttr(a), Reply::GetAttr(b)) | (Reply::SetAttrOf(a), Reply::SetAttrOf(b)) => {
                self.same_attr(&a.attr, &b.attr);
            }
            (Reply::Access(a), Reply::Access(b)) => {
                if a.granted != b.granted {
                    self.differ(&format!("granted {:?} and {:?}", a.granted, b.granted));
                }
                self.same_attr(&a.attr, &b.attr);
            }
            (Reply::Mkdir(a), Reply::Mkdir(b))
            | (Reply::Symlink(a), Reply::Symlink(b))
            | (Reply::Mknod(a), Reply::Mknod(b)) => {
                self.same_attr(&a.attr, &b.attr);
                self.same_dir_change(a.dir, b.dir);
            }
            (Reply::Link(a), Reply::Link(b)) => {
                self.same_attr(&a.attr, &b.attr);
                self.same_dir_change(a.dir, b.dir);
            }
            (Reply::Unlink(a), Reply::Unlink(b)) | (Reply::Rmdir(a), Reply::Rmdir(b)) => {
                self.same_dir_change(a.dir, b.dir);
            }
            (Reply::Rename(a), Reply::Rename(b)) => {
                self.same_dir_change(a.from_dir, b.from_dir);
                self.same_dir_change(a.to_dir, b.to_dir);
            }
            (Reply::Open(a), Reply::Open(b)) => {
                if a.created != b.created {
                    self.differ(&format!("created {} and {}", a.created, b.created));
                }
                self.same_attr(&a.attr, &b.attr);
            }
            (Reply::Read(a), Reply::Read(b)) if a != b => {
                let at = a.data.iter().zip(&b.data).position(|(a, b)| a != b);
                let (a_len, b_len) = (a.data.len(), b.data.len());
                self.differ(&format!("read {a_len} and {b_len} bytes, first difference at {at:?}"));
            }
            (Reply::Write(a), Reply::Write(b)) => self.equal(&a.offset, &b.offset),
            (Reply::ReadLink(a), Reply::ReadLink(b)) => self.equal(a, b),
            (Reply::GetXattr(a), Reply::GetXattr(b)) => self.equal(a, b),
            (Reply::ListXattr(a), Reply::ListXattr(b)) => self.equal(a, b),
            (Reply::TestLock(a), Reply::TestLock(b)) => self.equal(a, b),
            _ => {}
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&self, a: &T, b: &T) {
        if a != b {
            self.differ(&format!("the model says {a:?}, the other {b:?}"));
        }
    }

    fn same_dir_change(&self, a: DirChange, b: DirChange) {
        if (a.after > a.before) != (b.after > b.before) {
            self.differ(&format!("the directory changed {a:?} and {b:?}"));
        }
    }

    /// Compares attributes and remembers the pair of identities; gives its place in the table.
    fn same_attr(&mut self, a: &Attr, b: &Attr) -> usize {
        let essence =
            |attr: &Attr| (attr.kind, attr.mode, attr.links, attr.uid, attr.gid, attr.device, attr.size);
        if essence(a) != essence(b) {
            self.differ(&format!("attributes\n{a:?}\n{b:?}"));
        }
        let known = self.files.iter().position(|both| both.files[0] == a.file || both.files[1] == b.file);
        let Some(index) = known else {
            self.files.push(Both { files: [a.file, b.file], changes: [a.change, b.change] });
            return self.files.len() - 1;
        };
        let both = self.files[index];
        if both.files != [a.file, b.file] {
            self.differ(&format!("{} and {} are not the same inode as before", a.file, b.file));
        }
        let moved = [a.change > both.changes[0], b.change > both.changes[1]];
        if self.rules.changes_together && moved[0] != moved[1] && both.changes != [0, 0] {
            self.differ(&format!("the change attribute of {} moved: {moved:?}", a.file));
        }
        if b.change < both.changes[1] {
            self.differ(&format!("the change attribute of {} fell", b.file));
        }
        self.files[index].changes = [a.change, b.change];
        index
    }

    fn some_file(&mut self) -> usize {
        // Younger inodes are more likely to be still there.
        let all = self.files.len() as u64;
        if self.random.chance(15) {
            return 0;
        }
        let back = self.random.below(all.min(24));
        (all - 1 - back) as usize
    }

    fn some_name(&mut self) -> String {
        self.random.pick(&["a", "b", "c", "d", "e", "f", "g"]).to_string()
    }

    fn some_cred(&mut self) -> Cred {
        match self.random.below(6) {
            0 => Cred::user(1000, 1000),
            1 => Cred { uid: 1001, gid: 1001, groups: Arc::from([1000, 50]) },
            _ => Cred::root(),
        }
    }

    fn some_mode(&mut self) -> Mode {
        Mode(self.random.pick(&[0o777, 0o755, 0o644, 0o600, 0o1777, 0o2775, 0o4755, 0o000, 0o070]))
    }

    fn some_offset(&mut self) -> u64 {
        let offset = self.random.below(FILE_BYTES);
        if self.random.chance(50) { offset / 4096 * 4096 } else { offset }
    }

    fn some_length(&mut self) -> u64 {
        1 + match self.random.below(4) {
            0 => self.random.below(16),
            1 => self.random.below(4096),
            2 => self.random.below(20_000),
            _ => 4096 * (1 + self.random.below(8)) - 1,
        }
    }

    fn some_open(&mut self) -> Option<usize> {
        let all = self.opens.len() as u64;
        (all > 0 && self.random.chance(70)).then(|| self.random.below(all) as usize)
    }

    async fn step(&mut self) {
        let ctx = Ctx::new(self.some_cred());
        match self.random.below(100) {
            0..30 => self.step_names(&ctx).await,
            30..45 => self.step_attrs(&ctx).await,
            45..80 => self.step_data(&ctx).await,
            80..90 => self.step_opens(&ctx).await,
            _ => self.step_xattrs_and_locks(&ctx).await,
        }
    }

    async fn step_names(&mut self, ctx: &Ctx) {
        let (dir, other) = (self.some_file(), self.some_file());
        let (one, two) = (name(&self.some_name()), name(&self.some_name()));
        let mode = self.some_mode();
        let how = self.random.pick(&[
            RenameHow::Replace,
            RenameHow::Replace,
            RenameHow::NoReplace,
            RenameHow::Exchange,
        ]);
        let set = SetAttr::default();
        match self.random.below(12) {
            0 | 1 => {
                self.both(ctx, |c, side| {
                    let (name, set) = (one.clone(), set.clone());
                    Mkdir { dir: c.file(dir, side), name, mode, set }.into()
                })
                .await;
            }
            2 => {
                let kind = self.random.pick(&[
                    NodeKind::File,
                    NodeKind::File,
                    NodeKind::Fifo,
                    NodeKind::BlockDevice(Device { major: 8, minor: 1 }),
                ]);
                self.both(ctx, |c, side| {
                    let (name, set) = (one.clone(), set.clone());
                    Mknod { dir: c.file(dir, side), name, kind, mode, set }.into()
                })
                .await;
            }
            3 => {
                self.both(ctx, |c, side| {
                    let (name, set) = (one.clone(), set.clone());
                    let target = Bytes::from_static(b"target");
                    Symlink { dir: c.file(dir, side), name, target, set }.into()
                })
                .await;
            }
            4 => {
                self.both(ctx, |c, side| {
                    Link { file: c.file(other, side), dir: c.file(dir, side), name: one.clone() }.into()
                })
                .await;
            }
            5 => {
                self.both(ctx, |c, side| Unlink { dir: c.file(dir, side), name: one.clone() }.into()).await;
            }
            6 => {
                self.both(ctx, |c, side| Rmdir { dir: c.file(dir, side), name: one.clone() }.into()).await;
            }
            7..10 => {
                self.both(ctx, |c, side| {
                    let (from_dir, to_dir) = (c.file(dir, side), c.file(other, side));
                    let (from_name, to_name) = (one.clone(), two.clone());
                    Rename { from_dir, from_name, to_dir, to_name, how }.into()
                })
                .await;
            }
            10 => {
                self.both(ctx, |c, side| LookupParent { dir: c.file(dir, side) }.into()).await;
            }
            _ => {
                self.both(ctx, |c, side| Lookup { dir: c.file(dir, side), name: one.clone() }.into()).await;
            }
        }
    }

    async fn step_attrs(&mut self, ctx: &Ctx) {
        let file = self.some_file();
        let mut set = SetAttr::default();
        match self.random.below(8) {
            0 | 1 => set.mode = Some(self.some_mode()),
            2 => set.uid = Some(self.random.pick(&[0, 1000, 1001])),
            3 => set.gid = Some(self.random.pick(&[0, 1000, 50])),
            4 => set.size = Some(self.some_offset()),
            5 => set.mtime = Some(SetTime::At(Time { seconds: 5, nanoseconds: 6 })),
            6 => set.atime = Some(SetTime::Now),
            _ => {
                let mask = AccessMask(self.random.below(8) as u8);
                self.both(ctx, |c, side| Access { file: c.file(file, side), mask }.into()).await;
                return;
            }
        }
        self.both(ctx, |c, side| {
            SetAttrOf { file: c.file(file, side), open: None, set: set.clone(), if_ctime: None }.into()
        })
        .await;
    }

    async fn step_data(&mut self, ctx: &Ctx) {
        let opened = self.some_open();
        let file = match opened {
            Some(index) => self.opens[index].file,
            None => self.some_file(),
        };
        let ids = opened.map(|index| self.opens[index].ids);
        let open = move |side: usize| ids.map(|ids| ids[side]);
        let (offset, length) = (self.some_offset(), self.some_length());
        match self.random.below(12) {
            0..5 => {
                let fill = (self.random.below(255) + 1) as u8;
                let data = Bytes::from(vec![fill; length as usize]);
                let at = if self.random.chance(20) { WriteOffset::End } else { WriteOffset::At(offset) };
                let durability =
                    self.random.pick(&[Durability::Unstable, Durability::Unstable, Durability::File]);
                self.both(ctx, |c, side| {
                    let file = c.file(file, side);
                    Write { file, open: open(side), offset: at, data: data.clone(), durability }.into()
                })
                .await;
            }
            5..8 => {
                let length = length as u32;
                self.both(ctx, |c, side| {
                    Read { file: c.file(file, side), open: open(side), offset, length }.into()
                })
                .await;
            }
            8 => {
                let how = self.random.pick(&[
                    AllocateHow::Reserve,
                    AllocateHow::ReserveKeepSize,
                    AllocateHow::Punch,
                    AllocateHow::Punch,
                    AllocateHow::Zero,
                    AllocateHow::ZeroKeepSize,
                ]);
                let range = ByteRange::new(offset, length);
                self.both(ctx, |c, side| {
                    Allocate { file: c.file(file, side), open: open(side), range, how }.into()
                })
                .await;
            }
            9 => self.seeks(ctx, file, offset).await,
            10 => {
                let from = self.some_file();
                let to_offset = self.some_offset() / 4096 * 4096;
                let (from_offset, length) = (offset / 4096 * 4096, length / 4096 * 4096);
                self.both(ctx, |c, side| {
                    CloneRange {
                        from: c.file(from, side),
                        from_open: None,
                        from_offset,
                        to: c.file(file, side),
                        to_open: open(side),
                        to_offset,
                        length,
                    }
                    .into()
                })
                .await;
            }
            _ => {
                let range = ByteRange { offset: 0, end: u64::MAX };
                self.both(ctx, |c, side| Commit { file: c.file(file, side), range }.into()).await;
            }
        }
    }

    /// Both answers must agree with the bytes, not with each other.
    async fn seeks(&mut self, ctx: &Ctx, file: usize, offset: u64) {
        let data = self.content(file).await;
        for side in 0..2 {
            for what in [SeekWhat::Data, SeekWhat::Hole] {
                let request = Seek { file: self.file(file, side), offset, what };
                let reply =
                    if side == 0 { self.a.seek(ctx, request).await } else { self.b.seek(ctx, request).await };
                let Some(data) = &data else { continue };
                let rest = data.get(offset as usize..).unwrap_or_default();
                let fits = match (what, &reply) {
                    (_, Err(FsError::NothingThere)) if rest.is_empty() => true,
                    (SeekWhat::Data, Err(FsError::NothingThere)) => rest.iter().all(|b| *b == 0),
                    (SeekWhat::Data, Ok(found)) => {
                        found.offset >= offset
                            && found.offset < data.len() as u64
                            && data[offset as usize..found.offset as usize].iter().all(|b| *b == 0)
                    }
                    (SeekWhat::Hole, Ok(found)) => {
                        let at = found.offset as usize;
                        found.offset >= offset && (at == data.len() || at < data.len() && data[at] == 0)
                    }
                    (SeekWhat::Hole, Err(_)) => false,
                    (_, Err(_)) => false,
                };
                if !fits {
                    self.differ(&format!("side {side}: {what:?} from {offset} gives {reply:?}"));
                }
            }
        }
    }

    /// The content of a regular file in both, compared; of the superuser's right.
    async fn content(&mut self, file: usize) -> Option<Vec<u8>> {
        let ctx = Ctx::new(Cred::root());
        let mut data = vec![];
        loop {
            let offset = data.len() as u64;
            let (reply, _) = self
                .both(&ctx, |c, side| {
                    Read { file: c.file(file, side), open: None, offset, length: 1 << 18 }.into()
                })
                .await?;
            let Reply::Read(reply) = reply else { return None };
            data.extend_from_slice(&reply.data);
            if reply.end || reply.data.is_empty() {
                return Some(data);
            }
        }
    }

    async fn step_opens(&mut self, ctx: &Ctx) {
        if self.opens.len() >= OPENS_MAX || (self.random.chance(40) && !self.opens.is_empty()) {
            let index = self.random.below(self.opens.len() as u64) as usize;
            let opened = self.opens.swap_remove(index);
            self.both(ctx, |_, side| Close { open: opened.ids[side] }.into()).await;
            return;
        }
        let access = OpenAccess { read: self.random.chance(70), write: self.random.chance(70) };
        let truncate = self.random.chance(10);
        let (place, text, mode) = (self.some_file(), name(&self.some_name()), self.some_mode());
        let how =
            self.random.pick(&[CreateHow::Unchecked, CreateHow::Guarded, CreateHow::Exclusive(*b"verifier")]);
        let by_entry = self.random.chance(70);
        let create = self
            .random
            .chance(70)
            .then(|| Create { how, mode, set: SetAttr::default() })
            .filter(|_| by_entry);
        let replies = self
            .both(ctx, |c, side| {
                let target = if by_entry {
                    OpenTarget::Entry { dir: c.file(place, side), name: text.clone() }
                } else {
                    OpenTarget::File(c.file(place, side))
                };
                let (deny, create) = (OpenAccess::default(), create.clone());
                Open { target, access, deny, create, truncate, reclaim: false, for_execution: false }.into()
            })
            .await;
        if let Some((Reply::Open(a), Reply::Open(b))) = replies {
            let file = self.same_attr(&a.attr, &b.attr);
            self.opens.push(Opened { ids: [a.open, b.open], file });
        }
    }

    async fn step_xattrs_and_locks(&mut self, ctx: &Ctx) {
        let file = self.some_file();
        let names = ["user.a", "user.b", "trusted.c", "security.d", "odd"];
        let attribute = name(names[self.random.below(names.len() as u64) as usize]);
        match self.random.below(7) {
            0 | 1 => {
                let value = Bytes::from(vec![7; self.random.below(5000) as usize]);
                let how = self.random.pick(&[SetXattrHow::Either, SetXattrHow::Create, SetXattrHow::Replace]);
                self.both(ctx, |c, side| {
                    let (name, value) = (attribute.clone(), value.clone());
                    SetXattr { file: c.file(file, side), name, value, how }.into()
                })
                .await;
            }
            2 => {
                self.both(ctx, |c, side| {
                    GetXattr { file: c.file(file, side), name: attribute.clone() }.into()
                })
                .await;
            }
            3 => {
                self.both(ctx, |c, side| ListXattr { file: c.file(file, side) }.into()).await;
            }
            4 => {
                self.both(ctx, |c, side| {
                    RemoveXattr { file: c.file(file, side), name: attribute.clone() }.into()
                })
                .await;
            }
            _ => {
                let owner = LockOwner { client: ClientId(9), owner: self.random.below(3) };
                let range = ByteRange::new(self.random.below(50), 1 + self.random.below(50));
                let kind = self.random.pick(&[LockKind::Shared, LockKind::Exclusive, LockKind::Unlock]);
                let space = LockSpace::Range;
                if self.random.chance(30) {
                    self.both(ctx, |c, side| {
                        TestLock { file: c.file(file, side), owner, space, range, kind }.into()
                    })
                    .await;
                    return;
                }
                self.both(ctx, |c, side| {
                    let file = c.file(file, side);
                    let (wait, reclaim) = (false, false);
                    Lock { file, open: None, owner, space, range, kind, wait, reclaim }.into()
                })
                .await;
            }
        }
    }

    /// Walks both trees: the same names, attributes, targets, content.
    async fn trees(&mut self) {
        let ctx = Ctx::new(Cred::root());
        let mut left = vec![0];
        while let Some(dir) = left.pop() {
            let (mut ours, mut theirs) = (self.list(&ctx, dir, 0).await, self.list(&ctx, dir, 1).await);
            ours.sort_by(|a, b| a.name.cmp(&b.name));
            theirs.sort_by(|a, b| a.name.cmp(&b.name));
            let names = |entries: &[DirEntry]| {
                entries.iter().map(|entry| (entry.name.clone(), entry.kind)).collect::<Vec<_>>()
            };
            self.equal(&names(&ours), &names(&theirs));
            for (a, b) in ours.iter().zip(&theirs) {
                let (Some(a), Some(b)) = (&a.attr, &b.attr) else {
                    self.differ("a listing without attributes");
                };
                let index = self.same_attr(a, b);
                match a.kind {
                    FileKind::Directory => left.push(index),
                    FileKind::File => drop(self.content(index).await),
                    FileKind::Symlink => {
                        self.both(&ctx, |c, side| ReadLink { file: c.file(index, side) }.into()).await;
                    }
                    _ => {}
                }
            }
        }
    }

    async fn list(&self, ctx: &Ctx, dir: usize, side: usize) -> Vec<DirEntry> {
        let mut all: Vec<DirEntry> = vec![];
        loop {
            let after = all.last().map_or(Cookie::START, |entry| entry.cookie);
            let request = ReadDir { dir: self.file(dir, side), after, limit: 5, attrs: true };
            let reply = if side == 0 {
                self.a.readdir(ctx, request).await
            } else {
                self.b.readdir(ctx, request).await
            };
            match reply {
                Ok(reply) => {
                    let end = reply.end || reply.entries.is_empty();
                    all.extend(reply.entries);
                    if end {
                        return all;
                    }
                }
                Err(error) => self.differ(&format!("side {side}: listing fails: {error:?}")),
            }
        }
    }
}
