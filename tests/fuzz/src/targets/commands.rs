//! Commands as they stand in a shard's log, one after the other on one map.

use super::keys;
use crate::parts::{Parts, joined};
use bytes::Bytes;
use map::{Machine, MemoryMap};
use namespace::{
    Action, Changed, Command, Create, Exists, Extent, Namespace, NewStripe, NodeSpec, Outcome, Reply, Space,
    reply_of,
};
use types::{ByteRange, Cred, FsId, GroupId, InodeId, Mode, Name, RequestId, SetAttr, StripeId, Time};

pub(crate) fn run(bytes: &[u8]) {
    if let Some(map) = applied(bytes) {
        keys::check(&map);
    }
}

/// The map after these commands; none when it cannot be read.
fn applied(bytes: &[u8]) -> Option<MemoryMap> {
    let mut map = MemoryMap::default();
    for part in Parts(bytes) {
        Namespace.apply(&mut map, &Bytes::copy_from_slice(part)).ok()?;
    }
    Some(map)
}

/// The maps that the seeds lead to.
pub(crate) fn maps() -> Vec<MemoryMap> {
    seeds().iter().filter_map(|seed| applied(seed)).collect()
}

/// A file and a directory, and what can be done to them.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut story = Story::new();
    let mut seeds = vec![];
    story.tell(Action::MakeFilesystem { name: "default".to_owned(), hash_key: [7; 16] });
    let directory = story.create("d", NodeSpec::Directory);
    let file = story.create("f", NodeSpec::File);
    let link = story.create("l", NodeSpec::Symlink(Bytes::from_static(b"f")));
    seeds.push(story.commands());
    story.tell(Action::Commit {
        ino: file,
        stripes: vec![],
        extents: vec![],
        inline: Some(Bytes::from_static(b"some content")),
        size_at_least: 12,
        change_at_least: 2,
        written: Some(Time::default()),
        drop_privileges: true,
    });
    story.tell(Action::SetXattr {
        ino: file,
        name: name("user.a"),
        value: Some(Bytes::from_static(b"value")),
        must_exist: None,
    });
    story.tell(Action::GrantStripes { near: file, count: 4 });
    let stripe = match story.told.last() {
        Some(Ok(Reply::Granted { first, .. })) => *first,
        _ => StripeId(file.0),
    };
    let source = Changed::Stripe { stripe, at: 0, length: 8192 };
    story.tell(Action::Commit {
        ino: file,
        stripes: vec![NewStripe {
            stripe,
            group: GroupId(0),
            data_chunks: 1,
            parity_chunks: 0,
            cells: 1,
            length: 8192,
        }],
        extents: vec![Extent { offset: 4096, source }],
        inline: None,
        size_at_least: 12_288,
        change_at_least: 0,
        written: None,
        drop_privileges: false,
    });
    seeds.push(story.commands());
    let range = ByteRange { offset: 5000, end: 9000 };
    story.tell(Action::Space { ino: file, range, space: Space::Punch, extend: false });
    story.tell(Action::CloneRange { from: file, from_offset: 0, to: file, to_offset: 65_536, length: 8192 });
    story.tell(Action::SetAttr {
        ino: file,
        set: SetAttr { size: Some(100), ..SetAttr::default() },
        may_write: true,
        if_ctime: None,
    });
    story.tell(Action::Link { ino: file, dir: directory, name: name("hard") });
    story.tell(Action::Rename {
        from_dir: InodeId::ROOT,
        from_name: name("l"),
        to_dir: directory,
        to_name: name("moved"),
        exists: Exists::Accept,
        seen: None,
        keep: false,
    });
    seeds.push(story.commands());
    for (dir, text, seen) in
        [(directory, "moved", link), (directory, "hard", file), (InodeId::ROOT, "f", file)]
    {
        story.tell(Action::Remove { dir, name: name(text), directory: false, seen, keep: true });
    }
    story.tell(Action::DropOrphan { ino: file });
    story.tell(Action::Drain { ino: file });
    story.tell(Action::ForgetStripes { stripes: vec![stripe] });
    seeds.push(story.commands());
    seeds
}

#[expect(clippy::expect_used, reason = "the names of this file are names")]
fn name(text: &'static str) -> Name {
    Name::new(text.as_bytes()).expect("a name")
}

/// Commands and what they were answered.
struct Story {
    map: MemoryMap,
    commands: Vec<Bytes>,
    told: Vec<Outcome>,
}

impl Story {
    fn new() -> Story {
        Story { map: MemoryMap::default(), commands: vec![], told: vec![] }
    }

    #[expect(clippy::expect_used, reason = "a map in memory can be read")]
    fn tell(&mut self, action: Action) {
        let request = RequestId { client: 1, channel: 0, sequence: self.told.len() as u64, step: 0 };
        let command = Command {
            now: Time::default(),
            cred: Cred::root(),
            request: Some(request),
            fs: FsId(1),
            action,
            appends: Vec::new(),
        };
        let encoded = command.encode().expect("a small command");
        let reply = Namespace.apply(&mut self.map, &encoded).expect("a map");
        self.commands.push(encoded);
        self.told.push(reply_of(&reply).expect("a reply"));
    }

    /// A node in the root.
    fn create(&mut self, text: &'static str, node: NodeSpec) -> InodeId {
        self.tell(Action::Create(Create {
            dir: InodeId::ROOT,
            name: name(text),
            node,
            mode: Mode(0o755),
            set: SetAttr::default(),
            exists: Exists::Fail,
            verifier: None,
        }));
        match self.told.last() {
            Some(Ok(Reply::Created { attr, .. })) => attr.file.ino,
            other => panic!("{text} was not made: {other:?}"),
        }
    }

    fn commands(&self) -> Vec<u8> {
        joined(&self.commands)
    }
}
