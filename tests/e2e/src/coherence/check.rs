//! All histories, object by object, and what cannot have been.

use super::history::{Act, BLOCK_BYTES, Kind, Object, Operation, Outcome};
use super::linear::{Model, Timed, Verdict, check};
use super::models::{
    Blocks, BlocksAct, Counter, CounterAct, NAMES, Names, NamesAct, Register, RegisterAct, UNTOLD,
};
use super::places::Way;
use super::sessions::{Ages, Known, Session};
use nix::libc::{EACCES, EAGAIN, EEXIST, ENOENT, ESTALE};
use std::collections::{BTreeMap, HashSet};

/// Who has done something.
#[derive(Clone, Debug)]
pub(super) struct Doer {
    /// How a failure calls him.
    pub(super) name: String,
    pub(super) way: Way,
}

/// What cannot have been.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) object: Object,
    pub(super) what: String,
    /// The operations that show it, in the order of their beginnings; none where too many orders would have to be tried.
    pub(super) operations: Vec<Operation>,
}

impl Violation {
    /// Whether it is not known that there is none.
    pub(super) fn is_undecided(&self) -> bool {
        self.operations.is_empty()
    }
}

/// Checks all that was done.
pub(super) fn violations(operations: Vec<Operation>, doers: &[Doer]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut objects: BTreeMap<Object, Vec<Operation>> = BTreeMap::new();
    let mut made = HashSet::new();
    for operation in operations {
        if let Some(Outcome::Torn(what)) = &operation.outcome {
            let (object, what) = (operation.object, format!("nobody has written that: {what}"));
            found.push(Violation { object, what, operations: vec![operation.clone()] });
        }
        if let (Act::Create { .. }, Some(Outcome::Number(number))) = (operation.act, &operation.outcome)
            && !made.insert(*number)
        {
            let (object, what) = (operation.object, format!("the inode number {number} is given twice"));
            found.push(Violation { object, what, operations: vec![operation.clone()] });
        }
        objects.entry(operation.object).or_default().push(operation);
    }
    for (object, mut operations) in objects {
        operations.sort_by_key(|operation| operation.began);
        let of = Of { object, operations: &operations, doers };
        found.extend(of.check(&made));
    }
    found
}

/// What was done to one object.
struct Of<'a> {
    object: Object,
    operations: &'a [Operation],
    doers: &'a [Doer],
}

/// What is known of an act: nothing; that it has happened; that it may have.
enum Effect<A> {
    Nothing,
    Has(A),
    May(A),
}

use Effect::{Has, May, Nothing};

