//! Random events against a model that keeps one cell per byte.

use locking::{Answer, Client, Conflict, Event, LockMode, Locks, Owner, Request, Space, WaitId, Waits};
use proptest::prelude::*;
use std::collections::BTreeMap;
use types::ByteRange;

const BYTES: usize = 24;
/// The model's last cell stands for everything from it to the end of the largest file.
const TAIL: u64 = BYTES as u64 - 1;

type Cells = Vec<BTreeMap<Owner, LockMode>>;

#[derive(Clone, Default)]
struct Model {
    cells: BTreeMap<Space, Cells>,
    waiting: Vec<(WaitId, Request)>,
}

impl Model {
    fn cells(&mut self, space: Space) -> &mut Cells {
        self.cells.entry(space).or_insert_with(|| vec![BTreeMap::new(); BYTES])
    }

    fn span(space: Space, range: ByteRange) -> std::ops::Range<usize> {
        match space {
            Space::Flock => 0..BYTES,
            Space::Range if range.end == u64::MAX => range.offset as usize..BYTES,
            Space::Range => range.offset as usize..range.end as usize,
        }
    }

    fn free_for(&mut self, request: &Request) -> bool {
        let span = Self::span(request.space, request.range);
        self.cells(request.space)[span].iter().all(|cell| {
            cell.iter().all(|(owner, mode)| *owner == request.owner || !mode.conflicts(request.mode))
        })
    }

    fn put(&mut self, space: Space, range: ByteRange, owner: Owner, mode: Option<LockMode>) {
        for cell in &mut self.cells(space)[Self::span(space, range)] {
            match mode {
                Some(mode) => cell.insert(owner, mode),
                None => cell.remove(&owner),
            };
        }
    }

    /// Everybody that can go goes, in order of arrival, until nobody can.
    fn wake(&mut self) -> Vec<WaitId> {
        let mut woken = Vec::new();
        loop {
            let before = woken.len();
            for (wait, request) in std::mem::take(&mut self.waiting) {
                if self.free_for(&request) {
                    self.put(request.space, request.range, request.owner, Some(request.mode));
                    woken.push(wait);
                } else {
                    self.waiting.push((wait, request));
                }
            }
            if woken.len() == before {
                return woken;
            }
        }
    }

    fn apply(&mut self, event: Event) -> (&'static str, Vec<WaitId>) {
        match event {
            Event::Lock { request, wait } => {
                let span = Self::span(request.space, request.range);
                let upgrades = request.space == Space::Flock
                    && self.cells(Space::Flock)[span]
                        .iter()
                        .any(|cell| cell.get(&request.owner).is_some_and(|mode| *mode != request.mode));
                if upgrades {
                    self.put(Space::Flock, request.range, request.owner, None);
                }
                let answer = if self.free_for(&request) {
                    self.put(request.space, request.range, request.owner, Some(request.mode));
                    "granted"
                } else if let Some(wait) = wait {
                    self.waiting.push((wait, request));
                    "waiting"
                } else {
                    "denied"
                };
                (answer, self.wake())
            }
            Event::Unlock { owner, space, range } => {
                self.put(space, range, owner, None);
                ("granted", self.wake())
            }
            Event::Cancel { wait } => {
                self.waiting.retain(|(other, _)| *other != wait);
                ("granted", Vec::new())
            }
            Event::ReleaseOwner { owner } => {
                self.waiting.retain(|(_, request)| request.owner != owner);
                for space in [Space::Range, Space::Flock] {
                    self.put(space, ByteRange { offset: 0, end: u64::MAX }, owner, None);
                }
                ("granted", self.wake())
            }
            Event::ReleaseClient { client } => {
                self.waiting.retain(|(_, request)| request.owner.client != client);
                for cell in self.cells.values_mut().flatten() {
                    cell.retain(|owner, _| owner.client != client);
                }
                ("granted", self.wake())
            }
            Event::Open { .. } | Event::Close { .. } => ("granted", Vec::new()),
        }
    }
}

