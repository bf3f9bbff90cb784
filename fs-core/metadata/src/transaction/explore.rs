//! Every order in which the messages of a few transactions can arrive, get lost, arrive twice or late, with
//! executors that end anywhere and recovery at any time: all takes effect once or nothing does.

use super::{AfterCommit, AfterPrepare, Age, Answer, Attempt, DigestKey, Plan, Record, Trial, TxId, run};
use crate::host::{OfMachine, Unlocked};
use crate::{Command, Host, slot_of};
use bytes::Bytes;
use cluster::SlotTable;
use map::{Locked, Machine, MapError, MemoryMap, OrderedMap, OrderedMapMut, Visit};
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use types::ShardId;

/// Adds one to each key that its command names, three bytes each.
struct Adder;

fn value(map: &dyn OrderedMap, key: &[u8]) -> Result<u8, MapError> {
    Ok(map.get(key)?.map_or(0, |value| value[0]))
}

impl Machine for Adder {
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError> {
        let mut reply = Vec::new();
        for key in command.chunks(3) {
            let sum = value(map, key)? + 1;
            map.put(key, Bytes::copy_from_slice(&[sum]));
            reply.push(sum);
        }
        Ok(reply.into())
    }
}

const A: [u8; 3] = [0, 0, 7];
const B: [u8; 3] = [0x60, 0, 7];
const C: [u8; 3] = [0xc0, 0, 7];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
enum Who {
    /// With what it asks: the number of its transaction, the round, and which question.
    Executor(usize, (u64, u32, u8)),
    /// Recovery of what a shard holds.
    Recovery(ShardId, TxId),
    Nobody,
}

#[derive(Clone, Debug)]
enum Message {
    Ask(ShardId, Record, Who),
    Tell(ShardId, Answer, Who),
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Preparing { attempt: Attempt, missing: Vec<ShardId>, answers: Vec<(ShardId, Option<Answer>)> },
    Committing { attempt: Attempt },
    Asking { attempt: Attempt },
    Finishing { attempt: Attempt, missing: Vec<ShardId> },
    Ended,
}

#[derive(Clone, Debug)]
struct Executor {
    command: Bytes,
    home: ShardId,
    born: u64,
    tries: u64,
    done: bool,
    /// What it waits for.
    question: (u64, u32, u8),
    state: State,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Hash)]
struct Budget {
    doubles: u8,
    recoveries: u8,
    tries: u64,
}

#[derive(Clone)]
struct World {
    slots: Arc<SlotTable>,
    hosts: Vec<(Host, MemoryMap)>,
    wire: Vec<Message>,
    executors: Vec<Executor>,
    budget: Budget,
    /// Commands of one shard that add to `B` and are still to come, and how many did.
    single: (u8, u8),
}

/// All maps, as an executor sees them.
struct Everything<'a>(&'a World, Option<TxId>);

impl Everything<'_> {
    fn read<T>(
        &self,
        key: &[u8],
        ask: impl FnOnce(&dyn OrderedMap) -> Result<T, MapError>,
    ) -> Result<T, MapError> {
        let shard = self.0.slots.shard(slot_of(key));
        let (host, map) = &self.0.hosts[usize::from(shard.0)];
        ask(&Unlocked { below: &OfMachine(map), pending: host.pending(), shard, own: self.1 })
    }
}

impl OrderedMap for Everything<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.read(key, |map| map.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.read(from, |map| map.scan(from, to, visit))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.read(from, |map| map.scan_back(from, to, visit))
    }
}

/// All maps as they are stored, whatever is locked.
struct Stored<'a>(&'a World);

impl Stored<'_> {
    fn of(&self, key: &[u8]) -> OfMachine<'_> {
        OfMachine(&self.0.hosts[usize::from(self.0.slots.shard(slot_of(key)).0)].1)
    }
}

impl OrderedMap for Stored<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.of(key).get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.of(from).scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.of(from).scan_back(from, to, visit)
    }
}