impl Of<'_> {
    fn check(&self, made: &HashSet<u64>) -> Vec<Violation> {
        match self.object.kind {
            Kind::Block { .. } | Kind::Size => self.register(),
            Kind::Cut | Kind::Log => self.linear::<Blocks>(&self.timed(blocks), looks::<Blocks>),
            Kind::Counter => self.linear::<Counter>(&self.timed(counter), looks::<Counter>),
            Kind::Names => {
                let mut timed = Vec::new();
                for (from, operation) in self.operations.iter().enumerate() {
                    let outrun = self.is_outrun(operation);
                    for known in names(operation, from, self.way(operation), outrun, made) {
                        timed.extend(as_timed(known, operation, from));
                    }
                }
                self.linear::<Names>(&timed, looks::<Names>)
            }
        }
    }

    fn way(&self, operation: &Operation) -> Way {
        self.doers[operation.worker].way
    }

    fn meanwhile(&self, operation: &Operation) -> impl Iterator<Item = &Operation> {
        let (began, ended, worker) = (operation.began, operation.ended, operation.worker);
        let others = self.operations.iter().filter(move |other| other.worker != worker);
        others.filter(move |other| other.began <= ended && began <= other.ended)
    }

    /// Whether an NFS client looks at the size of what it writes: to its own processes it shows what it believes that it is.
    fn is_of_writing_client(&self, operation: &Operation) -> bool {
        let way = self.way(operation);
        let writes = |act| matches!(act, Act::Write { .. } | Act::Append { .. } | Act::Truncate { .. });
        way != Way::Fuse && self.meanwhile(operation).any(|other| self.way(other) == way && writes(other.act))
    }

    /// Whether somebody moves or links something to the name that this moves to. A kernel looks at the one name, then at the other, and
    /// has nothing to do if it finds one inode.
    fn is_outrun(&self, operation: &Operation) -> bool {
        let Act::Rename { to, .. } = operation.act else { return false };
        let comes = |other: &Operation| match other.act {
            Act::Rename { to: other, .. } | Act::Link { to: other, .. } => other == to,
            _ => false,
        };
        let nothing = |other: &Operation| matches!(other.outcome, Some(Outcome::Failed(ENOENT | EEXIST)));
        self.meanwhile(operation).any(|other| comes(other) && !nothing(other))
    }

    fn timed<A: Copy>(&self, known: impl Fn(&Operation) -> Effect<A>) -> Vec<Timed<A>> {
        let mut timed = Vec::with_capacity(self.operations.len());
        for (from, operation) in self.operations.iter().enumerate() {
            if operation.act == Act::Stat && self.is_of_writing_client(operation) {
                continue;
            }
            let effect = known(operation);
            // Others see what is not durable yet; when it is lost with the daemon, its client writes it again.
            if let (Has(act), Act::Write { .. }, true) = (&effect, operation.act, operation.daemon_died) {
                timed.extend(as_timed(May(*act), operation, from));
            }
            timed.extend(as_timed(effect, operation, from));
        }
        timed
    }

    fn register(&self) -> Vec<Violation> {
        let is_session =
            |operation: &Operation| self.way(operation) == Way::Defaults && value_read(operation).is_some();
        // What was never read need not have been.
        let read: HashSet<u64> = self.operations.iter().filter_map(value_read).collect();
        let timed = self.timed(|operation| match register(operation) {
            May(RegisterAct::Write(value)) if !read.contains(&value) => Nothing,
            _ if is_session(operation) => Nothing,
            known => known,
        });
        let mut found = self.linear::<Register>(&timed, values);
        let known: Vec<Known> = timed
            .iter()
            .map(|one| {
                let (value, is_write) = match one.act {
                    RegisterAct::Write(value) => (value, true),
                    RegisterAct::Read(value) => (value, false),
                };
                Known { value, began: one.began, ended: one.ended, is_write }
            })
            .collect();
        let ages = Ages::new(0, &known);
        for operation in self.operations.iter().filter(|operation| is_session(operation)) {
            let Some(value) = value_read(operation) else { continue };
            let session = Session { value, opened: operation.began, ended: operation.ended };
            if !ages.allow(&session) {
                let near = |other: &&Operation| {
                    value_written(other) == Some(value)
                        || (other.ended < operation.began && other.ended + 20_000_000 > operation.began)
                };
                let mut shown: Vec<Operation> = self.operations.iter().filter(near).cloned().collect();
                shown.push(operation.clone());
                let what = "a read after an open is older than what was closed before the open".to_owned();
                found.push(Violation { object: self.object, what, operations: shown });
            }
        }
        found
    }

    /// Checks, and makes what is wrong as short as can be by leaving out what does not matter: groups of operations
    /// without which a good history would still be good.
    fn linear<M: Model>(
        &self,
        timed: &[Timed<M::Act>],
        groups: impl Fn(&[Timed<M::Act>]) -> Vec<Vec<usize>>,
    ) -> Vec<Violation>
    where
        M::Act: Copy,
    {
        let wrong = match check::<M>(timed) {
            Verdict::Fine => return Vec::new(),
            Verdict::Wrong(at) => at,
            Verdict::TooMany => {
                let what = "too many orders to say".to_owned();
                return vec![Violation { object: self.object, what, operations: Vec::new() }];
            }
        };
        let last = timed[wrong].ended;
        let mut kept: Vec<Timed<M::Act>> = timed.iter().filter(|one| one.began <= last).cloned().collect();
        let mut at = 0;
        while let Some(group) = groups(&kept).get(at) {
            let without: Vec<Timed<M::Act>> =
                (0..kept.len()).filter(|one| !group.contains(one)).map(|one| kept[one].clone()).collect();
            match check::<M>(&without) {
                Verdict::Wrong(_) => kept = without,
                _ => at += 1,
            }
        }
        let mut shown: Vec<usize> = kept.iter().map(|one| one.from).collect();
        shown.dedup();
        let operations = shown.into_iter().map(|from| self.operations[from].clone()).collect();
        let what = "no order explains this".to_owned();
        vec![Violation { object: self.object, what, operations }]
    }
}

fn as_timed<A>(known: Effect<A>, operation: &Operation, from: usize) -> Option<Timed<A>> {
    let (act, must) = match known {
        Nothing => return None,
        Has(act) => (act, true),
        May(act) => (act, false),
    };
    // What was not answered may happen at any time later.
    let is_known = match operation.outcome {
        None => false,
        Some(Outcome::Failed(error)) => matches!(error, ENOENT | EEXIST | ESTALE),
        Some(_) => true,
    };
    let ended = if must || is_known { operation.ended } else { u64::MAX };
    Some(Timed { began: operation.began, ended, act, must, from })
}

fn value_read(operation: &Operation) -> Option<u64> {
    match (operation.act, operation.outcome.as_ref()?) {
        (Act::Read { .. }, Outcome::Tag(tag)) => Some(tag.unwrap_or(0)),
        (Act::Stat, Outcome::Number(size)) => Some(*size),
        _ => None,
    }
}

fn value_written(operation: &Operation) -> Option<u64> {
    match operation.act {
        Act::Write { tag, .. } => Some(tag),
        Act::Truncate { size } => Some(size),
        _ => None,
    }
}

/// What changes something has happened if it was done, may have if nobody knows.
fn changed<A>(operation: &Operation, act: A) -> Effect<A> {
    match operation.outcome {
        Some(Outcome::Failed(_)) | None => May(act),
        _ => Has(act),
    }
}

fn register(operation: &Operation) -> Effect<RegisterAct> {
    match (value_written(operation), value_read(operation)) {
        (Some(value), _) => changed(operation, RegisterAct::Write(value)),
        (None, Some(value)) => Has(RegisterAct::Read(value)),
        _ => Nothing,
    }
}

