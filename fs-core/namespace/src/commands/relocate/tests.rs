//! Moves seen at one moment and made at another, with anything in between: nobody ever reads other bytes.

use super::{EXTENTS_MAX, MOVES_MAX};
use crate::queries::accounts::Recount;
use crate::queries::content::{Place, locate};
use crate::queries::sparse::{Part, parts};
use crate::queries::unfolded::{Look, Run, runs};
use crate::queries::{accounts, inode};
use crate::records::Account;
use crate::*;
use bytes::Bytes;
use map::{Machine, MemoryMap};
use proptest::prelude::*;
use std::collections::BTreeMap;
use types::{
    ByteRange, Cred, FileId, FsError, FsId, GroupId, InodeId, Mode, Name, SetAttr, Slot, StripeId, Time,
};

const FS: FsId = FsId(1);
const SLOT: Slot = Slot(0);
const FILES: u64 = 3;
const END: u64 = 2000;

struct Bench {
    map: MemoryMap,
    stripes: BTreeMap<StripeId, Bytes>,
    bytes: u8,
    /// What looks for parts of stripes saw.
    parts: Vec<Vec<Part>>,
}

fn at(seconds: i64) -> Time {
    Time { seconds, nanoseconds: 0 }
}

impl Bench {
    fn new() -> Bench {
        let mut bench =
            Bench { map: MemoryMap::default(), stripes: BTreeMap::new(), bytes: 0, parts: Vec::new() };
        bench.apply(Action::MakeFilesystem { name: "f".into(), hash_key: [1; 16] }).unwrap();
        for n in 0..FILES {
            let (dir, name) = (InodeId::ROOT, Name::new(vec![b'a' + n as u8]).unwrap());
            let (node, mode, set) = (NodeSpec::File, Mode(0o644), SetAttr::default());
            let (exists, verifier) = (Exists::Fail, None);
            bench.apply(Action::Create(Create { dir, name, node, mode, set, exists, verifier })).unwrap();
        }
        bench
    }

    fn apply(&mut self, action: Action) -> Outcome {
        let command =
            Command { now: at(5), cred: Cred::root(), request: None, fs: FS, action, appends: Vec::new() };
        let answer = Namespace.apply(&mut self.map, &command.encode().unwrap()).unwrap();
        reply_of(&answer).unwrap()
    }

    fn grant(&mut self) -> StripeId {
        match self.apply(Action::GrantStripes { near: InodeId::ROOT, count: 1 }) {
            Ok(Reply::Granted { first, .. }) => first,
            other => panic!("{other:?}"),
        }
    }

    /// A stripe that nobody refers to yet.
    fn stripe(&mut self, data: Vec<u8>) -> NewStripe {
        let stripe = self.grant();
        let length = data.len() as u32;
        self.stripes.insert(stripe, data.into());
        NewStripe { stripe, group: GroupId(0), data_chunks: 1, parity_chunks: 0, cells: 1, length }
    }

    /// Bytes that were never there before.
    fn content(&mut self, length: usize) -> Vec<u8> {
        self.bytes = self.bytes.wrapping_add(37);
        (0..length).map(|i| self.bytes.wrapping_add(i as u8)).collect()
    }

    fn read(&self, ino: InodeId) -> (types::Attr, Vec<u8>) {
        let file = FileId { fs: FS, ino };
        let found = inode::inode(&self.map, file).unwrap();
        let (located, _) = locate(&self.map, file, &found, ByteRange::new(0, END * 2), 10_000).unwrap();
        let mut data = vec![0; found.size as usize];
        for run in located {
            let (from, to) = (run.range.offset as usize, run.range.end as usize);
            match run.place {
                Place::Unwritten => {}
                Place::Inline(bytes) => data[from..to].copy_from_slice(&bytes),
                Place::Stripe { stripe, at, .. } => {
                    let at = at as usize;
                    data[from..to].copy_from_slice(&self.stripes[&stripe][at..at + to - from]);
                }
            }
        }
        (inode::attr_of(file, &found), data)
    }

    fn all(&self) -> Vec<(types::Attr, Vec<u8>)> {
        (0..FILES).map(|n| self.read(file(n))).collect()
    }

    fn look(&self) -> Vec<Run> {
        self.look_beside(None)
    }

    fn look_beside(&self, changing: Option<(Time, Time)>) -> Vec<Run> {
        let look = Look { fs: FS, slot: SLOT, bytes: 3000, extents: 100, changing };
        runs(&self.map, &look, None).unwrap().0
    }