fn owner() -> impl Strategy<Value = Owner> {
    (0..2u128, 0..2u64).prop_map(|(client, owner)| Owner { client: Client(client), owner })
}

fn range() -> impl Strategy<Value = ByteRange> {
    let bounded = (0..TAIL, 1..8u64)
        .prop_map(|(offset, length)| ByteRange { offset, end: (offset + length).min(TAIL) });
    prop_oneof![
        6 => bounded,
        1 => (0..TAIL).prop_map(|offset| ByteRange { offset, end: u64::MAX }),
    ]
}

fn space() -> impl Strategy<Value = Space> {
    prop_oneof![4 => Just(Space::Range), 1 => Just(Space::Flock)]
}

fn event() -> impl Strategy<Value = Event> {
    let mode = prop_oneof![Just(LockMode::Shared), Just(LockMode::Exclusive)];
    let lock = (owner(), space(), range(), mode, any::<bool>(), any::<u32>()).prop_map(
        |(owner, space, range, mode, waits, wait)| Event::Lock {
            request: Request { owner, space, range, mode },
            wait: waits.then_some(WaitId(u64::from(wait))),
        },
    );
    prop_oneof![
        8 => lock,
        5 => (owner(), space(), range())
            .prop_map(|(owner, space, range)| Event::Unlock { owner, space, range }),
        1 => (0..8u64).prop_map(|wait| Event::Cancel { wait: WaitId(wait) }),
        1 => owner().prop_map(|owner| Event::ReleaseOwner { owner }),
        1 => (0..2u128).prop_map(|client| Event::ReleaseClient { client: Client(client) }),
    ]
}

/// Every byte's holders, out of the ranges.
fn cells_of(locks: &Locks, space: Space) -> Cells {
    let mut cells: Cells = vec![BTreeMap::new(); BYTES];
    for held in locks.held_in(space) {
        for cell in &mut cells[held.range.offset as usize..(held.range.end.min(BYTES as u64)) as usize] {
            assert!(cell.insert(held.owner, held.mode).is_none(), "an owner's ranges overlap: {held:?}");
        }
    }
    cells
}

fn is_normal(locks: &Locks, space: Space) -> bool {
    let held: Vec<&Conflict> = locks.held_in(space).collect();
    let sorted = held.windows(2).all(|pair| pair[0].range.offset <= pair[1].range.offset);
    let merged = held.iter().all(|a| {
        !a.range.is_empty()
            && held.iter().all(|b| a.owner != b.owner || a.mode != b.mode || a.range.end != b.range.offset)
    });
    sorted && merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn ranges_behave_as_bytes(events in prop::collection::vec(event(), 1..60)) {
        let mut locks = Locks::new();
        let mut waits = Waits::new();
        let mut model = Model::default();
        let mut names = 0u64;
        for event in events {
            let event = match event {
                Event::Lock { request, wait: Some(_) } => {
                    names += 1;
                    Event::Lock { request, wait: Some(WaitId(names)) }
                }
                Event::Cancel { wait } => Event::Cancel { wait: WaitId(names.saturating_sub(wait.0)) },
                other => other,
            };
            if let Event::Lock { request, .. } = event {
                let free = locks.test(&request).is_none();
                prop_assert_eq!(free, model.free_for(&request));
            }
            let mut tried = model.clone();
            let outcome = locks.apply(event, &mut waits);
            let (answer, woken) = if outcome.answer == Answer::Deadlock {
                ("deadlock", Vec::new())
            } else {
                let expected = tried.apply(event);
                model = tried;
                expected
            };
            let got = match outcome.answer {
                Answer::Granted => "granted",
                Answer::Waiting => "waiting",
                Answer::Denied(conflict) => {
                    let Event::Lock { request, .. } = event else { panic!("{event:?} denied") };
                    prop_assert!(conflict.owner != request.owner);
                    prop_assert!(conflict.mode.conflicts(request.mode));
                    "denied"
                }
                Answer::Deadlock => "deadlock",
                other => panic!("{event:?} answered {other:?}"),
            };
            prop_assert_eq!(got, answer, "{:?}", event);
            let granted: Vec<(WaitId, Answer)> = woken.into_iter().map(|wait| (wait, Answer::Granted)).collect();
            prop_assert_eq!(outcome.woken, granted, "{:?}", event);
            for space in [Space::Range, Space::Flock] {
                let expected = model.cells(space).clone();
                prop_assert_eq!(cells_of(&locks, space), expected, "{:?}", event);
                prop_assert!(is_normal(&locks, space), "{:?}: {:?}", event, locks);
            }
            prop_assert_eq!(waits.len(), model.waiting.len());
            prop_assert_eq!(locks.counts().1, model.waiting.len());
        }
    }
}

