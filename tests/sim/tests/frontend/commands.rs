//! Raw commands in random order: whatever they are, the map stays in order.

use env::{Random, SeededRandom};
use map::{Machine, MemoryMap};
use namespace::{
    Action, Changed, Command, Create, Exists, Extent, Namespace, NewStripe, NodeSpec, Space, reply_of,
};
use sim::audit::{Audit, audit};
use sim::checked::checked;
use types::{ByteRange, Cred, FsId, GroupId, InodeId, Mode, Name, SetAttr, StripeId, Time};

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        self.0.next() % bound
    }

    fn inode(&self) -> InodeId {
        InodeId(1 + self.below(12))
    }

    fn name(&self) -> Name {
        Name::new(vec![b'a' + self.below(5) as u8]).unwrap()
    }

    fn range(&self) -> ByteRange {
        ByteRange::new(self.below(3000), 1 + self.below(900))
    }

    fn exists(&self) -> Exists {
        [Exists::Fail, Exists::Accept, Exists::Exchange][self.below(3) as usize]
    }

    fn commit(&self, ino: InodeId) -> Action {
        let (stripe, length) = (StripeId(self.below(400)), 100 + self.below(900) as u32);
        let new = NewStripe { stripe, group: GroupId(0), data_chunks: 1, parity_chunks: 0, cells: 1, length };
        let (mut stripes, mut extents, mut offset, mut at) = (Vec::new(), Vec::new(), self.below(3000), 0);
        for _ in 0..self.below(4) {
            let part = (1 + self.below(200) as u32).min(length - at);
            let source = Changed::Stripe { stripe, at, length: part };
            extents.push(Extent { offset, source });
            (offset, at) = (offset + u64::from(part) + self.below(50), at + part);
            if at == length {
                break;
            }
        }
        if !extents.is_empty() && self.below(10) > 0 {
            stripes.push(new);
        }
        let inline = (self.below(6) == 0).then(|| vec![1; self.below(4096) as usize].into());
        let (size_at_least, change_at_least, written) = (self.below(100), 0, Some(Time::default()));
        let drop_privileges = self.below(2) == 0;
        Action::Commit {
            ino,
            stripes,
            extents,
            inline,
            size_at_least,
            change_at_least,
            written,
            drop_privileges,
        }
    }

    fn action(&self) -> Action {
        let ino = self.inode();
        match self.below(20) {
            0..4 => {
                let node = if self.below(3) == 0 { NodeSpec::Directory } else { NodeSpec::File };
                // Below a file as well, which is refused. Deep enough that all is in few slots.
                let (dir, name, set) = (InodeId(1 + self.below(3)), self.name(), SetAttr::default());
                let (mode, exists, verifier) = (Mode(0o755), self.exists(), None);
                Action::Create(Create { dir, name, node, mode, set, exists, verifier })
            }
            4 => Action::Link { ino, dir: self.inode(), name: self.name() },
            5 | 6 => {
                let (directory, keep) = (self.below(3) == 0, self.below(2) == 0);
                Action::Remove { dir: InodeId(1), name: self.name(), directory, seen: ino, keep }
            }
            7 | 8 => {
                let (from_dir, from_name) = (InodeId(1), self.name());
                let (to_dir, to_name) = (InodeId(1), self.name());
                let seen = (self.below(2) == 0).then(|| self.inode());
                let (exists, keep) = (self.exists(), self.below(2) == 0);
                Action::Rename { from_dir, from_name, to_dir, to_name, exists, seen, keep }
            }
            9 => {
                let set = SetAttr { size: Some(self.below(4000)), ..SetAttr::default() };
                Action::SetAttr { ino, set, may_write: true, if_ctime: None }
            }
            10 => {
                let name = Name::new(&b"user.x"[..]).unwrap();
                let value = (self.below(3) > 0).then(|| vec![1; 10].into());
                Action::SetXattr { ino, name, value, must_exist: None }
            }
            11..15 => self.commit(ino),
            15 => {
                let space = [Space::Punch, Space::Reserve, Space::Zero][self.below(3) as usize];
                Action::Space { ino, range: self.range(), space, extend: self.below(2) == 0 }
            }
            16 | 17 => {
                let (from_offset, to_offset, length) =
                    (self.below(2000), self.below(2000), 1 + self.below(900));
                Action::CloneRange { from: ino, from_offset, to: self.inode(), to_offset, length }
            }
            18 => Action::GrantStripes { near: InodeId(1), count: 1 + self.below(20) as u32 },
            _ => match self.below(2) {
                0 => Action::DropOrphan { ino },
                _ => Action::Drain { ino },
            },
        }
    }
}

#[test]
fn no_command_brings_a_map_out_of_order() {
    let mut done = 0;
    for seed in 0..60 {
        let dice = Dice(SeededRandom::new(seed));
        let mut map = MemoryMap::default();
        let mut apply = |fs, action| {
            let command = Command {
                now: Time::default(),
                cred: Cred::root(),
                request: None,
                fs,
                action,
                appends: Vec::new(),
            };
            let reply = Namespace.apply(&mut map, &command.encode().unwrap()).unwrap();
            reply_of(&reply).unwrap().is_ok()
        };
        apply(FsId(0), Action::MakeFilesystem { name: "f".into(), hash_key: [seed as u8; 16] });
        for _ in 0..250 {
            done += u64::from(apply(FsId(1), dice.action()));
        }
        let findings = audit(&map).unwrap();
        assert!(findings.is_empty(), "seed {seed}:\n{}", findings.join("\n"));
        let stripes = Audit::read(&map).unwrap().known_stripes();
        let damage = checked(&map, &stripes).unwrap().damage;
        assert!(damage.is_empty(), "seed {seed}: {damage:#?}");
    }
    assert!(done > 2000, "only {done} commands did anything");
}