fn blocks(operation: &Operation) -> Effect<BlocksAct> {
    let length = |size: u64| size / BLOCK_BYTES as u64;
    match (operation.act, &operation.outcome) {
        (Act::Write { block, tag }, _) => changed(operation, BlocksAct::Write(block, tag)),
        (Act::Truncate { size }, _) => changed(operation, BlocksAct::Truncate(length(size))),
        (Act::Append { tag }, _) => changed(operation, BlocksAct::Append(tag)),
        (Act::Read { block }, Some(Outcome::Tag(tag))) => Has(BlocksAct::Read(block, *tag)),
        // A size within a block is none that the file ever has.
        (Act::Stat, Some(Outcome::Number(size))) => {
            Has(BlocksAct::Length(if size % BLOCK_BYTES as u64 == 0 { length(*size) } else { u64::MAX }))
        }
        _ => Nothing,
    }
}

fn counter(operation: &Operation) -> Effect<CounterAct> {
    match operation.outcome {
        Some(Outcome::Number(from)) => Has(CounterAct::Add(from)),
        // It did not get the lock.
        Some(Outcome::Failed(EAGAIN | EACCES)) => Nothing,
        _ => May(CounterAct::AddUntold),
    }
}

fn names(
    operation: &Operation,
    from: usize,
    way: Way,
    outrun: bool,
    made: &HashSet<u64>,
) -> Vec<Effect<NamesAct>> {
    let strict = way != Way::Defaults;
    let is = |name: u8, number: u64| {
        Has(if number == 0 || made.contains(&number) {
            NamesAct::Is(name, number)
        } else {
            NamesAct::IsUntold(name, number)
        })
    };
    let changes = |act| vec![changed(operation, act)];
    let seen = |act| if strict { vec![Has(act)] } else { Vec::new() };
    match (operation.act, &operation.outcome) {
        // Who enters with defaults looks at names that he knows before he asks.
        (Act::Create { name }, Some(Outcome::Failed(EEXIST))) => seen(NamesAct::Taken(name)),
        (Act::Link { to, .. }, Some(Outcome::Failed(EEXIST))) => seen(NamesAct::Taken(to)),
        (Act::Link { .. }, Some(Outcome::Failed(ENOENT | ESTALE))) => Vec::new(),
        (Act::Unlink { name }, Some(Outcome::Failed(ENOENT))) => seen(NamesAct::Is(name, 0)),
        (Act::Rename { from, to }, Some(Outcome::Failed(ENOENT))) => {
            let mut all = seen(NamesAct::Is(from, 0));
            all.extend((way != Way::Fuse && from != to).then_some(May(NamesAct::Unset(to))));
            all
        }
        (Act::Create { name }, Some(Outcome::Number(number))) => vec![Has(NamesAct::Set(name, *number))],
        (Act::Create { name }, _) => changes(NamesAct::Set(name, UNTOLD | from as u64)),
        (Act::Link { number, to }, _) => changes(NamesAct::Set(to, number)),
        (Act::Unlink { name }, _) => changes(NamesAct::Unset(name)),
        // Two names that it believes to be of one inode it leaves by itself (rename(2)).
        (Act::Rename { from, to }, Some(Outcome::Done)) if !strict || outrun => [
            (way != Way::Fuse && from != to).then_some(May(NamesAct::Unset(to))),
            Some(May(NamesAct::Rename(from, to))),
        ]
        .into_iter()
        .flatten()
        .collect(),
        // An NFS client first moves away what somebody holds open under the name that is replaced.
        (Act::Rename { from, to }, _) if way != Way::Fuse && from != to => {
            vec![May(NamesAct::Unset(to)), changed(operation, NamesAct::Rename(from, to))]
        }
        (Act::Rename { from, to }, _) => changes(NamesAct::Rename(from, to)),
        (Act::Lookup { name }, Some(Outcome::Number(number))) if strict => vec![is(name, *number)],
        (Act::List, Some(Outcome::Names(found))) if strict => (0..NAMES as u8)
            .map(|name| {
                let found = found.iter().find(|(other, _)| *other == name);
                is(name, found.map_or(0, |(_, number)| *number))
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Each read, and each write with all that has read it.
fn values(timed: &[Timed<RegisterAct>]) -> Vec<Vec<usize>> {
    let mut groups = Vec::new();
    for (at, one) in timed.iter().enumerate() {
        match one.act {
            RegisterAct::Read(_) => groups.push(vec![at]),
            RegisterAct::Write(value) => groups.push(
                (0..timed.len())
                    .filter(|other| {
                        matches!(timed[*other].act,
                            RegisterAct::Read(other) | RegisterAct::Write(other) if other == value)
                    })
                    .collect(),
            ),
        }
    }
    groups
}

/// Each that only looks.
fn looks<M: Model>(timed: &[Timed<M::Act>]) -> Vec<Vec<usize>> {
    (0..timed.len()).filter(|at| M::only_looks(&timed[*at].act)).map(|at| vec![at]).collect()
}

#[cfg(test)]
mod tests;