const FILES: usize = 3;
const OWNERS: u64 = 4;

fn single(owner: u64) -> Owner {
    Owner { client: Client(1), owner }
}

/// Whom `owner` waits for, straight from the definition.
fn waits_for(files: &[Locks], asked: &BTreeMap<u64, (usize, Request)>, owner: u64) -> Vec<u64> {
    let Some((file, request)) = asked.get(&owner) else { return Vec::new() };
    files[*file]
        .held_in(request.space)
        .filter(|held| {
            held.owner != request.owner
                && held.range.overlaps(&request.range)
                && held.mode.conflicts(request.mode)
        })
        .map(|held| held.owner.owner)
        .collect()
}

fn has_circle(files: &[Locks], asked: &BTreeMap<u64, (usize, Request)>) -> bool {
    let mut reach = [[false; OWNERS as usize]; OWNERS as usize];
    for owner in 0..OWNERS {
        for other in waits_for(files, asked, owner) {
            reach[owner as usize][other as usize] = true;
        }
    }
    for k in 0..OWNERS as usize {
        for i in 0..OWNERS as usize {
            for j in 0..OWNERS as usize {
                reach[i][j] |= reach[i][k] && reach[k][j];
            }
        }
    }
    (0..OWNERS as usize).any(|i| reach[i][i])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Processes with one thread each, over several files: a wait is refused exactly when it would
    /// close a circle, and so whoever runs can always let everybody else go on.
    #[test]
    fn no_wait_lasts_for_ever(
        steps in prop::collection::vec((0..OWNERS, 0..FILES, range(), any::<bool>(), any::<bool>()), 1..80)
    ) {
        let mut files: Vec<Locks> = (0..FILES).map(|_| Locks::new()).collect();
        let mut waits = Waits::new();
        let mut asked: BTreeMap<u64, (usize, Request)> = BTreeMap::new();
        for (name, (owner, file, range, exclusive, unlock)) in steps.into_iter().enumerate() {
            if asked.contains_key(&owner) {
                continue;
            }
            let mode = if exclusive { LockMode::Exclusive } else { LockMode::Shared };
            let request = Request { owner: single(owner), space: Space::Range, range, mode };
            let event = if unlock {
                Event::Unlock { owner: single(owner), space: Space::Range, range }
            } else {
                Event::Lock { request, wait: Some(WaitId(name as u64)) }
            };
            let before = files[file].clone();
            let outcome = files[file].apply(event, &mut waits);
            match outcome.answer {
                Answer::Waiting => {
                    asked.insert(owner, (file, request));
                }
                Answer::Deadlock => {
                    let mut would = asked.clone();
                    would.insert(owner, (file, request));
                    prop_assert!(has_circle(&files, &would), "refused without a circle");
                    prop_assert_eq!(&files[file], &before);
                }
                _ => {}
            }
            let done: Vec<u64> = asked
                .iter()
                .filter(|(_, (at, request))| *at == file && files[file].held_in(Space::Range).any(|held| {
                    held.owner == request.owner
                        && held.mode == request.mode
                        && held.range.offset <= request.range.offset
                        && held.range.end >= request.range.end
                }))
                .map(|(owner, _)| *owner)
                .collect();
            for owner in done {
                asked.remove(&owner);
            }
            prop_assert_eq!(asked.len(), waits.len());
            prop_assert!(!has_circle(&files, &asked), "a circle of waits stands");
        }
    }
}
