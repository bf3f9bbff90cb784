//! What a shard does with commands and records, one by one.

use super::*;
use crate::transaction::{Age, Answer, Commit, DigestKey, Prepare};
use map::MemoryMap;

/// `=KV`: sets a key of three bytes to a value of one, and replies with what was there. `?K`: reads it, whatever
/// the map says. `>KGKV`: reads one key under the guard of another, and sets a third.
struct Setter;

impl Machine for Setter {
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError> {
        match command[0] {
            b'=' => {
                let old = map.get(&command[1..4])?.unwrap_or_default();
                map.put(&command[1..4], command.slice(4..5));
                Ok(old)
            }
            b'?' => Ok(map.get(&command[1..4]).ok().flatten().unwrap_or_default()),
            _ => {
                map.get(&command[4..7])?;
                let seen = map.get_under(&command[1..4], &command[4..7])?.unwrap_or_default();
                map.put(&command[7..10], command.slice(10..11));
                Ok(seen)
            }
        }
    }
}

const KEY: DigestKey = DigestKey([2; 16]);
/// In the lower and in the upper half of the slots.
const LOW: &[u8] = &[0, 1, 7];
const LOWER: &[u8] = &[0, 0, 7];
const HIGH: &[u8] = &[0x80, 1, 7];

struct Site {
    host: Host,
    map: MemoryMap,
}