impl World {
    fn new(executors: &[&[[u8; 3]]], budget: Budget) -> World {
        let slots = Arc::new(SlotTable::even(3).unwrap());
        let host = |id| {
            let map = MemoryMap::default();
            (Host::load(ShardId(id), slots.clone(), Arc::new(Adder), &map).unwrap(), map)
        };
        let executor = |(n, keys): (usize, &&[[u8; 3]])| Executor {
            command: keys.concat().into(),
            home: slots.shard(slot_of(&keys[0])),
            born: n as u64,
            tries: 0,
            done: false,
            question: (0, 0, 0),
            state: State::Idle,
        };
        let executors = executors.iter().enumerate().map(executor).collect();
        let (hosts, wire) = ((0..3).map(host).collect(), Vec::new());
        World { hosts, slots: slots.clone(), wire, executors, budget, single: (0, 0) }
    }

    /// A command of one shard; whether nothing was in its way.
    fn add_one(&mut self) -> bool {
        let (host, map) = &mut self.hosts[1];
        let added = host.apply(map, &Command::of_machine(Bytes::copy_from_slice(&B))).unwrap().is_ok();
        self.single = (self.single.0 - 1, self.single.1 + u8::from(added));
        added
    }

    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (_, map) in &self.hosts {
            map.scan(&[], &[0xff; 32], &mut |key, value| {
                (key, value).hash(&mut hasher);
                true
            })
            .unwrap();
        }
        let mut wire: Vec<String> = self.wire.iter().map(|message| format!("{message:?}")).collect();
        wire.sort();
        (wire, format!("{:?}", self.executors), self.budget, self.single).hash(&mut hasher);
        hasher.finish()
    }

    fn apply(&mut self, shard: ShardId, record: &Record) -> Answer {
        let (host, map) = &mut self.hosts[usize::from(shard.0)];
        let command = Command::of_transaction(record).unwrap();
        let answer = Answer::decode(&host.apply(map, &command).unwrap().unwrap()).unwrap();
        // What a crash of the shard would leave is what it knows.
        let again = Host::load(shard, self.slots.clone(), Arc::new(Adder), map).unwrap();
        assert_eq!(again.pending(), host.pending());
        *host = again;
        answer
    }

    fn plan(&self, n: usize, tx: Option<TxId>) -> Result<Plan, Locked> {
        let Executor { command, home, .. } = &self.executors[n];
        let Trial { outcome, reads, writes } = run(&Adder, &Everything(self, tx), command);
        match outcome {
            Ok(_) => Ok(Plan::new(*home, &self.slots, DigestKey([1; 16]), reads, &writes).unwrap()),
            Err(MapError::Locked(locked)) => Err(locked),
            Err(error) => panic!("{error}"),
        }
    }

    fn plan_past_locks(&self, n: usize) -> Plan {
        let Executor { command, home, .. } = &self.executors[n];
        let stored = Stored(self);
        let Trial { reads, writes, .. } = run(&Adder, &stored, command);
        Plan::new(*home, &self.slots, DigestKey([1; 16]), reads, &writes).unwrap()
    }

    /// Asks, and waits for nothing else any more.
    fn put(&mut self, n: usize, question: (u64, u32, u8), asks: Vec<(ShardId, Record)>) {
        self.executors[n].question = question;
        let who = Who::Executor(n, question);
        self.wire.extend(asks.into_iter().map(|(shard, record)| Message::Ask(shard, record, who)));
    }

    /// An executor begins, whether anything that it reads is locked or not.
    fn begin(&mut self, n: usize) {
        let plan = self.plan(n, None).unwrap_or_else(|_| self.plan_past_locks(n));
        let executor = &mut self.executors[n];
        let id = TxId { executor: n as u32, epoch: 1, number: executor.tries };
        executor.tries += 1;
        let age = Age { born: executor.born, executor: n as u32, number: 0 };
        let attempt = Attempt::new((id, age), executor.home, executor.command.clone(), plan);
        self.ask_to_prepare(n, attempt);
    }

    fn ask_to_prepare(&mut self, n: usize, attempt: Attempt) {
        let asks = attempt.prepares();
        let missing = asks.iter().map(|(shard, _)| *shard).collect();
        let question = (attempt.tx.number, attempt.round(), 0);
        self.executors[n].state = State::Preparing { attempt, missing, answers: Vec::new() };
        self.put(n, question, asks);
        self.all_prepared(n);
    }

    fn all_prepared(&mut self, n: usize) {
        let State::Preparing { attempt, missing, answers } = &mut self.executors[n].state else { return };
        if !missing.is_empty() {
            return;
        }
        let mut attempt = attempt.clone();
        let after = attempt.prepared(std::mem::take(answers));
        match after {
            AfterPrepare::Commit => {
                let question = (attempt.tx.number, 0, 1);
                self.put(n, question, vec![(attempt.home(), attempt.commit())]);
                self.executors[n].state = State::Committing { attempt };
            }
            AfterPrepare::Look => match self.plan(n, Some(attempt.tx)) {
                Ok(plan) => {
                    attempt.look(plan);
                    self.ask_to_prepare(n, attempt);
                }
                // It goes on as if nothing was locked, and is stopped where it has to be.
                Err(_) => {
                    attempt.look(self.plan_past_locks(n));
                    self.ask_to_prepare(n, attempt);
                }
            },
            // Waiting while it holds something is giving way at another moment.
            AfterPrepare::Hold(..) | AfterPrepare::GiveWay(_) => self.let_go(n, &attempt),
            AfterPrepare::Fail(refused) => panic!("{refused}"),
            AfterPrepare::Stop => panic!("an executor has one life here"),
        }
    }

    /// Nothing was decided and nothing will be: everybody lets go.
    fn let_go(&mut self, n: usize, attempt: &Attempt) {
        for shard in attempt.participants() {
            let record = Record::Finish { tx: attempt.tx, commit: false, floor: attempt.tx.number };
            self.wire.push(Message::Ask(shard, record, Who::Nobody));
        }
        let again = self.executors[n].tries < self.budget.tries;
        self.executors[n].state = if again { State::Idle } else { State::Ended };
    }

    fn committed(&mut self, n: usize, attempt: Attempt) {
        let missing = attempt.participants();
        let record = Record::Finish { tx: attempt.tx, commit: true, floor: attempt.tx.number };
        let asks = missing.iter().map(|shard| (*shard, record.clone())).collect();
        self.put(n, (attempt.tx.number, 0, 2), asks);
        self.executors[n].done = true;
        self.executors[n].state = State::Finishing { attempt, missing };
    }

    fn hear(&mut self, n: usize, shard: ShardId, answer: Option<Answer>) {
        let state = std::mem::replace(&mut self.executors[n].state, State::Ended);
        match state {
            State::Preparing { attempt, mut missing, mut answers } if missing.contains(&shard) => {
                missing.retain(|one| *one != shard);
                answers.push((shard, answer));
                self.executors[n].state = State::Preparing { attempt, missing, answers };
                self.all_prepared(n);
            }
            State::Committing { attempt } if attempt.home() == shard => match answer {
                None => self.ask(n, attempt),
                Some(answer) => match attempt.committed(answer) {
                    AfterCommit::Done(_) => self.committed(n, attempt),
                    AfterCommit::Hold(..) | AfterCommit::GiveWay(_) => self.ask(n, attempt),
                    AfterCommit::Again => self.let_go(n, &attempt),
                    AfterCommit::InDoubt => {}
                    AfterCommit::Fail(refused) => panic!("{refused}"),
                },
            },
            State::Asking { attempt } if attempt.home() == shard => match answer {
                Some(Answer::Committed(_)) => self.committed(n, attempt),
                Some(Answer::Aborted) => self.let_go(n, &attempt),
                // In doubt for ever; recovery knows.
                _ => {}
            },
            State::Finishing { attempt, mut missing } => {
                if answer == Some(Answer::Done) {
                    missing.retain(|one| *one != shard);
                }
                if missing.is_empty() {
                    let forget = Record::Forget { tx: attempt.tx, floor: attempt.tx.number };
                    self.wire.push(Message::Ask(attempt.home(), forget, Who::Nobody));
                } else {
                    self.executors[n].state = State::Finishing { attempt, missing };
                }
            }
            state => self.executors[n].state = state,
        }
    }

    fn ask(&mut self, n: usize, attempt: Attempt) {
        let resolve = Record::Resolve { tx: attempt.tx };
        self.put(n, (attempt.tx.number, 0, 3), vec![(attempt.home(), resolve)]);
        self.executors[n].state = State::Asking { attempt };
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Ask(shard, record, who) => {
                let answer = self.apply(shard, &record);
                if who != Who::Nobody {
                    self.wire.push(Message::Tell(shard, answer, who));
                }
            }
            Message::Tell(shard, answer, Who::Executor(n, question)) => {
                if self.executors[n].question == question {
                    self.hear(n, shard, Some(answer));
                }
            }
            Message::Tell(_, answer, Who::Recovery(shard, tx)) => {
                let commit = matches!(answer, Answer::Committed(_));
                let finish = Record::Finish { tx, commit, floor: 0 };
                self.wire.push(Message::Ask(shard, finish, Who::Nobody));
            }
            Message::Tell(_, _, Who::Nobody) => {}
        }
    }

    /// Every world that is one step from this.
    fn next(&self) -> Vec<World> {
        let mut next = Vec::new();
        for at in 0..self.wire.len() {
            let mut world = self.clone();
            let message = world.wire.swap_remove(at);
            if let (Message::Ask(..), true) = (&message, self.budget.doubles > 0) {
                let mut doubled = self.clone();
                doubled.budget.doubles -= 1;
                doubled.deliver(message.clone());
                next.push(doubled);
            }
            // An answer that does not come: the question may arrive later, too.
            if let Message::Ask(shard, _, Who::Executor(n, question))
            | Message::Tell(shard, _, Who::Executor(n, question)) = &message
                && self.executors[*n].question == *question
            {
                let mut lost = if let Message::Ask(..) = message { self.clone() } else { world.clone() };
                lost.hear(*n, *shard, None);
                if format!("{:?}", lost.executors) != format!("{:?}", self.executors) {
                    next.push(lost);
                }
            }
            world.deliver(message);
            next.push(world);
        }
        for (n, executor) in self.executors.iter().enumerate() {
            if let State::Idle = executor.state {
                let mut world = self.clone();
                world.begin(n);
                if !matches!(world.executors[n].state, State::Idle) {
                    next.push(world);
                }
            }
        }
        if self.single.0 > 0 {
            let mut world = self.clone();
            if world.add_one() {
                next.push(world);
            }
        }
        if self.budget.recoveries > 0 {
            for (n, (host, _)) in self.hosts.iter().enumerate() {
                for (tx, held) in &host.pending().prepared {
                    let mut world = self.clone();
                    world.budget.recoveries -= 1;
                    let who = Who::Recovery(ShardId(n as u16), *tx);
                    world.wire.push(Message::Ask(held.coordinator, Record::Resolve { tx: *tx }, who));
                    next.push(world);
                }
            }
        }
        next
    }

    /// Recovery runs to its end, with no executor left.
    fn recover(&mut self, asks: bool) {
        for home in 0..3 {
            for (tx, decided) in self.hosts[home].0.pending().decided.clone() {
                for shard in &decided.participants {
                    self.apply(*shard, &Record::Finish { tx, commit: true, floor: 0 });
                }
                self.apply(ShardId(home as u16), &Record::Forget { tx, floor: 0 });
            }
        }
        for shard in 0..3 {
            for (tx, held) in self.hosts[shard].0.pending().prepared.clone() {
                let resolve = Record::Resolve { tx };
                let commit = asks && matches!(self.apply(held.coordinator, &resolve), Answer::Committed(_));
                self.apply(ShardId(shard as u16), &Record::Finish { tx, commit, floor: 0 });
            }
        }
    }

    fn values(&self) -> Vec<u8> {
        let of = |key: &[u8; 3]| {
            let shard = self.slots.shard(slot_of(key));
            value(&OfMachine(&self.hosts[usize::from(shard.0)].1), key).unwrap()
        };
        let mut values: Vec<u8> = [A, B, C].iter().map(of).collect();
        values[1] -= self.single.1;
        values
    }

    fn is_settled(&self) -> Result<(), String> {
        if !self.hosts.iter().all(|(host, _)| host.pending().is_empty()) {
            return Err("something is held for ever".into());
        }
        let values = self.values();
        // Every command adds to all of its keys: what each shard has is the number of those that took effect.
        let named = |key: &[u8; 3], executor: &&Executor| executor.command.chunks(3).any(|k| k == key);
        let most = |key: &[u8; 3]| self.executors.iter().filter(|e| named(key, e)).count() as u8;
        let least = |key: &[u8; 3]| self.executors.iter().filter(|e| named(key, e) && e.done).count() as u8;
        for (key, value) in [A, B, C].iter().zip(&values) {
            if !(least(key)..=most(key)).contains(value) {
                return Err(format!("{values:?}, with {} to {} commands", least(key), most(key)));
            }
        }
        if values.iter().zip([A, B, C]).any(|(value, key)| most(&key) == most(&A) && *value != values[0]) {
            return Err(format!("{values:?}: part of a command"));
        }
        Ok(())
    }

    /// Whether all is well, should all executors end now, what is on the wire get lost, or come late.
    fn check(&self, asks: bool) -> Result<(), String> {
        let mut world = self.clone();
        world.executors.iter_mut().for_each(|executor| executor.state = State::Ended);
        let late = std::mem::take(&mut world.wire);
        world.recover(asks);
        world.is_settled()?;
        for message in late {
            if let Message::Ask(shard, record, _) = message {
                world.apply(shard, &record);
            }
        }
        world.recover(asks);
        world.is_settled()
    }
}

