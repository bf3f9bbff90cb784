//! The machine on input that nobody should send, on damaged maps, and where cookies collide.

use super::*;
use crate::command::{Changed, Channels, Create, Exists, Extent, NewStripe, NodeSpec, Space};
use crate::cookie::natural;
use crate::queries;
use map::{MemoryMap, OrderedMapMut};
use proptest::prelude::*;
use std::collections::BTreeMap;
use types::{ByteRange, Cookie, Cred, FileId, FsId, GroupId, Mode, Name, SetAttr, SetTime, StripeId, Time};

mod removal;

const FS: FsId = FsId(1);
const HASH_KEY: [u8; 16] = [3; 16];

fn command(action: Action) -> Command {
    Command { now: Time::default(), cred: Cred::root(), request: None, fs: FS, action, appends: Vec::new() }
}

fn apply(map: &mut MemoryMap, action: Action) -> Outcome {
    let encoded = command(action).encode().unwrap();
    reply_of(&Namespace.apply(map, &encoded).unwrap()).unwrap()
}

fn filesystem() -> MemoryMap {
    let mut map = MemoryMap::default();
    apply(&mut map, Action::MakeFilesystem { name: "f".into(), hash_key: HASH_KEY }).unwrap();
    map
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes().to_vec()).unwrap()
}

fn create(name: Name, node: NodeSpec) -> Action {
    let (set, mode) = (SetAttr::default(), Mode(0o644));
    let (dir, exists, verifier) = (InodeId::ROOT, Exists::Fail, None);
    Action::Create(Create { dir, name, node, mode, set, exists, verifier })
}

fn made(outcome: Outcome) -> InodeId {
    match outcome {
        Ok(Reply::Created { attr, .. }) => attr.file.ino,
        other => panic!("{other:?}"),
    }
}

fn found(map: &MemoryMap, name: &Name) -> Option<InodeId> {
    match queries::directory::lookup(map, &Cred::root(), FileId::root(FS), name) {
        Ok((ino, _)) => Some(ino),
        Err(queries::QueryError::Fs(FsError::NotFound)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Names whose natural cookies are one and the same: equal but for case, so that 40 bits are.
fn colliding() -> Vec<Name> {
    let mut by_cookie: BTreeMap<Cookie, Vec<Name>> = BTreeMap::new();
    for variant in 0..1u32 << 18 {
        let cased = |i: u32| {
            let letter = b'a' + i as u8;
            if variant >> i & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
        };
        let name = Name::new((0..18).map(cased).collect::<Vec<u8>>()).unwrap();
        by_cookie.entry(natural(&HASH_KEY, &name)).or_default().push(name);
    }
    by_cookie.into_values().max_by_key(Vec::len).unwrap()
}

#[test]
fn entries_that_collide_are_found_and_removed_in_any_order() {
    let names = colliding();
    assert!(names.len() >= 3, "2^18 names on 2^23 cookies give triples");
    for gone in 0..names.len() {
        let mut map = filesystem();
        let inodes: Vec<InodeId> =
            names.iter().map(|n| made(apply(&mut map, create(n.clone(), NodeSpec::File)))).collect();
        let list = |map: &MemoryMap| {
            let root = FileId::root(FS);
            let all =
                queries::directory::list(map, &Cred::root(), root, Cookie::START, 100, |_| false).unwrap();
            all.0.into_iter().map(|entry| entry.cookie).collect::<Vec<_>>()
        };
        let home = natural(&HASH_KEY, &names[0]).0;
        assert_eq!(list(&map), (0..names.len() as u64).map(|i| Cookie(home + i)).collect::<Vec<_>>());
        let action = |i: usize| Action::Remove {
            dir: InodeId::ROOT,
            name: names[i].clone(),
            directory: false,
            seen: inodes[i],
            keep: false,
        };
        apply(&mut map, action(gone)).unwrap();
        for (i, name) in names.iter().enumerate() {
            assert_eq!(found(&map, name), (i != gone).then_some(inodes[i]));
        }
        let again = made(apply(&mut map, create(names[gone].clone(), NodeSpec::Directory)));
        assert_eq!(found(&map, &names[gone]), Some(again));
        for i in (0..names.len()).filter(|i| *i != gone) {
            apply(&mut map, action(i)).unwrap();
            assert_eq!(found(&map, &names[i]), None);
        }
        assert_eq!(found(&map, &names[gone]), Some(again));
        let root = queries::inode::inode(&map, FileId::root(FS)).unwrap();
        let displaced = u32::from(list(&map) != [Cookie(home)]);
        assert_eq!(root.as_directory().ok().map(|body| body.displaced), Some(displaced));
    }
}

/// What counting everything again finds wrong.
fn differences(map: &MemoryMap) -> Vec<queries::accounts::Difference> {
    let mut slots = std::collections::BTreeSet::new();
    map.scan(&[], &[0xff; 64], &mut |key, _| {
        slots.extend(keys::parse_slot(key));
        true
    })
    .unwrap();
    let slots = slots.into_iter();
    let all = slots.map(|slot| queries::accounts::Recount::new(slot).step(map, usize::MAX).unwrap().unwrap());
    all.flatten().collect()
}

fn inode_id() -> impl Strategy<Value = InodeId> {
    prop_oneof![8 => (0u64..6).prop_map(InodeId), 1 => any::<u64>().prop_map(InodeId)]
}

fn stripe_id() -> impl Strategy<Value = StripeId> {
    prop_oneof![8 => (0u64..6).prop_map(StripeId), 1 => any::<u64>().prop_map(StripeId)]
}

fn some_name() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["a", "b", "c", "user.a", "security.capability"]).prop_map(name)
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0u64..5000, 1 => (i64::MAX as u64 - 50)..(i64::MAX as u64 + 50), 1 => any::<u64>()]
}

