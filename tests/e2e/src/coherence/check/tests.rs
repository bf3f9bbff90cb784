//! Planted histories: what cannot have been is found, and what can is not.

use super::*;
use crate::coherence::history::Kind;
use crate::coherence::models::BlocksAct as B;
use std::time::{Duration, Instant};
use suites::Random;

const NAMES_OF: Object = Object { generation: 1, kind: Kind::Names };
const CUT: Object = Object { generation: 1, kind: Kind::Cut };
const BLOCK: Object = Object { generation: 1, kind: Kind::Block { file: 0, block: 1 } };

fn doers() -> Vec<Doer> {
    [Way::Fuse, Way::Fuse, Way::Strict, Way::Defaults, Way::Strict]
        .into_iter()
        .map(|way| Doer { name: format!("{way:?}"), way })
        .collect()
}

/// An operation from `time.0` to `time.1`; from nobody knows what came of it if there is no outcome.
fn did(
    worker: usize,
    time: (u64, u64),
    object: Object,
    act: Act,
    outcome: impl Into<Option<Outcome>>,
) -> Operation {
    let outcome = outcome.into();
    let ended = if outcome.is_some() { time.1 } else { u64::MAX };
    Operation { worker, began: time.0, ended, object, act, outcome, daemon_died: false }
}

fn write(worker: usize, time: (u64, u64), tag: u64) -> Operation {
    did(worker, time, BLOCK, Act::Write { block: 1, tag }, Outcome::Done)
}

fn read(worker: usize, time: (u64, u64), tag: u64) -> Operation {
    did(worker, time, BLOCK, Act::Read { block: 1 }, Outcome::Tag(Some(tag)))
}

fn found(operations: &[Operation]) -> Vec<Violation> {
    violations(operations.to_vec(), &doers())
}

#[test]
fn a_stale_read_is_found_and_shown_without_what_does_not_matter() {
    let good = [write(0, (0, 10), 1), write(1, (20, 30), 2), read(2, (25, 28), 1), read(0, (31, 40), 2)];
    assert!(found(&good).is_empty());
    let mut stale = good.to_vec();
    stale.extend([write(1, (1, 9), 5), read(0, (41, 50), 1), read(1, (60, 70), 2)]);
    let found = found(&stale);
    assert_eq!(found.len(), 1);
    let shown: Vec<(u64, u64)> = found[0].operations.iter().map(|one| (one.began, one.ended)).collect();
    assert_eq!(shown, [(0, 10), (20, 30), (41, 50)]);
}

#[test]
fn two_readers_agree_on_an_order() {
    let both = [write(0, (0, 100), 1), write(1, (0, 100), 2)];
    let reads = [read(0, (110, 120), 1), read(1, (130, 140), 2)];
    assert_eq!(found(&[&both[..], &reads[..]].concat()).len(), 1);
    let early = [read(0, (10, 20), 1), read(1, (30, 40), 2), read(2, (50, 60), 2)];
    assert!(found(&[&both[..], &early[..]].concat()).is_empty());
}

#[test]
fn a_lost_write_is_found_and_one_that_nobody_knows_of_may_be_lost_or_late() {
    let lost = [write(0, (0, 10), 1), read(1, (20, 30), 0)];
    assert_eq!(found(&lost).len(), 1);
    let unknown = did(0, (20, 0), BLOCK, Act::Write { block: 1, tag: 7 }, None);
    let failed = did(0, (20, 25), BLOCK, Act::Write { block: 1, tag: 7 }, Outcome::Failed(5));
    for unknown in [unknown, failed] {
        let never = [write(0, (0, 10), 1), unknown.clone(), read(1, (1000, 1010), 1)];
        assert!(found(&never).is_empty());
        let late = [&never[..], &[read(1, (2000, 2010), 7)]].concat();
        assert!(found(&late).is_empty());
        let back = [&late[..], &[read(1, (3000, 3010), 1)]].concat();
        assert_eq!(found(&back).len(), 1);
        let early = [read(1, (11, 12), 7), unknown];
        assert_eq!(found(&early).len(), 1);
    }
}

#[test]
fn a_write_that_is_lost_with_the_daemon_before_it_is_durable_is_done_again() {
    let mut slow = write(2, (0, 100), 1);
    let others = [read(0, (10, 20), 1), write(1, (30, 40), 2), read(0, (110, 120), 1)];
    assert_eq!(found(&[&[slow.clone()], &others[..]].concat()).len(), 1);
    slow.daemon_died = true;
    assert!(found(&[&[slow.clone()], &others[..]].concat()).is_empty());
    assert_eq!(found(&[&[slow], &others[..], &[read(1, (130, 140), 2)]].concat()).len(), 1);
}

