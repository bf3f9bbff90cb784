//! Single cases that have names: conversions, deadlocks, share reservations, clients, bounds.

use locking::limits::{HELD_MAX, WAITERS_MAX};
use locking::{
    Answer, Client, Conflict, Event, LockMode, Locks, OpenKey, Outcome, Owner, Request, Share, ShareAccess,
    Space, WaitId, Waits,
};
use types::ByteRange;

const A: Owner = Owner { client: Client(1), owner: 1 };
const B: Owner = Owner { client: Client(2), owner: 1 };
const C: Owner = Owner { client: Client(3), owner: 1 };

fn ask(owner: Owner, range: ByteRange, mode: LockMode, wait: Option<u64>) -> Event {
    Event::Lock { request: Request { owner, space: Space::Range, range, mode }, wait: wait.map(WaitId) }
}

fn exclusive(owner: Owner, offset: u64, length: u64, wait: Option<u64>) -> Event {
    ask(owner, ByteRange::new(offset, length), LockMode::Exclusive, wait)
}

fn shared(owner: Owner, offset: u64, length: u64, wait: Option<u64>) -> Event {
    ask(owner, ByteRange::new(offset, length), LockMode::Shared, wait)
}

fn unlock(owner: Owner, offset: u64, length: u64) -> Event {
    Event::Unlock { owner, space: Space::Range, range: ByteRange::new(offset, length) }
}

fn held(locks: &Locks) -> Vec<(Owner, u64, u64, LockMode)> {
    locks
        .held_in(Space::Range)
        .map(|held| (held.owner, held.range.offset, held.range.end, held.mode))
        .collect()
}

fn alone(answer: Answer) -> Outcome {
    Outcome { answer, woken: Vec::new() }
}

#[test]
fn a_lock_in_the_middle_splits_and_the_same_mode_merges_again() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    locks.apply(shared(A, 0, 30, None), &mut waits);
    locks.apply(exclusive(A, 10, 10, None), &mut waits);
    assert_eq!(
        held(&locks),
        [(A, 0, 10, LockMode::Shared), (A, 10, 20, LockMode::Exclusive), (A, 20, 30, LockMode::Shared)]
    );
    locks.apply(shared(A, 10, 10, None), &mut waits);
    assert_eq!(held(&locks), [(A, 0, 30, LockMode::Shared)]);
    locks.apply(unlock(A, 5, 5), &mut waits);
    assert_eq!(held(&locks), [(A, 0, 5, LockMode::Shared), (A, 10, 30, LockMode::Shared)]);
}

#[test]
fn a_refused_upgrade_keeps_what_was_held() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    locks.apply(shared(A, 0, 10, None), &mut waits);
    locks.apply(shared(B, 5, 10, None), &mut waits);
    let conflict = Conflict { owner: B, range: ByteRange { offset: 5, end: 15 }, mode: LockMode::Shared };
    assert_eq!(locks.apply(exclusive(A, 0, 10, None), &mut waits), alone(Answer::Denied(conflict)));
    assert_eq!(held(&locks), [(A, 0, 10, LockMode::Shared), (B, 5, 15, LockMode::Shared)]);
}

#[test]
fn two_upgraders_of_one_range_do_not_wait_for_each_other() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    locks.apply(shared(A, 0, 10, None), &mut waits);
    locks.apply(shared(B, 0, 10, None), &mut waits);
    assert_eq!(locks.apply(exclusive(A, 0, 10, Some(1)), &mut waits), alone(Answer::Waiting));
    assert_eq!(locks.apply(exclusive(B, 0, 10, Some(2)), &mut waits), alone(Answer::Deadlock));
    let outcome = locks.apply(unlock(B, 0, 10), &mut waits);
    assert_eq!(outcome.woken, [(WaitId(1), Answer::Granted)]);
    assert!(waits.is_empty());
}