fn node() -> impl Strategy<Value = NodeSpec> {
    prop_oneof![
        4 => Just(NodeSpec::File),
        2 => Just(NodeSpec::Directory),
        1 => prop::collection::vec(any::<u8>(), 0..3).prop_map(|target| NodeSpec::Symlink(target.into())),
        1 => Just(NodeSpec::Fifo),
    ]
}

fn set() -> impl Strategy<Value = SetAttr> {
    let times = prop::option::of(any::<(i64, u32)>());
    (prop::option::of(offset()), prop::option::of(any::<u16>()), prop::option::of(0u32..3), times).prop_map(
        |(size, mode, uid, time)| {
            let at = |(seconds, nanoseconds)| SetTime::At(Time { seconds, nanoseconds });
            SetAttr { size, mode: mode.map(Mode), uid, mtime: time.map(at), ..SetAttr::default() }
        },
    )
}

fn extent() -> impl Strategy<Value = Extent> {
    let source = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Changed::Inline(bytes.into())),
        (stripe_id(), 0u32..300, 0u32..300).prop_map(|(stripe, at, length)| Changed::Stripe {
            stripe,
            at,
            length
        }),
        (stripe_id(), any::<u32>(), any::<u32>()).prop_map(|(stripe, at, length)| Changed::Stripe {
            stripe,
            at,
            length
        }),
    ];
    (offset(), source).prop_map(|(offset, source)| Extent { offset, source })
}

fn new_stripe() -> impl Strategy<Value = NewStripe> {
    (stripe_id(), 0u8..3, prop_oneof![Just(400u32), any::<u32>()]).prop_map(
        |(stripe, data_chunks, length)| NewStripe {
            stripe,
            group: GroupId(0),
            data_chunks,
            parity_chunks: 0,
            cells: 1,
            length,
        },
    )
}

prop_compose! {
    fn commit()(
        ino in inode_id(),
        stripes in prop::collection::vec(new_stripe(), 0..3),
        mut extents in prop::collection::vec(extent(), 0..5),
        ordered in any::<bool>(),
        inline in prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..5000)),
        size_at_least in prop_oneof![4 => Just(0), 1 => offset()],
        change_at_least in 0u64..20,
        drop_privileges in any::<bool>(),
    ) -> Action {
        if ordered {
            extents.sort_by_key(|extent| extent.offset);
        }
        let (written, inline) = (Some(Time::default()), inline.map(Bytes::from));
        Action::Commit { ino, stripes, extents, inline, size_at_least, change_at_least, written, drop_privileges }
    }
}