    /// The stripe of what was seen, and the moves into it.
    fn moves(&mut self, seen: &[Run]) -> (NewStripe, Vec<Move>) {
        let mut data = Vec::new();
        let mut moves = Vec::new();
        for run in seen {
            let (at, length, seen) = (data.len() as u32, run.length() as u32, run.seen(&KEY));
            moves.push(Move { ino: run.ino, offset: run.offset, length, seen, at });
            run.parts.iter().for_each(|part| data.extend_from_slice(part));
        }
        (self.stripe(data), moves)
    }

    fn account(&self) -> Account {
        let (all, _) = accounts::of_filesystems(&self.map, Slot(0), usize::MAX).unwrap();
        let of_fs = all.iter().filter(|(fs, ..)| *fs == FS);
        of_fs.fold(Account::default(), |sum, (_, _, account)| sum.plus(account))
    }

    fn in_order(&self) {
        let differences = Recount::new(SLOT).step(&self.map, usize::MAX).unwrap().unwrap();
        assert_eq!(differences, []);
    }
}

const KEY: [u8; 16] = [9; 16];

fn file(n: u64) -> InodeId {
    InodeId(2 + n)
}

fn commit(ino: InodeId, stripes: Vec<NewStripe>, extents: Vec<Extent>) -> Action {
    let (inline, written) = (None, Some(at(5)));
    let (size_at_least, change_at_least, drop_privileges) = (0, 0, false);
    Action::Commit { ino, stripes, extents, inline, size_at_least, change_at_least, written, drop_privileges }
}

/// What may happen between a look and its command.
#[derive(Clone, Debug)]
enum Step {
    Look,
    /// Moves what the look saw `0..` looks ago, in commands of so many moves.
    Move {
        ago: usize,
        at_once: usize,
    },
    LookForParts,
    /// The same with parts of stripes.
    MoveParts {
        ago: usize,
        at_once: usize,
    },
    Inline {
        file: u64,
        offset: u64,
        length: usize,
    },
    Same {
        file: u64,
    },
    Stripe {
        file: u64,
        offset: u64,
        length: usize,
    },
    Punch {
        file: u64,
        offset: u64,
        length: u64,
    },
    Cut {
        file: u64,
        size: u64,
    },
    Clone {
        from: u64,
        from_offset: u64,
        to: u64,
        to_offset: u64,
        length: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (file, offset, length) = (|| 0..FILES, || 0..END, || 1usize..300);
    prop_oneof![
        4 => Just(Step::Look),
        4 => (0usize..3, 1usize..4).prop_map(|(ago, at_once)| Step::Move { ago, at_once }),
        2 => Just(Step::LookForParts),
        2 => (0usize..3, 1usize..4).prop_map(|(ago, at_once)| Step::MoveParts { ago, at_once }),
        8 => (file(), offset(), length()).prop_map(|(file, offset, length)| Step::Inline { file, offset, length }),
        2 => file().prop_map(|file| Step::Same { file }),
        2 => (file(), offset(), length()).prop_map(|(file, offset, length)| Step::Stripe { file, offset, length }),
        2 => (file(), offset(), 1..END).prop_map(|(file, offset, length)| Step::Punch { file, offset, length }),
        1 => (file(), offset()).prop_map(|(file, size)| Step::Cut { file, size }),
        2 => (file(), offset(), file(), offset(), 1u64..400).prop_map(|(from, from_offset, to, to_offset, length)| {
            Step::Clone { from, from_offset, to, to_offset, length }
        }),
    ]
}

impl Bench {
    fn run(&mut self, step: Step, looks: &mut Vec<Vec<Run>>) {
        match step {
            Step::Look => looks.push(self.look()),
            Step::Move { ago, at_once } => {
                let Some(seen) = looks.len().checked_sub(ago + 1).map(|n| looks[n].clone()) else { return };
                self.relocate(&seen, at_once);
            }
            Step::LookForParts => {
                let seen = self.parts(3);
                self.parts.push(seen);
            }
            Step::MoveParts { ago, at_once } => {
                let Some(seen) = self.parts.len().checked_sub(ago + 1).map(|n| self.parts[n].clone()) else {
                    return;
                };
                self.relocate_parts(&seen, at_once);
            }
            Step::Inline { file: n, offset, length } => {
                let source = Changed::Inline(self.content(length).into());
                self.apply(commit(file(n), vec![], vec![Extent { offset, source }])).unwrap();
            }
            Step::Same { file: n } => {
                // The same bytes in the same place, and other ones beside.
                let (_, data) = self.read(file(n));
                let data = &data[..data.len().min(100)];
                if !data.is_empty() {
                    let source = Changed::Inline(Bytes::copy_from_slice(data));
                    self.apply(commit(file(n), vec![], vec![Extent { offset: 0, source }])).unwrap();
                }
            }
            Step::Stripe { file: n, offset, length } => {
                let data = self.content(length);
                let new = self.stripe(data);
                let source = Changed::Stripe { stripe: new.stripe, at: 0, length: length as u32 };
                self.apply(commit(file(n), vec![new], vec![Extent { offset, source }])).unwrap();
            }
            Step::Punch { file: n, offset, length } => {
                let range = ByteRange::new(offset, length);
                self.apply(Action::Space { ino: file(n), range, space: Space::Punch, extend: false })
                    .unwrap();
            }
            Step::Cut { file: n, size } => {
                let set = SetAttr { size: Some(size), ..SetAttr::default() };
                self.apply(Action::SetAttr { ino: file(n), set, may_write: true, if_ctime: None }).unwrap();
            }
            Step::Clone { from, from_offset, to, to_offset, length } => {
                let (from, to) = (file(from), file(to));
                // Beyond the end, or over itself: refused.
                let _ = self.apply(Action::CloneRange { from, from_offset, to, to_offset, length });
            }
        }
    }