#[test]
fn a_circle_of_three_over_three_files_is_refused() {
    let mut waits = Waits::new();
    let mut files = [Locks::new(), Locks::new(), Locks::new()];
    for (file, owner) in files.iter_mut().zip([A, B, C]) {
        file.apply(exclusive(owner, 0, 1, None), &mut waits);
    }
    assert_eq!(files[1].apply(exclusive(A, 0, 1, Some(1)), &mut waits).answer, Answer::Waiting);
    assert_eq!(files[2].apply(exclusive(B, 0, 1, Some(2)), &mut waits).answer, Answer::Waiting);
    assert_eq!(files[0].apply(exclusive(C, 0, 1, Some(3)), &mut waits).answer, Answer::Deadlock);
    // Once the first of them gives up, the third may wait.
    files[1].apply(Event::Cancel { wait: WaitId(1) }, &mut waits);
    assert_eq!(files[0].apply(exclusive(C, 0, 1, Some(4)), &mut waits).answer, Answer::Waiting);
}

#[test]
fn a_downgrade_lets_waiting_readers_in_by_arrival() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    locks.apply(exclusive(A, 0, 10, None), &mut waits);
    locks.apply(shared(B, 0, 5, Some(7)), &mut waits);
    locks.apply(shared(C, 0, 5, Some(8)), &mut waits);
    let outcome = locks.apply(shared(A, 0, 10, None), &mut waits);
    assert_eq!(outcome.answer, Answer::Granted);
    assert_eq!(outcome.woken, [(WaitId(7), Answer::Granted), (WaitId(8), Answer::Granted)]);
}

#[test]
fn flock_and_byte_ranges_do_not_see_each_other() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    locks.apply(exclusive(A, 0, 10, None), &mut waits);
    let request =
        Request { owner: B, space: Space::Flock, range: ByteRange::new(3, 1), mode: LockMode::Exclusive };
    assert_eq!(locks.apply(Event::Lock { request, wait: None }, &mut waits), alone(Answer::Granted));
    let whole = ByteRange { offset: 0, end: u64::MAX };
    assert_eq!(locks.held_in(Space::Flock).map(|held| held.range).collect::<Vec<_>>(), [whole]);
}

#[test]
fn flock_gives_up_the_old_mode_before_it_waits_for_the_new() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    let flock = |owner, mode, wait: u64| Event::Lock {
        request: Request { owner, space: Space::Flock, range: ByteRange::new(0, 1), mode },
        wait: Some(WaitId(wait)),
    };
    locks.apply(flock(A, LockMode::Shared, 1), &mut waits);
    locks.apply(flock(B, LockMode::Shared, 2), &mut waits);
    assert_eq!(locks.apply(flock(A, LockMode::Exclusive, 3), &mut waits).answer, Answer::Waiting);
    let outcome = locks.apply(flock(B, LockMode::Exclusive, 4), &mut waits);
    assert_eq!(outcome.answer, Answer::Granted, "A holds nothing any more");
    let outcome = locks.apply(Event::ReleaseOwner { owner: B }, &mut waits);
    assert_eq!(outcome.woken, [(WaitId(3), Answer::Granted)]);
}

#[test]
fn a_client_ends_with_its_locks_waits_and_opens() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    let share = Share { client: A.client, access: ShareAccess::READ, deny: ShareAccess::WRITE };
    locks.apply(Event::Open { open: OpenKey(1), share }, &mut waits);
    locks.apply(exclusive(A, 0, 10, None), &mut waits);
    locks.apply(exclusive(B, 20, 10, None), &mut waits);
    assert_eq!(locks.apply(exclusive(A, 20, 10, Some(1)), &mut waits).answer, Answer::Waiting);
    assert_eq!(locks.apply(exclusive(B, 0, 10, Some(2)), &mut waits).answer, Answer::Deadlock);
    assert_eq!(locks.apply(exclusive(C, 0, 10, Some(3)), &mut waits).answer, Answer::Waiting);
    let outcome = locks.apply(Event::ReleaseClient { client: A.client }, &mut waits);
    assert_eq!(outcome.woken, [(WaitId(3), Answer::Granted)]);
    assert!(!locks.denies(ShareAccess::WRITE, None));
    locks.apply(Event::ReleaseClient { client: B.client }, &mut waits);
    locks.apply(Event::ReleaseClient { client: C.client }, &mut waits);
    assert!(locks.is_empty() && waits.is_empty());
}