fn action() -> impl Strategy<Value = Action> {
    let exists = || prop::sample::select(vec![Exists::Fail, Exists::Accept, Exists::Exchange]);
    let space = prop::sample::select(vec![Space::Reserve, Space::Punch, Space::Zero]);
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..10).prop_map(Bytes::from));
    prop_oneof![
        6 => (inode_id(), some_name(), node(), set(), exists()).prop_map(|(dir, name, node, set, exists)| {
            Action::Create(Create { dir, name, node, mode: Mode(0o644), set, exists, verifier: None })
        }),
        2 => (inode_id(), inode_id(), some_name())
            .prop_map(|(ino, dir, name)| Action::Link { ino, dir, name }),
        2 => (inode_id(), some_name(), any::<bool>(), inode_id(), any::<bool>())
            .prop_map(|(dir, name, directory, seen, keep)| Action::Remove { dir, name, directory, seen, keep }),
        3 => (inode_id(), some_name(), inode_id(), some_name(), exists(), prop::option::of(inode_id()), any::<bool>())
            .prop_map(|(from_dir, from_name, to_dir, to_name, exists, seen, keep)| {
                Action::Rename { from_dir, from_name, to_dir, to_name, exists, seen, keep }
            }),
        3 => (inode_id(), set(), any::<bool>())
            .prop_map(|(ino, set, may_write)| Action::SetAttr { ino, set, may_write, if_ctime: None }),
        2 => (inode_id(), some_name(), value)
            .prop_map(|(ino, name, value)| Action::SetXattr { ino, name, value, must_exist: None }),
        8 => commit(),
        3 => (inode_id(), offset(), offset(), space, any::<bool>()).prop_map(|(ino, from, length, space, extend)| {
            let range = if length % 7 == 0 { ByteRange { offset: from, end: length } } else { ByteRange::new(from, length) };
            Action::Space { ino, range, space, extend }
        }),
        3 => (inode_id(), offset(), inode_id(), offset(), offset())
            .prop_map(|(from, from_offset, to, to_offset, length)| {
                Action::CloneRange { from, from_offset, to, to_offset, length }
            }),
        3 => (inode_id(), any::<u32>()).prop_map(|(near, count)| Action::GrantStripes { near, count: count % 9 }),
        1 => inode_id().prop_map(|ino| Action::DropOrphan { ino }),
        1 => inode_id().prop_map(|ino| Action::Drain { ino }),
        1 => prop::collection::vec(stripe_id(), 0..3).prop_map(|stripes| Action::ForgetStripes { stripes }),
        1 => prop::collection::vec(stripe_id(), 0..3).prop_map(|stripes| Action::Bury { stripes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_some_command_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), version: bool) {
        let mut bytes = bytes;
        if version {
            bytes.insert(0, VERSION);
        }
        let mut map = filesystem();
        let _ = Namespace.apply(&mut map, &bytes.clone().into());
        let _ = reply_of(&bytes);
    }

    #[test]
    fn any_commands_are_answered(actions in prop::collection::vec(action(), 1..60)) {
        let mut map = filesystem();
        for action in actions {
            let before = map.clone();
            // The map stays in order, so that it can always be read.
            let outcome = apply(&mut map, action);
            if outcome.is_err() {
                prop_assert!(map == before, "a command that fails changes nothing");
            }
            // Reservations of files of 8 EiB each may come to more than a number holds.
            let (all, _) = queries::accounts::of_filesystems(&map, Slot(0), usize::MAX).unwrap();
            if all.iter().all(|(_, _, account)| account.used < i64::MAX as u64) {
                prop_assert_eq!(differences(&map), []);
            }
        }
    }

    #[test]
    fn damaged_maps_end_in_errors(
        actions in prop::collection::vec(action(), 1..40),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
        then in prop::collection::vec(action(), 1..20),
    ) {
        let mut map = filesystem();
        for action in actions {
            let _ = apply(&mut map, action);
        }
        for (which, place, byte) in damage {
            let mut records = Vec::new();
            map.scan(&[], &[0xff; 64], &mut |key, value| {
                records.push((key.to_vec(), value.to_vec()));
                true
            }).unwrap();
            let (key, mut value) = records[which.index(records.len())].clone();
            let at = place.index(value.len());
            value[at] = byte;
            map::OrderedMapMut::put(&mut map, &key, value.into());
        }
        for action in then {
            let encoded = command(action).encode().unwrap();
            let _ = Namespace.apply(&mut map, &encoded);
        }
    }
}

