//! Filesystems that go while commands for them are on their way.

use super::*;
use crate::commands::removal::RECORDS;
use crate::queries::removal::{Left, left_in, removals};
use crate::records::Removal;
use types::Slot;

const NEXT: FsId = FsId(2);

/// Goes on with removing; whether anything is left.
struct Remover {
    map: MemoryMap,
    slot: Slot,
    from: Bytes,
}

impl Remover {
    fn of_cluster(&mut self, action: Action) -> Outcome {
        self.send(FsId(0), action)
    }

    fn send(&mut self, fs: FsId, action: Action) -> Outcome {
        let encoded = Command { fs, ..command(action) }.encode().unwrap();
        // The map stays in order, whatever is missing.
        reply_of(&Namespace.apply(&mut self.map, &encoded).unwrap()).unwrap()
    }

    /// One step in the slot that it has come to; whether another one follows there.
    fn empty(&mut self, inodes: bool) -> bool {
        let (slot, from) = (self.slot, self.from.clone());
        match self.send(FS, Action::EmptySlot { slot, from, inodes }) {
            Ok(Reply::Emptied { next }) => {
                self.from = next.clone().unwrap_or_default();
                next.is_some()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Every step; `meanwhile` comes between any two.
    fn remove(&mut self, mut meanwhile: impl FnMut(&mut Remover)) {
        for inodes in [true, false] {
            let mut at = Slot(0);
            loop {
                let next = self.left_from(at);
                match next {
                    Some(next) if !inodes || next.open => {
                        self.slot = next.slot;
                        while self.empty(inodes) {
                            meanwhile(self);
                        }
                        self.free();
                        meanwhile(self);
                        // What came behind it meanwhile is looked for again.
                        at = Slot(0);
                    }
                    Some(next) => match next.slot.0.checked_add(1) {
                        Some(after) => at = Slot(after),
                        None => break,
                    },
                    None => break,
                }
            }
        }
        self.of_cluster(Action::ForgetFilesystem { id: FS }).unwrap();
    }

    /// What is left in the first slot from `at` on that has anything.
    fn left_from(&self, at: Slot) -> Option<Left> {
        let mut next = queries::accounts::used_slot(&self.map, at).unwrap();
        while let Some(slot) = next {
            if let Some(left) = left_in(&self.map, FS, slot).unwrap() {
                return Some(left);
            }
            next =
                slot.0.checked_add(1).and_then(|n| queries::accounts::used_slot(&self.map, Slot(n)).unwrap());
        }
        None
    }

    /// The chunks of garbage are gone.
    fn free(&mut self) {
        let found = queries::pending::garbage(&self.map, self.slot, None, 100).unwrap();
        let stripes = found.iter().filter(|(at, _)| at.fs == FS).map(|(at, _)| at.stripe).collect();
        self.send(FS, Action::ForgetStripes { stripes }).unwrap();
    }

    /// All keys with what is behind them, but for what counts over all filesystems.
    fn keys_of(&self, wanted: impl Fn(FsId) -> bool) -> Vec<(Vec<u8>, Bytes)> {
        let mut found = Vec::new();
        self.map
            .scan(&[], &[0xff; 64], &mut |key, value| {
                let (fs, _) = keys::parse_kind(key).unwrap();
                found.extend(wanted(fs).then(|| (key.to_vec(), Bytes::copy_from_slice(value))));
                true
            })
            .unwrap();
        found
    }
}

fn filled(actions: Vec<Action>) -> Remover {
    let mut this = Remover { map: filesystem(), slot: Slot(0), from: Bytes::new() };
    let other = Action::MakeFilesystem { name: "g".into(), hash_key: HASH_KEY };
    assert_eq!(this.of_cluster(other), Ok(Reply::Filesystem(NEXT)));
    for (n, action) in actions.into_iter().enumerate() {
        let _ = this.send(if n % 4 == 0 { NEXT } else { FS }, action);
    }
    this
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_filesystem_goes_to_its_last_key_whatever_is_on_its_way(
        before in prop::collection::vec(action(), 1..80),
        late in prop::collection::vec(action(), 0..40),
    ) {
        let mut this = filled(before);
        let kept = this.keys_of(|fs| fs == NEXT);
        this.of_cluster(Action::RemoveFilesystem { id: FS, retained: false }).unwrap();
        prop_assert_eq!(this.of_cluster(Action::RemoveFilesystem { id: FS, retained: false }), Ok(Reply::Done), "told twice");
        let removal = Removal { name: "f".into(), since: Time::default() };
        prop_assert_eq!(removals(&this.map).unwrap(), [(FS, removal)]);
        let again = Action::MakeFilesystem { name: "f".into(), hash_key: HASH_KEY };
        prop_assert_eq!(this.of_cluster(again), Ok(Reply::Filesystem(FsId(3))), "the name is free, the number used");

        let mut late = late.into_iter();
        let huge = |map: &MemoryMap| {
            // Reservations of files of 8 EiB each may come to more than a number holds.
            let (all, _) = queries::accounts::of_filesystems(map, Slot(0), usize::MAX).unwrap();
            all.iter().map(|(_, _, account)| account.used).fold(0, u64::saturating_add) >= i64::MAX as u64
        };
        this.remove(|this| {
            if let Some(action) = late.next() {
                let _ = this.send(FS, action);
            }
            if !huge(&this.map) {
                assert_eq!(differences(&this.map), []);
            }
        });
        prop_assert_eq!(this.keys_of(|fs| fs == FS), []);
        prop_assert_eq!(this.keys_of(|fs| fs == NEXT), kept);
        prop_assert_eq!(removals(&this.map).unwrap(), []);
        for action in late {
            let _ = this.send(FS, action);
        }
        prop_assert_eq!(this.keys_of(|fs| fs == FS), [], "nothing comes back");
    }
}

#[test]
fn much_of_everything_goes_in_bounded_steps_that_do_not_pass_by_what_is_gone() {
    let mut this = filled(Vec::new());
    const FILES: usize = 300;
    for n in 0..FILES {
        let file = made(this.send(FS, create(name(&format!("f{n}")), NodeSpec::File)));
        let granted = this.send(FS, Action::GrantStripes { near: file, count: 1 });
        let Ok(Reply::Granted { first: stripe, .. }) = granted else { panic!("{granted:?}") };
        let (group, cells, length) = (GroupId(0), 1, 10);
        let new = NewStripe { stripe, group, data_chunks: 1, parity_chunks: 0, cells, length };
        let inline = Extent { offset: 50, source: Changed::Inline(vec![1; 10].into()) };
        let source = Changed::Stripe { stripe, at: 0, length };
        let commit = Action::Commit {
            ino: file,
            stripes: vec![new],
            extents: vec![Extent { offset: 0, source }, inline],
            inline: None,
            size_at_least: 0,
            change_at_least: 0,
            written: None,
            drop_privileges: false,
        };
        this.send(FS, commit).unwrap();
    }
    this.of_cluster(Action::RemoveFilesystem { id: FS, retained: false }).unwrap();
    let refused = this.send(FS, create(name("late"), NodeSpec::File));
    assert_eq!(refused, Err(FsError::Stale.into()), "nothing is made any more where the root is");
    let mut steps = 0;
    for inodes in [true, false] {
        while this.empty(inodes) {
            steps += 1;
            assert_eq!(differences(&this.map), []);
        }
    }
    // Inode, two entries, two extents, to be folded, piece and stripe.
    assert_eq!(steps, (FILES + 1) / RECORDS + 7 * FILES / RECORDS);
    let found = this.left_from(Slot(0)).unwrap();
    assert!(found.only_garbage && !found.open, "{found:?}");
    this.empty(false);
    assert!(this.left_from(Slot(0)).is_some(), "it stays until its chunks are gone");
    while this.left_from(Slot(0)).is_some_and(|left| left.only_garbage) {
        this.free();
    }
    this.empty(false);
    assert_eq!(this.left_from(Slot(0)), None);
}

#[test]
fn a_command_that_comes_late_never_meets_a_reference_without_its_piece() {
    for late in 0..60 {
        let mut this = filled(Vec::new());
        let file = made(this.send(FS, create(name("f"), NodeSpec::File)));
        let folder = made(this.send(FS, create(name("folder"), NodeSpec::Directory)));
        assert_ne!(folder.slot(), Slot(0));
        let elsewhere = match create(name("g"), NodeSpec::File) {
            Action::Create(make) => made(this.send(FS, Action::Create(Create { dir: folder, ..make }))),
            other => panic!("{other:?}"),
        };
        let granted = this.send(FS, Action::GrantStripes { near: file, count: 1 });
        let Ok(Reply::Granted { first: stripe, .. }) = granted else { panic!("{granted:?}") };
        let (group, cells, length) = (GroupId(0), 1, 10);
        let new = NewStripe { stripe, group, data_chunks: 1, parity_chunks: 0, cells, length };
        let commit = Action::Commit {
            ino: file,
            stripes: vec![new],
            extents: vec![Extent { offset: 0, source: Changed::Stripe { stripe, at: 0, length } }],
            inline: None,
            size_at_least: 10,
            change_at_least: 0,
            written: None,
            drop_privileges: false,
        };
        this.send(FS, commit).unwrap();
        let clone =
            Action::CloneRange { from: file, from_offset: 0, to: elsewhere, to_offset: 0, length: 10 };
        this.send(FS, clone).unwrap();
        this.of_cluster(Action::RemoveFilesystem { id: FS, retained: false }).unwrap();
        let mut steps = 0;
        this.remove(|this| {
            if steps == late {
                let set = SetAttr { size: Some(0), ..SetAttr::default() };
                let _ =
                    this.send(FS, Action::SetAttr { ino: elsewhere, set, may_write: true, if_ctime: None });
            }
            steps += 1;
            assert_eq!(differences(&this.map), []);
        });
        assert_eq!(this.keys_of(|fs| fs == FS), []);
    }
}