#[test]
fn share_reservations_conflict_both_ways() {
    let modes = [ShareAccess::NONE, ShareAccess::READ, ShareAccess::WRITE, ShareAccess::BOTH];
    let meets = |a: ShareAccess, b: ShareAccess| (a.read && b.read) || (a.write && b.write);
    for access in modes {
        for deny in modes {
            for other_access in modes {
                for other_deny in modes {
                    let (mut locks, mut waits) = (Locks::new(), Waits::new());
                    let first = Share { client: A.client, access, deny };
                    locks.apply(Event::Open { open: OpenKey(1), share: first }, &mut waits);
                    let second = Share { client: B.client, access: other_access, deny: other_deny };
                    let outcome = locks.apply(Event::Open { open: OpenKey(2), share: second }, &mut waits);
                    let refused = meets(access, other_deny) || meets(deny, other_access);
                    let expected = if refused { Answer::ShareDenied } else { Answer::Granted };
                    assert_eq!(outcome.answer, expected, "{first:?} then {second:?}");
                    assert_eq!(locks.share(OpenKey(2)).is_some(), !refused);
                }
            }
        }
    }
}

#[test]
fn an_open_does_not_deny_itself_another_access() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    let narrow = Share { client: A.client, access: ShareAccess::READ, deny: ShareAccess::WRITE };
    let wide = Share { access: ShareAccess::BOTH, ..narrow };
    locks.apply(Event::Open { open: OpenKey(1), share: narrow }, &mut waits);
    assert!(locks.denies(ShareAccess::WRITE, None));
    assert!(!locks.denies(ShareAccess::WRITE, Some(OpenKey(1))));
    assert_eq!(
        locks.apply(Event::Open { open: OpenKey(1), share: wide }, &mut waits),
        alone(Answer::Granted)
    );
    locks.apply(Event::Close { open: OpenKey(1) }, &mut waits);
    assert!(locks.is_empty());
}

#[test]
fn what_is_full_is_refused_and_changes_nothing() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    for at in 0..HELD_MAX as u64 {
        let outcome = locks.apply(exclusive(A, at * 2, 1, None), &mut waits);
        assert_eq!(outcome.answer, Answer::Granted);
    }
    let before = locks.clone();
    let far = HELD_MAX as u64 * 2;
    assert_eq!(locks.apply(exclusive(B, far, 1, None), &mut waits), alone(Answer::Full));
    assert_eq!(locks, before);
    // Giving up never fails for want of room when it makes fewer ranges.
    assert_eq!(locks.apply(unlock(A, 0, 1), &mut waits).answer, Answer::Granted);
    for wait in 0..WAITERS_MAX as u64 {
        assert_eq!(locks.apply(exclusive(B, 2, 1, Some(wait)), &mut waits).answer, Answer::Waiting);
    }
    let one_more = WAITERS_MAX as u64;
    assert_eq!(locks.apply(exclusive(B, 2, 1, Some(one_more)), &mut waits), alone(Answer::Full));
}

#[test]
fn an_empty_range_and_a_wait_name_in_use_are_invalid() {
    let (mut locks, mut waits) = (Locks::new(), Waits::new());
    assert_eq!(locks.apply(exclusive(A, 5, 0, None), &mut waits), alone(Answer::Invalid));
    assert_eq!(locks.apply(unlock(A, 5, 0), &mut waits), alone(Answer::Invalid));
    locks.apply(exclusive(A, 0, 1, None), &mut waits);
    assert_eq!(locks.apply(exclusive(B, 0, 1, Some(1)), &mut waits), alone(Answer::Waiting));
    assert_eq!(locks.apply(exclusive(C, 0, 1, Some(1)), &mut waits), alone(Answer::Invalid));
}