#[test]
fn clients_are_remembered_until_there_is_nothing_to_know() {
    use crate::records::{Client, Kept};
    use locking::Holds;
    let mut map = filesystem();
    let empty = map.clone();
    let kept = |text: &'static str| Some(Kept { head: 0, data: Bytes::from_static(text.as_bytes()) });
    let keep = |client, holds, kept| Action::KeepClient { client, holds, kept };
    let list = |map: &MemoryMap, after| {
        let mut found = Vec::new();
        queries::client::clients(map, after, &mut |id, client| {
            found.push((id, client));
            true
        })
        .unwrap();
        found
    };
    apply(&mut map, keep(7, None, kept("one"))).unwrap();
    apply(&mut map, keep(u128::MAX, Some(Holds::LOCK), None)).unwrap();
    apply(&mut map, keep(7, Some(Holds::LOCK), None)).unwrap();
    let seven = Client { holds: Holds::LOCK, kept: kept("one") };
    let last = Client { holds: Holds::LOCK, kept: None };
    assert_eq!(list(&map, None), [(7, seven), (u128::MAX, last.clone())]);
    assert_eq!(list(&map, Some(7)), [(u128::MAX, last)]);
    assert_eq!(list(&map, Some(u128::MAX)), []);

    apply(&mut map, keep(7, None, kept("two"))).unwrap();
    apply(&mut map, Action::DisownClients { clients: vec![u128::MAX, 3, 7] }).unwrap();
    assert_eq!(list(&map, None), [(7, Client { holds: Holds::NOTHING, kept: kept("two") })]);
    let large = Kept { head: 0, data: vec![0; types::limits::CLIENT_RECORD_BYTES_MAX + 1].into() };
    assert_eq!(apply(&mut map, keep(7, None, Some(large))), Err(FsError::Invalid.into()));
    apply(&mut map, Action::EndClients { clients: vec![7, 9] }).unwrap();
    assert_eq!((list(&map, None), queries::client::ended(&map).unwrap()), (vec![], vec![7, 9]));
    apply(&mut map, Action::DropClients { clients: vec![8, 9, 7] }).unwrap();
    assert_eq!(map, empty);
}

#[test]
fn a_first_answer_is_found_by_what_the_client_still_says_of_its_request() {
    let mut map = filesystem();
    let mkdir = |text: &str, channel, sequence, step| {
        let request = Some(RequestId { client: 9, channel, sequence, step });
        Command { request, ..command(create(name(text), NodeSpec::Directory)) }
    };
    let done = mkdir("a", 3, (1 << 32) + 5, 8);
    let first = reply_of(&Namespace.apply(&mut map, &done.encode().unwrap()).unwrap()).unwrap();
    for (command, found) in [
        (mkdir("a", 3, (1 << 32) + 5, 8), true),
        (mkdir("a", 3, 5, 8), true),
        (mkdir("a", 3, 6, 8), false),
        (mkdir("a", 3, 5, 9), false),
        (mkdir("a", 4, 5, 8), false),
    ] {
        assert_eq!(first_answer(&map, &command).unwrap(), found.then(|| first.clone()), "{command:?}");
    }
    let forget = |first, last| Action::ForgetReplays {
        channels: vec![Channels { client: 9, first, last }],
        near: InodeId::ROOT,
    };
    apply(&mut map, forget(4, u32::MAX)).unwrap();
    assert!(first_answer(&map, &done).unwrap().is_some());
    apply(&mut map, forget(0, 3)).unwrap();
    assert_eq!(first_answer(&map, &done).unwrap(), None);
}