    /// All parts, so many extents at a time.
    fn parts(&self, limit: usize) -> Vec<Part> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let (found, next) = parts(&self.map, FS, SLOT, from, limit).unwrap();
            all.extend(found);
            from = next;
            if from.is_none() {
                return all;
            }
        }
    }

    fn relocate_parts(&mut self, seen: &[Part], at_once: usize) {
        let (mut data, mut moves) = (Vec::new(), Vec::new());
        for part in seen {
            let (at, from) = (data.len() as u32, part.at() as usize);
            moves.push(Move {
                ino: part.ino,
                offset: part.offset,
                length: part.length,
                seen: part.seen(),
                at,
            });
            data.extend_from_slice(&self.stripes[&part.stripe][from..from + part.length as usize]);
        }
        if !moves.is_empty() {
            let new = self.stripe(data);
            self.relocate_all(&new, &moves, at_once);
        }
    }

    fn relocate(&mut self, seen: &[Run], at_once: usize) {
        let (new, moves) = self.moves(seen);
        self.relocate_all(&new, &moves, at_once);
    }

    fn relocate_all(&mut self, new: &NewStripe, moves: &[Move], at_once: usize) {
        let mut first = true;
        for part in moves.chunks(at_once) {
            let before = self.all();
            let (stripe, new) = (new.stripe, first.then(|| new.clone()));
            let moved = self.apply(Action::Relocate { key: KEY, stripe, new, moves: part.to_vec() }).unwrap();
            first &= moved == Reply::Relocated { bytes: 0 };
            assert_eq!(self.all(), before, "nobody sees a move");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_between_a_look_and_its_move_nobody_sees_it(steps in prop::collection::vec(step(), 1..60)) {
        let mut bench = Bench::new();
        let mut looks = Vec::new();
        for step in steps {
            bench.run(step, &mut looks);
            bench.in_order();
        }
        // What is seen now moves for certain, and nothing is left to be folded. A look does not see more than 3,000 bytes.
        let mut seen = bench.look();
        while !seen.is_empty() {
            bench.relocate(&seen, 1000);
            bench.in_order();
            let next = bench.look();
            prop_assert!(next.iter().all(|run| !seen.contains(run)));
            seen = next;
        }
        prop_assert_eq!(bench.look(), []);
        let left = bench.account();
        prop_assert_eq!((left.unfolded, left.unfolded_bytes), (0, 0));
        // All parts in one new stripe: nothing dead is left.
        let seen = bench.parts(100);
        if !seen.is_empty() && seen.len() <= MOVES_MAX {
            bench.relocate_parts(&seen, MOVES_MAX);
            bench.in_order();
            let cleaned = bench.account();
            prop_assert_eq!((cleaned.stripes, cleaned.live), (1, cleaned.data));
        }
    }
}

#[test]
fn only_what_stood_still_for_long_enough_is_seen() {
    let mut bench = Bench::new();
    for n in 0..40 {
        bench.run(Step::Inline { file: 0, offset: n * 10, length: 10 }, &mut vec![]);
    }
    assert_eq!(bench.look_beside(Some((at(4), at(5)))), [], "it changed at 5");
    assert_eq!(bench.look_beside(Some((at(1), at(4)))).len(), 1, "the clock went back");
    let seen = bench.look_beside(Some((at(5), at(9))));
    assert!(matches!(&seen[..], [run] if run.parts.len() == 40 && run.length() == 400), "{seen:?}");
    bench.relocate(&seen, 1);
    let account = bench.account();
    assert_eq!((account.unfolded, account.stripes, account.live), (0, 1, 400));
}

#[test]
fn a_look_goes_on_where_the_last_one_had_enough() {
    let mut bench = Bench::new();
    for n in 0..30 {
        bench.run(Step::Inline { file: n % 2, offset: n * 60, length: 50 }, &mut vec![]);
    }
    for (bytes, extents) in [(100, 1000), (170, 2), (50, 7), (10_000, 3)] {
        let look = Look { fs: FS, slot: SLOT, bytes, extents, changing: None };
        let (mut seen, mut from) = (0, None);
        loop {
            let (found, next) = runs(&bench.map, &look, from).unwrap();
            assert!(found.iter().map(Run::length).sum::<usize>() <= bytes);
            seen += found.len();
            assert!(next > from || next.is_none());
            from = next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(seen, 30, "{bytes} {extents}");
    }
    // None fits: they are passed over.
    let look = Look { fs: FS, slot: SLOT, bytes: 49, extents: 1000, changing: None };
    assert_eq!(runs(&bench.map, &look, None).unwrap(), (vec![], None));
}

#[test]
fn a_stripe_that_turned_into_garbage_takes_nothing_more() {
    let mut bench = Bench::new();
    bench.run(Step::Inline { file: 0, offset: 0, length: 50 }, &mut vec![]);
    bench.run(Step::Inline { file: 1, offset: 0, length: 50 }, &mut vec![]);
    let seen = bench.look();
    let (new, moves) = bench.moves(&seen);
    let stripe = new.stripe;
    let relocate = |new, moves: &[Move]| Action::Relocate { key: KEY, stripe, new, moves: moves.to_vec() };
    assert_eq!(bench.apply(relocate(Some(new.clone()), &moves[..1])), Ok(Reply::Relocated { bytes: 50 }));
    bench.run(Step::Cut { file: 0, size: 0 }, &mut vec![]);
    assert_eq!(bench.apply(relocate(None, &moves[1..])), Ok(Reply::Relocated { bytes: 0 }));
    bench.apply(Action::ForgetStripes { stripes: vec![stripe] }).unwrap();
    assert_eq!(bench.apply(relocate(None, &moves[1..])), Ok(Reply::Relocated { bytes: 0 }));
    bench.in_order();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut bench = Bench::new();
    bench.run(Step::Inline { file: 0, offset: 0, length: 50 }, &mut vec![]);
    let seen = bench.look();
    let (new, moves) = bench.moves(&seen);
    let (stripe, good) = (new.stripe, moves[0].clone());
    let mut refused = |new: &NewStripe, moves: Vec<Move>| {
        let action = Action::Relocate { key: KEY, stripe, new: Some(new.clone()), moves };
        assert_eq!(bench.apply(action), Err(Failure::Fs(FsError::Invalid)));
    };
    refused(&NewStripe { stripe: StripeId(stripe.0 + 1), ..new.clone() }, vec![good.clone()]);
    refused(&NewStripe { length: 49, ..new.clone() }, vec![good.clone()]);
    refused(&new, vec![Move { ino: InodeId::new(Slot(7), 1), ..good.clone() }]);
    refused(&new, vec![Move { length: 0, ..good.clone() }]);
    refused(&new, vec![Move { offset: u64::MAX, ..good.clone() }]);
    refused(&new, vec![Move { at: u32::MAX, ..good.clone() }]);
    refused(&new, vec![good.clone(), good.clone()]);
    let Seen::Unfolded { digest, .. } = good.seen else { panic!("{good:?}") };
    let many = Seen::Unfolded { digest, extents: EXTENTS_MAX as u32 + 1 };
    refused(&new, vec![Move { seen: many, ..good.clone() }]);
    let short = |n: usize| Move { length: 1, at: n as u32, ..good.clone() };
    refused(&new, (0..=MOVES_MAX).map(short).collect());
    let action = Action::Relocate { key: KEY, stripe, new: Some(new), moves: vec![good] };
    assert_eq!(bench.apply(action), Ok(Reply::Relocated { bytes: 50 }));
}
