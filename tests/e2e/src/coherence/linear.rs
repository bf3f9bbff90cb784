//! Whether some order explains a history: each operation takes effect at one moment between its beginning and its end.
//!
//! The search of Wing and Gong (1993) with the memory of Lowe (2017), event by event: what is kept after each end is the
//! set of all states that the object may be in, each with those of the pending operations that have taken effect.

use std::collections::HashMap;
use std::hash::Hash;

/// What an object is by its specification.
pub(super) trait Model {
    type State: Clone + Eq + Hash;
    type Act;
    /// As it is made.
    fn start() -> Self::State;
    /// The state after an act, if what came of it can come of it in this state.
    fn apply(state: &Self::State, act: &Self::Act) -> Option<Self::State>;
    /// Whether an act only looks: then it may as well happen as soon as what it has seen is so.
    fn only_looks(act: &Self::Act) -> bool;
}

/// An act with its time.
#[derive(Clone, Debug)]
pub(super) struct Timed<A> {
    pub(super) began: u64,
    /// `u64::MAX` if it may still take effect at the end of the history.
    pub(super) ended: u64,
    pub(super) act: A,
    /// It has taken effect before its end; else it may have.
    pub(super) must: bool,
    /// Where it is from, for who shows it.
    pub(super) from: usize,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// There is an order.
    Fine,
    /// There is none; up to the end of this one there was none any more.
    Wrong(usize),
    /// Too many states to say.
    TooMany,
}

const STATES_MAX: usize = 200_000;
const PENDING_MAX: usize = 128;

type Done = u128;

/// States, each with the sets of pending operations that have taken effect.
struct States<S> {
    /// By what must be done of these sets: what may be done of them, none within another.
    kept: HashMap<(S, Done), Vec<Done>>,
    count: usize,
}

impl<S: Clone + Eq + Hash> States<S> {
    fn new() -> States<S> {
        States { kept: HashMap::new(), count: 0 }
    }

    /// Adds, unless it is there or worse than what is there: what may take effect leaves more open while it has not.
    fn add(&mut self, state: S, done: Done, optional: Done) -> bool {
        let sets = self.kept.entry((state, done & !optional)).or_default();
        let set = done & optional;
        if sets.iter().any(|other| other & !set == 0) {
            return false;
        }
        let before = sets.len();
        sets.retain(|other| set & !other != 0);
        sets.push(set);
        self.count = self.count + sets.len() - before;
        true
    }

    fn into_each(self) -> impl Iterator<Item = (S, Done)> {
        self.kept
            .into_iter()
            .flat_map(|((state, must), sets)| sets.into_iter().map(move |set| (state.clone(), must | set)))
    }
}

/// Looks for an order of the operations.
pub(super) fn check<M: Model>(operations: &[Timed<M::Act>]) -> Verdict {
    // What begins in the moment in which another ends is beside it.
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * operations.len());
    for (at, operation) in operations.iter().enumerate() {
        events.push((operation.began, false, at));
        if operation.ended != u64::MAX {
            events.push((operation.ended.max(operation.began), true, at));
        }
    }
    events.sort_unstable();
    let mut pending: Vec<Option<usize>> = Vec::new();
    let mut states = States::new();
    states.add(M::start(), 0, 0);
    for (_, is_end, at) in events {
        if !is_end {
            match pending.iter().position(Option::is_none) {
                Some(free) => pending[free] = Some(at),
                None if pending.len() == PENDING_MAX => return Verdict::TooMany,
                None => pending.push(Some(at)),
            }
            continue;
        }
        let slot = pending.iter().position(|slot| *slot == Some(at)).unwrap_or_default();
        let Some(next) = after::<M>(operations, &pending, slot, states) else { return Verdict::TooMany };
        if next.count == 0 {
            return Verdict::Wrong(at);
        }
        states = next;
        pending[slot] = None;
    }
    Verdict::Fine
}

/// The states after the end of what is at `target`, or nothing if they are too many.
fn after<M: Model>(
    operations: &[Timed<M::Act>],
    pending: &[Option<usize>],
    target: usize,
    states: States<M::State>,
) -> Option<States<M::State>> {
    let bit = |slot: usize| 1u128 << slot;
    let of = |slot: usize| pending[slot].map(|at| &operations[at]);
    let optional = (0..pending.len())
        .filter(|slot| of(*slot).is_some_and(|operation| !operation.must))
        .fold(0, |set, slot| set | bit(slot));
    let settle = |state: &M::State, mut done: Done| {
        for slot in 0..pending.len() {
            let Some(operation) = of(slot) else { continue };
            let can = operation.must && M::only_looks(&operation.act) && done & bit(slot) == 0;
            if can && M::apply(state, &operation.act).as_ref() == Some(state) {
                done |= bit(slot);
            }
        }
        done
    };
    let must = of(target).is_some_and(|operation| operation.must);
    let mut ended = States::new();
    let mut seen = States::new();
    let mut open = Vec::new();
    for (state, done) in states.into_each() {
        let done = settle(&state, done);
        if seen.add(state.clone(), done, optional) {
            open.push((state, done));
        }
    }
    while let Some((state, done)) = open.pop() {
        if done & bit(target) != 0 || !must {
            ended.add(state.clone(), done & !bit(target), optional & !bit(target));
        }
        if done & bit(target) != 0 {
            continue;
        }
        for slot in (0..pending.len()).filter(|slot| done & bit(*slot) == 0) {
            let Some(next) = of(slot).and_then(|operation| M::apply(&state, &operation.act)) else {
                continue;
            };
            let done = settle(&next, done | bit(slot));
            if seen.add(next.clone(), done, optional) {
                open.push((next, done));
            }
        }
        if seen.count > STATES_MAX {
            return None;
        }
    }
    Some(ended)
}