#[test]
fn replays_of_many_are_found_and_forgotten_at_once() {
    let mut map = filesystem();
    for (n, (client, channel)) in
        [(1, 0), (1, 70), (3, 5), (3, 6), (9, u32::MAX), (u128::MAX, 0)].into_iter().enumerate()
    {
        let request = Some(RequestId { client, channel, sequence: 1, step: 0 });
        let make = Command { request, ..command(create(name(&n.to_string()), NodeSpec::Directory)) };
        reply_of(&Namespace.apply(&mut map, &make.encode().unwrap()).unwrap()).unwrap().unwrap();
    }
    let of = |client, first, last| Channels { client, first, last };
    let all = [
        of(0, 0, 9),
        of(1, 1, 63),
        of(1, 64, 127),
        of(2, 0, u32::MAX),
        of(3, 0, u32::MAX),
        of(3, 5, 5),
        of(8, 0, 9),
    ];
    let there = [of(1, 64, 127), of(3, 0, u32::MAX), of(3, 5, 5)];
    let find =
        |map: &MemoryMap, wanted: &[Channels]| queries::pending::replays(map, FS, Slot(0), wanted).unwrap();
    assert_eq!(find(&map, &all), there);
    assert_eq!(queries::pending::replays(&map, FS, Slot(1), &all).unwrap(), []);
    assert_eq!(
        find(&map, &[of(9, 0, u32::MAX), of(u128::MAX, 0, 0)]),
        [of(9, 0, u32::MAX), of(u128::MAX, 0, 0)]
    );
    apply(&mut map, Action::ForgetReplays { channels: there.to_vec(), near: InodeId::ROOT }).unwrap();
    assert_eq!(find(&map, &all), []);
    assert_eq!(
        find(&map, &[of(1, 0, u32::MAX), of(9, 0, u32::MAX)]),
        [of(1, 0, u32::MAX), of(9, 0, u32::MAX)]
    );
}

/// A map in which what was removed is still passed by, as in an engine that has not compacted yet.
#[derive(Default)]
struct Slow {
    cells: BTreeMap<Vec<u8>, Option<Bytes>>,
    passed: std::cell::Cell<u64>,
}

impl Slow {
    fn walk<'a>(
        &self,
        cells: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Bytes>)>,
        visit: &mut map::Visit<'_>,
    ) {
        for (key, value) in cells {
            self.passed.set(self.passed.get() + 1);
            if let Some(value) = value
                && !visit(key, value)
            {
                return;
            }
        }
    }
}

impl OrderedMap for Slow {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        Ok(self.cells.get(key).cloned().flatten())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut map::Visit<'_>) -> Result<(), MapError> {
        self.walk(self.cells.range(from.to_vec()..to.to_vec().max(from.to_vec())), visit);
        Ok(())
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut map::Visit<'_>) -> Result<(), MapError> {
        self.walk(self.cells.range(from.to_vec()..to.to_vec().max(from.to_vec())).rev(), visit);
        Ok(())
    }
}

impl OrderedMapMut for Slow {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.cells.insert(key.to_vec(), Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.cells.insert(key.to_vec(), None);
    }
}

#[test]
fn draining_passes_by_what_it_has_removed_only_once() {
    let mut map = Slow::default();
    let mut run = |action: Action| {
        let encoded = command(action).encode().unwrap();
        reply_of(&Namespace.apply(&mut map, &encoded).unwrap()).unwrap().unwrap()
    };
    run(Action::MakeFilesystem { name: "f".into(), hash_key: HASH_KEY });
    let ino = made(Ok(run(create(name("f"), NodeSpec::File))));
    const EXTENTS: u64 = 6000;
    for first in (0..EXTENTS).step_by(100) {
        // Not next to each other, so that each stays an extent of its own.
        let extent = |n: u64| Extent { offset: n * 10_000, source: Changed::Inline(vec![1; 10].into()) };
        let (extents, written) = ((first..first + 100).map(extent).collect(), None);
        run(Action::Commit {
            ino,
            stripes: Vec::new(),
            extents,
            inline: None,
            size_at_least: 0,
            change_at_least: 0,
            written,
            drop_privileges: false,
        });
    }
    let cut = SetAttr { size: Some(EXTENTS / 2 * 10_000), ..SetAttr::default() };
    run(Action::SetAttr { ino, set: cut, may_write: true, if_ctime: None });
    while run(Action::Drain { ino }) == (Reply::Drained { more: true }) {}
    let remove =
        Action::Remove { dir: InodeId::ROOT, name: name("f"), directory: false, seen: ino, keep: false };
    run(remove);
    while run(Action::Drain { ino }) == (Reply::Drained { more: true }) {}
    let left = |file: FileId| keys::extents(file, 0, u64::MAX);
    let (from, to) = left(FileId { fs: FS, ino });
    assert!(map.cells.range(from..to).all(|(_, value)| value.is_none()));
    let passed = map.passed.get();
    assert!(passed < 4 * EXTENTS, "{passed} cells were passed by");
}