#[test]
fn a_name_that_comes_back_is_found() {
    let create = |time, number| did(0, time, NAMES_OF, Act::Create { name: 0 }, Outcome::Number(number));
    let lookup = |time, number| did(1, time, NAMES_OF, Act::Lookup { name: 0 }, Outcome::Number(number));
    let unlink = did(2, (20, 30), NAMES_OF, Act::Unlink { name: 0 }, Outcome::Done);
    let begin = [create((0, 10), 9), unlink];
    assert!(found(&[&begin[..], &[lookup((25, 40), 9)]].concat()).is_empty());
    assert_eq!(found(&[&begin[..], &[lookup((31, 40), 9)]].concat()).len(), 1);
    assert_eq!(found(&[&begin[..], &[create((50, 60), 9)]].concat()).len(), 1, "its number twice");
    let listed = did(1, (31, 40), NAMES_OF, Act::List, Outcome::Names(vec![(0, 9)]));
    assert_eq!(found(&[&begin[..], &[listed]].concat()).len(), 1);
    // The same through a client that does not ask is its own affair.
    let known = did(3, (31, 40), NAMES_OF, Act::Lookup { name: 0 }, Outcome::Number(9));
    assert!(found(&[&begin[..], &[known]].concat()).is_empty());
}

#[test]
fn a_rename_is_at_once_but_where_the_client_makes_it_two() {
    let set = |name, time, number| did(0, time, NAMES_OF, Act::Create { name }, Outcome::Number(number));
    let rename = |worker| did(worker, (20, 60), NAMES_OF, Act::Rename { from: 0, to: 1 }, Outcome::Done);
    let look = |time, number| did(1, time, NAMES_OF, Act::Lookup { name: 1 }, Outcome::Number(number));
    for (worker, violations) in [(0, 1), (2, 0)] {
        let between =
            [set(0, (0, 5), 8), set(1, (6, 9), 9), rename(worker), look((30, 35), 0), look((70, 80), 8)];
        assert_eq!(found(&between).len(), violations);
    }
    // Nobody was told of the inode that was made: the first who sees it says which it is.
    let made = did(0, (0, 0), NAMES_OF, Act::Create { name: 1 }, None);
    assert!(found(&[made.clone(), look((50, 60), 5), look((70, 80), 5)]).is_empty());
    assert_eq!(found(&[made, look((50, 60), 5), look((70, 80), 6)]).len(), 1);
}

#[test]
fn sizes_and_blocks_of_a_file_belong_together() {
    let cut = |time, act, outcome| did(0, time, CUT, act, outcome);
    let begin = [
        cut((0, 10), Act::Write { block: 2, tag: 5 }, Outcome::Done),
        cut((20, 30), Act::Truncate { size: 4096 }, Outcome::Done),
    ];
    let reads = |block, tag| cut((40, 50), Act::Read { block }, Outcome::Tag(tag));
    assert!(found(&[&begin[..], &[reads(0, Some(0)), reads(1, None)]].concat()).is_empty());
    assert_eq!(found(&[&begin[..], &[reads(2, Some(5))]].concat()).len(), 1);
    let stat = |size| cut((40, 50), Act::Stat, Outcome::Number(size));
    assert!(found(&[&begin[..], &[stat(4096)]].concat()).is_empty());
    assert_eq!(found(&[&begin[..], &[stat(4097)]].concat()).len(), 1);
    assert_eq!(Blocks::apply(&vec![1], &B::Append(4)), Some(vec![1, 4]));
}

#[test]
fn the_size_of_what_its_own_client_writes_binds_nobody() {
    let did = |worker, time, act, outcome| did(worker, time, CUT, act, outcome);
    for (writer, violations) in [(4, 0), (0, 1)] {
        let all = [
            did(0, (0, 10), Act::Truncate { size: 16384 }, Outcome::Done),
            did(writer, (20, 30), Act::Write { block: 1, tag: 5 }, Outcome::Done),
            did(2, (22, 31), Act::Stat, Outcome::Number(8192)),
        ];
        assert_eq!(found(&all).len(), violations);
    }
}

#[test]
fn two_who_move_one_name_to_another_are_both_done_only_at_once() {
    let made = did(0, (0, 10), NAMES_OF, Act::Create { name: 0 }, Outcome::Number(9));
    let moved = |worker, time| did(worker, time, NAMES_OF, Act::Rename { from: 0, to: 1 }, Outcome::Done);
    assert!(found(&[made.clone(), moved(0, (20, 30)), moved(2, (25, 40))]).is_empty());
    assert_eq!(found(&[made, moved(0, (20, 30)), moved(2, (31, 40))]).len(), 1);
}

#[test]
fn a_lock_that_two_have_is_found() {
    let counter = Object { generation: 1, kind: Kind::Counter };
    let add = |worker, time, from| did(worker, time, counter, Act::Add, Outcome::Number(from));
    let refused = did(1, (5, 6), counter, Act::Add, Outcome::Failed(EAGAIN));
    assert!(found(&[add(0, (0, 10), 0), refused, add(1, (5, 20), 1)]).is_empty());
    assert_eq!(found(&[add(0, (0, 10), 0), add(1, (5, 20), 0)]).len(), 1);
}