/// Goes everywhere; the number of worlds.
fn explore(first: World, asks: bool) -> Result<usize, String> {
    let mut seen = HashSet::from([first.key()]);
    let mut left = vec![first];
    while let Some(world) = left.pop() {
        world.check(asks).map_err(|why| {
            format!("{why}\nexecutors: {:#?}\non the wire: {:#?}", world.executors, world.wire)
        })?;
        left.extend(world.next().into_iter().filter(|next| seen.insert(next.key())));
    }
    Ok(seen.len())
}

#[test]
fn one_transaction_over_three_shards_in_every_order() {
    let budget = Budget { doubles: 2, recoveries: 0, tries: 1 };
    let worlds = explore(World::new(&[&[A, B, C]], budget), true).unwrap();
    println!("{worlds} worlds");
    assert!(worlds > 1000, "{worlds}");
}

#[test]
fn one_transaction_over_two_shards_with_recovery_and_a_second_try_in_every_order() {
    let budget = Budget { doubles: 1, recoveries: 1, tries: 2 };
    let worlds = explore(World::new(&[&[A, B]], budget), true).unwrap();
    println!("{worlds} worlds");
    assert!(worlds > 1000, "{worlds}");
}

#[test]
fn one_transaction_that_has_to_look_again_in_every_order() {
    let budget = Budget { doubles: 2, recoveries: 0, tries: 1 };
    let mut world = World::new(&[&[A, B]], budget);
    world.single = (1, 0);
    let worlds = explore(world, true).unwrap();
    println!("{worlds} worlds");
    assert!(worlds > 1000, "{worlds}");
}

#[test]
fn two_transactions_that_meet_in_every_order() {
    let budget = Budget { doubles: 0, recoveries: 1, tries: 1 };
    let worlds = explore(World::new(&[&[A, B], &[B, A]], budget), true).unwrap();
    println!("{worlds} worlds");
    assert!(worlds > 1000, "{worlds}");
}

#[test]
fn a_recovery_that_does_not_ask_is_found() {
    let budget = Budget { doubles: 0, recoveries: 0, tries: 1 };
    let found = explore(World::new(&[&[A, B]], budget), false).unwrap_err();
    assert!(found.contains("part of a command"), "{found}");
}