fn bytes(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

fn set(key: &[u8], value: u8) -> Bytes {
    bytes(&[b"=", key, &[value]])
}

impl Site {
    fn new(shard: u16) -> Site {
        let (map, slots) = (MemoryMap::default(), Arc::new(SlotTable::even(2).unwrap()));
        Site { host: Host::load(ShardId(shard), slots, Arc::new(Setter), &map).unwrap(), map }
    }

    fn machine(&mut self, command: Bytes) -> Result<Bytes, Refused> {
        self.host.apply(&mut self.map, &Command::of_machine(command)).unwrap()
    }

    fn record(&mut self, record: Record) -> Answer {
        let command = Command::of_transaction(&record).unwrap();
        Answer::decode(&self.host.apply(&mut self.map, &command).unwrap().unwrap()).unwrap()
    }

    fn value(&self, key: &[u8]) -> Option<u8> {
        OfMachine(&self.map).get(key).unwrap().map(|value| value[0])
    }
}

fn tx(number: u64) -> TxId {
    TxId { executor: 1, epoch: 1, number }
}

fn age(born: u64) -> Age {
    Age { born, executor: 1, number: born }
}

/// Reads nothing at `key` and sets it.
fn prepare(number: u64, key: &'static [u8], value: u8) -> Prepare {
    Prepare {
        tx: tx(number),
        age: age(number),
        round: 0,
        coordinator: ShardId(0),
        digest_key: KEY,
        gets: vec![(key.into(), KEY.value(None))],
        ranges: Vec::new(),
        writes: vec![(key.into(), Some(Bytes::copy_from_slice(&[value])))],
    }
}

fn commit(number: u64, command: Bytes) -> Commit {
    Commit {
        tx: tx(number),
        age: age(number),
        participants: vec![ShardId(1)],
        command,
        gets: Vec::new(),
        ranges: Vec::new(),
        guards: Vec::new(),
        digest_key: KEY,
        foreign_writes: KEY.begin().end(),
    }
}

fn finish(number: u64, commit: bool) -> Record {
    Record::Finish { tx: tx(number), commit, floor: 0 }
}

#[test]
fn a_command_that_needs_another_shard_does_nothing() {
    let mut site = Site::new(0);
    assert_eq!(site.machine(set(LOW, 1)), Ok(Bytes::new()));
    let before = site.map.clone();
    assert_eq!(site.machine(set(HIGH, 1)), Err(Refused::Elsewhere));
    assert_eq!(
        site.machine(bytes(&[b"?", HIGH])),
        Err(Refused::Elsewhere),
        "whatever the machine makes of it"
    );
    assert_eq!(site.map, before);
}

#[test]
fn what_is_prepared_is_neither_read_nor_written_until_it_is_finished() {
    for commits in [true, false] {
        let mut site = Site::new(1);
        assert_eq!(site.record(Record::Prepare(prepare(1, HIGH, 5))), Answer::Prepared);
        assert_eq!(site.record(Record::Prepare(prepare(1, HIGH, 5))), Answer::Prepared, "twice is once");
        assert_eq!(site.machine(bytes(&[b"?", HIGH])), Err(Refused::Locked(tx(1))));
        assert_eq!(site.machine(set(HIGH, 1)), Err(Refused::Locked(tx(1))));
        let other = site.record(Record::Prepare(prepare(2, HIGH, 6)));
        assert!(matches!(other, Answer::Blocked(Some(holder)) if holder.tx == tx(1)));
        assert_eq!(site.value(HIGH), None);
        assert_eq!(site.record(finish(1, commits)), Answer::Done);
        assert_eq!(site.value(HIGH), commits.then_some(5));
        assert_eq!(site.record(finish(1, commits)), Answer::Done);
        // As if nothing had happened: what comes late finds everything as it was read.
        site.machine(set(HIGH, 0)).unwrap();
        site.map.delete(&stored::of_machine(HIGH));
        assert_eq!(site.record(Record::Prepare(prepare(1, HIGH, 5))), Answer::Over);
        assert!(site.host.pending().is_empty());
    }
}

#[test]
fn what_has_changed_is_held_and_can_be_looked_at_again() {
    let mut site = Site::new(1);
    site.machine(set(HIGH, 1)).unwrap();
    assert_eq!(site.record(Record::Prepare(prepare(1, HIGH, 5))), Answer::Stale);
    assert_eq!(site.machine(set(HIGH, 2)), Err(Refused::Locked(tx(1))));
    assert_eq!(site.record(finish(1, true)), Answer::Stale, "nobody can have decided for this");
    let again = Prepare { round: 1, gets: vec![(HIGH.into(), KEY.value(Some(&[1])))], ..prepare(1, HIGH, 5) };
    assert_eq!(site.record(Record::Prepare(again)), Answer::Prepared);
    assert_eq!(site.record(Record::Prepare(prepare(1, HIGH, 9))), Answer::Prepared, "an earlier one, late");
    assert_eq!(site.record(finish(1, true)), Answer::Done);
    assert_eq!(site.value(HIGH), Some(5));
}

#[test]
fn a_range_that_was_read_stays_as_it_is() {
    let mut site = Site::new(1);
    let (from, to) = (Bytes::from_static(&[0x80, 1, 0]), Bytes::from_static(&[0x80, 1, 9]));
    site.machine(set(HIGH, 1)).unwrap();
    let with = |rows: &[(&[u8], &[u8])]| {
        let mut digester = KEY.begin();
        rows.iter().for_each(|(key, value)| digester.row(key, value));
        let ranges = vec![(from.clone(), to.clone(), digester.end())];
        Prepare { gets: Vec::new(), writes: Vec::new(), ranges, ..prepare(1, HIGH, 0) }
    };
    assert_eq!(site.record(Record::Prepare(with(&[]))), Answer::Stale);
    let right = Prepare { round: 1, ..with(&[(HIGH, &[1])]) };
    assert_eq!(site.record(Record::Prepare(right)), Answer::Prepared);
    assert_eq!(site.machine(bytes(&[b"?", HIGH])), Ok(Bytes::from_static(&[1])), "reading is free");
    assert_eq!(site.machine(set(HIGH, 2)), Err(Refused::Locked(tx(1))));
    assert_eq!(site.machine(set(&[0x80, 1, 3], 2)), Err(Refused::Locked(tx(1))), "a new key in the range");
    assert_eq!(site.machine(set(&[0x80, 1, 9], 2)), Ok(Bytes::new()));
}

#[test]
fn the_coordinator_decides_by_running_the_command_on_what_it_has_now() {
    let mut site = Site::new(0);
    site.machine(set(LOW, 3)).unwrap();
    let answer = site.record(Record::Commit(commit(1, set(LOW, 4))));
    assert_eq!(answer, Answer::Committed(Bytes::from_static(&[3])));
    site.machine(set(LOW, 5)).unwrap();
    assert_eq!(site.record(Record::Commit(commit(1, set(LOW, 4)))), answer, "decided once");
    assert_eq!(site.record(Record::Resolve { tx: tx(1) }), answer);
    assert_eq!(site.value(LOW), Some(5));
    assert_eq!(site.record(Record::Forget { tx: tx(1), floor: 0 }), Answer::Done);
    assert_eq!(site.record(Record::Commit(commit(1, set(LOW, 4)))), Answer::Over);
    assert_eq!(site.value(LOW), Some(5));
    assert!(site.host.pending().is_empty());
}

#[test]
fn what_was_asked_for_in_vain_is_not_committed_later() {
    let mut site = Site::new(0);
    assert_eq!(site.record(Record::Resolve { tx: tx(1) }), Answer::Aborted);
    assert_eq!(site.record(Record::Resolve { tx: tx(1) }), Answer::Over);
    assert_eq!(site.record(Record::Commit(commit(1, set(LOW, 4)))), Answer::Over);
    // Nor what would have done something else than is prepared, even if now it would not.
    assert_eq!(site.record(Record::Commit(commit(2, set(HIGH, 4)))), Answer::Stale);
    assert_eq!(site.record(Record::Commit(commit(2, set(LOW, 4)))), Answer::Over);
    assert_eq!(site.value(LOW), None);
    // An earlier life of the executor is over as a whole.
    let later = TxId { epoch: 2, ..tx(0) };
    assert_eq!(site.record(Record::Resolve { tx: later }), Answer::Aborted);
    assert_eq!(site.record(Record::Commit(commit(9, set(LOW, 4)))), Answer::Fenced);
}

#[test]
fn what_was_read_under_a_guard_counts_while_the_guard_is_as_it_was() {
    let guarded = |number, guard: Option<&[u8]>, value: u8| {
        let command = bytes(&[b">", HIGH, LOWER, LOW, &[value]]);
        let gets = vec![(HIGH.into(), Some(Bytes::from_static(b"x")))];
        let guards = vec![(LOWER.into(), KEY.value(guard))];
        Record::Commit(Commit { gets, guards, ..commit(number, command) })
    };
    let mut site = Site::new(0);
    assert_eq!(site.record(guarded(1, None, 1)), Answer::Committed(Bytes::from_static(b"x")));
    site.machine(set(LOWER, 8)).unwrap();
    assert_eq!(site.record(guarded(2, None, 2)), Answer::Stale);
    assert_eq!(site.record(guarded(3, Some(&[8]), 3)), Answer::Committed(Bytes::from_static(b"x")));
    assert_eq!(site.value(LOW), Some(3));
    // Who names no guard has locked all that it brings.
    let Record::Commit(named) = guarded(4, None, 4) else { panic!("no commit") };
    let none = Record::Commit(Commit { guards: Vec::new(), ..named });
    assert_eq!(site.record(none), Answer::Committed(Bytes::from_static(b"x")));
    assert_eq!(site.value(LOW), Some(4));
}

#[test]
fn what_makes_no_sense_or_is_too_much_is_refused() {
    let mut site = Site::new(1);
    let wrong = Prepare { writes: prepare(1, LOW, 1).writes, ..prepare(1, HIGH, 1) };
    assert_eq!(site.record(Record::Prepare(wrong)), Answer::Refused(Refused::Elsewhere));
    let own = Prepare { coordinator: ShardId(1), ..prepare(1, HIGH, 1) };
    assert_eq!(site.record(Record::Prepare(own)), Answer::Refused(Refused::Unreadable));
    let twice = Prepare {
        writes: [prepare(1, HIGH, 1).writes, prepare(1, HIGH, 2).writes].concat(),
        ..prepare(1, HIGH, 1)
    };
    assert_eq!(site.record(Record::Prepare(twice)), Answer::Refused(Refused::Unreadable));
    let key = |n: u16| Bytes::from([&[0x80][..], &n.to_be_bytes()].concat());
    let many = (0..=COMMAND_KEYS_MAX as u16).map(|n| (key(n), KEY.value(None))).collect();
    let many = Prepare { gets: many, ..prepare(1, HIGH, 1) };
    assert_eq!(site.record(Record::Prepare(many)), Answer::Refused(Refused::TooManyKeys));
    let unreadable = Command { kind: Kind::Record, bytes: Bytes::from_static(&[9, 9]) };
    assert_eq!(site.host.apply(&mut site.map, &unreadable).unwrap(), Err(Refused::Unreadable));
    assert!(site.map.is_empty());

    for number in 0..=PREPARED_MAX as u64 {
        let one = Prepare {
            gets: Vec::new(),
            writes: vec![(key(number as u16), None)],
            ..prepare(number, HIGH, 1)
        };
        let expected = if number < PREPARED_MAX as u64 { Answer::Prepared } else { Answer::Full };
        assert_eq!(site.record(Record::Prepare(one)), expected);
    }
}

#[test]
fn the_oldest_that_waits_comes_next() {
    let mut site = Site::new(1);
    assert_eq!(site.record(Record::Prepare(prepare(5, HIGH, 5))), Answer::Prepared);
    let blocked = |answer| matches!(answer, Answer::Blocked(_));
    assert!(blocked(site.record(Record::Prepare(prepare(3, HIGH, 3)))));
    assert!(blocked(site.record(Record::Prepare(prepare(7, HIGH, 7)))));
    site.record(finish(5, false));
    assert_eq!(
        site.record(Record::Prepare(prepare(7, HIGH, 7))),
        Answer::Blocked(None),
        "kept for an older one"
    );
    assert_eq!(
        site.record(Record::Prepare(Prepare { age: age(3), ..prepare(8, HIGH, 3) })),
        Answer::Prepared
    );
    site.record(finish(8, false));
    assert_eq!(site.record(Record::Prepare(prepare(9, HIGH, 9))), Answer::Prepared);
}