#[test]
fn a_read_after_an_open_sees_what_was_closed_before() {
    let writes = [write(3, (0, 10), 1), write(0, (20, 30), 2)];
    let session = |time, tag| read(3, time, tag);
    assert!(found(&[&writes[..], &[session((25, 40), 1), session((26, 41), 2)]].concat()).is_empty());
    assert_eq!(found(&[&writes[..], &[session((31, 40), 1)]].concat()).len(), 1);
    // What its own client has not written yet may be seen there only.
    let open = [write(3, (40, 90), 3), session((50, 60), 3), read(0, (70, 80), 2)];
    assert!(found(&[&writes[..], &open[..]].concat()).is_empty());
    // That another has read something else since, too, shows that it is old.
    let slow = [write(0, (40, 200), 3), read(1, (50, 60), 3), session((70, 80), 2)];
    assert_eq!(found(&[&writes[..], &slow[..]].concat()).len(), 1);
}

/// Operations that happen at once at some moment, of workers whose turns overlap.
fn history(random: &mut Random, count: u64) -> Vec<Operation> {
    let mut free = [0u64; 3];
    // Each operation with its moment, so that the moments can be gone through in order.
    let mut all: Vec<(u64, Operation)> = (0..count)
        .map(|number| {
            let worker = (0..3).min_by_key(|worker| free[*worker]).unwrap_or_default();
            let began = free[worker] + random.below(5);
            let ended = began + 1 + random.below(40);
            free[worker] = ended + 1;
            let moment = began + random.below(ended - began + 1);
            let generation = (began / 10_000) as u32;
            let (file, block) = (random.below(2) as u8, random.below(4) as u8);
            let (kind, act) = match random.below(10) {
                0..2 => (Kind::Block { file, block }, Act::Write { block, tag: number + 1 }),
                2..5 => (Kind::Block { file, block }, Act::Read { block }),
                5 => (Kind::Names, Act::Create { name: block }),
                6 => (Kind::Names, Act::Unlink { name: block }),
                7 => (Kind::Names, Act::Rename { from: block, to: random.below(4) as u8 }),
                8 => (Kind::Names, Act::List),
                _ => (Kind::Names, Act::Lookup { name: block }),
            };
            let object = Object { generation, kind };
            (moment, Operation { worker, began, ended, object, act, outcome: None, daemon_died: false })
        })
        .collect();
    all.sort_by_key(|(moment, _)| *moment);
    let mut blocks: BTreeMap<Object, u64> = BTreeMap::new();
    let mut names: BTreeMap<Object, [u64; NAMES]> = BTreeMap::new();
    let mut next = 0;
    for (_, operation) in &mut all {
        let names = names.entry(operation.object).or_default();
        let at = |name: u8| names[name as usize];
        operation.outcome = Some(match operation.act {
            Act::Write { tag, .. } => {
                blocks.insert(operation.object, tag);
                Outcome::Done
            }
            Act::Read { .. } => Outcome::Tag(blocks.get(&operation.object).copied()),
            Act::Create { name } if at(name) != 0 => Outcome::Failed(EEXIST),
            Act::Create { name } => {
                next += 1;
                names[name as usize] = next;
                Outcome::Number(next)
            }
            Act::Unlink { name } | Act::Rename { from: name, .. } if at(name) == 0 => Outcome::Failed(ENOENT),
            Act::Unlink { name } => {
                names[name as usize] = 0;
                Outcome::Done
            }
            Act::Rename { from, to } if from == to => Outcome::Done,
            Act::Rename { from, to } => {
                names[to as usize] = std::mem::take(&mut names[from as usize]);
                Outcome::Done
            }
            Act::Lookup { name } => Outcome::Number(at(name)),
            _ => Outcome::Names(
                (0..NAMES as u8).filter(|name| at(*name) != 0).map(|name| (name, at(name))).collect(),
            ),
        });
    }
    all.into_iter().map(|(_, operation)| operation).collect()
}

#[test]
fn long_histories_are_checked_quickly_and_one_wrong_answer_in_them_is_found() {
    let (mut random, begun) = (Random::new(5), Instant::now());
    let mut operations = history(&mut random, 50_000);
    assert!(found(&operations).is_empty());
    // A million in two minutes, also without optimisation.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let late = operations.len() / 2;
    let write =
        operations[late..].iter().position(|one| matches!(one.act, Act::Write { .. })).unwrap_or_default();
    let Operation { object, ended, .. } = operations[late + write];
    // Long after it was written over.
    let Act::Write { tag, block } = operations[late + write].act else { panic!("no write") };
    let (at, last) = (ended + 5000, Object { generation: object.generation, ..object });
    operations.push(did(1, (at, at + 3), last, Act::Read { block }, Outcome::Tag(Some(tag))));
    assert_eq!(found(&operations).len(), 1);
}
