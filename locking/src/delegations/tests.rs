//! Delegations case by case, and against files that are numbers.

use super::*;
use Delegation::{Read, Write};
use Need::{Change, Lock, Look};
use proptest::prelude::*;
use types::{FsId, InodeId};

const TERM: u64 = 10;

fn file(number: u64) -> FileId {
    FileId { fs: FsId(1), ino: InodeId(number) }
}

fn clients<C: Copy>(of: &[Delegated<C>]) -> Vec<C> {
    of.iter().map(|delegated| delegated.client).collect()
}

#[test]
fn who_changes_waits_for_all_others_and_who_looks_for_who_writes() {
    let mut all = Delegations::new(TERM);
    let a = all.grant(0, 'a', file(1), Read).unwrap();
    let b = all.grant(0, 'b', file(1), Read).unwrap();
    assert_eq!(all.grant(0, 'a', file(1), Read), Err(Refusal::Held));
    assert_eq!(all.grant(0, 'c', file(1), Write), Err(Refusal::Contended));
    let look = all.begin('c', vec![(file(1), Look)]);
    assert!(!all.in_way(1, 'c', &[(file(1), Look)]).waits);
    all.end(look);

    let needs = [(file(1), Change)];
    let change = all.begin('a', needs.to_vec());
    let found = all.in_way(1, 'a', &needs);
    assert_eq!((clients(&found.ask), found.waits, found.until), (vec!['b'], true, Some(11)));
    assert_eq!(all.in_way(2, 'a', &needs).ask, [], "it was asked before");
    assert_eq!(all.give_back(b).map(|given| given.client), Some('b'));
    assert!(!all.in_way(3, 'a', &needs).waits, "its own is not in its way");
    assert_eq!(all.grant(3, 'b', file(1), Read), Err(Refusal::Contended));
    all.end(change);
    assert!(all.give_back(a).is_some() && all.give_back(a).is_none());
    assert!(all.is_empty() && all.files.is_empty() && all.counts.is_empty());

    all.grant(9_000, 'a', file(1), Write).unwrap();
    assert_eq!(all.written_by('b', file(1)).map(|(held, asked)| (held.client, asked)), Some(('a', false)));
    assert_eq!(all.written_by('a', file(1)), None);
    assert!(all.in_way(9_000, 'b', &[(file(1), Look)]).waits);
}

#[test]
fn who_does_not_answer_loses_it() {
    let mut all = Delegations::new(TERM);
    let id = all.grant(0, 'a', file(1), Write).unwrap();
    let asked = |all: &Delegations<char>| all.written_by('b', file(1)).map(|(held, asked)| (held.id, asked));
    assert_eq!(asked(&all), Some((id, false)));
    let needs = [(file(1), Look)];
    assert!(all.in_way(5, 'b', &needs).waits);
    assert_eq!(asked(&all), Some((id, true)));
    assert!(all.in_way(14, 'c', &needs).waits);
    let found = all.in_way(15, 'c', &needs);
    assert_eq!((clients(&found.lost), found.waits), (vec!['a'], false));
    assert_eq!(all.in_way(15, 'b', &needs).lost, []);
    assert!(all.is_empty());
}

#[test]
fn a_file_that_goes_back_and_forth_is_left_alone_for_longer_and_longer() {
    let mut all = Delegations::new(TERM);
    let (mut now, mut spans) = (0, Vec::new());
    for _ in 0..9 {
        let id = all.grant(now, 'a', file(1), Write).unwrap();
        all.in_way(now, 'b', &[(file(1), Look)]);
        all.give_back(id);
        let span = (0..).find(|span| all.grant(now + span * 500, 'c', file(1), Read).is_ok()).unwrap() * 500;
        all.end_client('c');
        now += span;
        spans.push(span);
    }
    assert_eq!(spans, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000, 64_000]);
    now += CALM_MAX * 2;
    let id = all.grant(now, 'a', file(1), Write).unwrap();
    all.in_way(now, 'b', &[(file(1), Look)]);
    all.give_back(id);
    assert!(all.grant(now + CALM_MIN, 'a', file(1), Write).is_ok(), "that was long ago");
}

#[test]
fn what_a_former_life_has_delegated_is_in_the_way_until_its_holder_has_claimed() {
    let mut all = Delegations::new(TERM);
    for (client, number, kind) in [('a', 1, Write), ('a', 2, Read), ('b', 3, Read), ('c', 4, Write)] {
        all.restore(client, file(number), kind);
        all.restore(client, file(number), kind);
    }
    assert_eq!(all.len(), 4);
    let looks = [(file(1), Look), (file(2), Lock)];
    assert!(!all.in_way(1_000, 'd', &looks).waits && all.may_be_written('d', file(1)));
    assert_eq!(all.written_by('d', file(1)), None);
    for need in [Change, Lock] {
        let found = all.in_way(1_000, 'd', &[(file(1), need)]);
        assert_eq!((found.ask, found.lost, found.waits, found.until), (vec![], vec![], true, None));
    }
    assert_eq!(all.claim('b', file(1), Read), Err(Refusal::Contended));
    assert_eq!(all.claim('a', file(2), Write), Err(Refusal::Contended), "it could not have written");
    let id = all.claim('a', file(1), Write).unwrap();
    assert!(all.claim('a', file(1), Write).is_err(), "once");
    assert_eq!(clients(&all.settle(Some('a'))), ['a']);
    let found = all.in_way(1_000, 'd', &[(file(1), Look), (file(2), Change)]);
    all.ask(1_001, id);
    assert_eq!(found.until, Some(1_010), "it was asked already");
    assert_eq!(found.ask.iter().map(|asked| asked.id).collect::<Vec<_>>(), [id]);
    assert_eq!(clients(&all.end_client('c')), ['c']);
    assert_eq!(clients(&all.settle(None)), ['b']);
    assert_eq!(all.len(), 1);

    // Where nothing is known, who claims is believed.
    let change = all.begin('d', vec![(file(7), Change)]);
    assert!(all.claim_unknown('a', file(7), Read).is_ok() && all.claim_unknown('b', file(7), Read).is_ok());
    for (client, kind) in [('c', Write), ('a', Read)] {
        assert_eq!(all.claim_unknown(client, file(7), kind), Err(Refusal::Contended));
    }
    assert_eq!(all.in_way(2_000, 'd', &[(file(7), Change)]).ask.len(), 2);
    all.end(change);
}

#[test]
fn there_are_not_more_than_fit() {
    let mut all = Delegations::new(TERM);
    for number in 0..2 * PER_CLIENT_MAX as u64 {
        let _ = all.grant(0, 'a', file(number), Read);
    }
    assert_eq!(all.len(), PER_CLIENT_MAX);
    assert_eq!(all.grant(0, 'a', file(0), Read), Err(Refusal::Held));
    for client in 0..10u8 {
        for number in 0..PER_CLIENT_MAX as u64 {
            let _ = all.grant(0, char::from(b'b' + client), file(number), Read);
        }
    }
    assert_eq!((all.len(), all.grant(0, 'z', file(0), Read)), (ALL_MAX, Err(Refusal::Full)));
    for number in 0..2 * CALM_FILES_MAX as u64 {
        all.in_way(0, 'y', &[(file(number), Change)]);
    }
    assert!(all.calm.len() <= CALM_FILES_MAX);
}

/// A client's use that waits or is under way.
struct Doing {
    client: u8,
    needs: Vec<(FileId, Need)>,
    used: Use<u8>,
    goes_on: bool,
}

proptest! {
    /// Against files that are numbers: who holds a delegation knows the newest, and who looks sees what the holder has written,
    /// unless the holder has lost it.
    #[test]
    fn nobody_is_wrong(steps in proptest::collection::vec((0..8u8, 0..3u8, 0..3u64, any::<bool>()), 1..300)) {
        let mut all = Delegations::new(TERM);
        let mut now = 0;
        // What is known here, and by each holder: what it has cached, and whether it has written it itself.
        let mut known = [0u32; 3];
        let mut caches = HashMap::<DelegationId, (Delegation, usize, u32)>::new();
        let mut doing: Vec<Doing> = Vec::new();
        for (what, client, number, flag) in steps {
            let at = number as usize;
            match what {
                0 => {
                    let kind = if flag { Write } else { Read };
                    let contended = doing.iter().any(|other| other.client != client
                        && other.needs.iter().any(|(of, need)| *of == file(number) && need.meets(kind)));
                    if let Ok(id) = all.grant(now, client, file(number), kind) {
                        prop_assert!(!contended);
                        caches.insert(id, (kind, at, known[at]));
                    }
                }
                1 => {
                    let needs = vec![(file(number), if flag { Change } else { Look })];
                    let used = all.begin(client, needs.clone());
                    doing.push(Doing { client, needs, used, goes_on: false });
                }
                2 | 3 => if !doing.is_empty() {
                    let one = doing.remove(at % doing.len());
                    if one.goes_on && one.needs[0].1 == Change {
                        known[one.needs[0].0.ino.0 as usize] += 1;
                        // Its own kernel knows of its own changes.
                        for held in all.all().into_iter().filter(|held| held.client == one.client) {
                            let Some((_, of, value)) = caches.get_mut(&held.id) else { continue };
                            if file(*of as u64) == one.needs[0].0 { *value = known[*of]; }
                        }
                    }
                    all.end(one.used);
                },
                // A holder writes into its cache, or gives back.
                4 => for held in all.all() {
                    if held.client == client && held.kind == Write
                        && let Some((_, _, value)) = caches.get_mut(&held.id) { *value += 1; }
                },
                5 | 6 => if let Some(held) = all.all().into_iter().find(|held| held.client == client) {
                    let (_, of, value) = caches.remove(&held.id).unwrap();
                    known[of] = known[of].max(value);
                    prop_assert_eq!(all.give_back(held.id), Some(held));
                },
                _ => now += u64::from(client) * 5,
            }
            for one in doing.iter_mut().filter(|one| !one.goes_on) {
                let found = all.in_way(now, one.client, &one.needs);
                for lost in &found.lost {
                    prop_assert!(caches.remove(&lost.id).is_some());
                }
                let others = all.all().into_iter().filter(|held| held.client != one.client);
                let left = others.filter(|held| one.needs.iter()
                    .any(|(of, need)| *of == held.file && need.meets(held.kind))).count();
                prop_assert_eq!(found.waits, left > 0);
                one.goes_on = !found.waits;
            }
            for one in doing.iter().filter(|one| one.goes_on) {
                for held in all.all().into_iter().filter(|held| held.client != one.client) {
                    prop_assert!(!one.needs.iter().any(|(of, need)| *of == held.file && need.meets(held.kind)));
                }
            }
            for held in all.all() {
                let (kind, of, value) = caches[&held.id];
                prop_assert_eq!((kind, file(of as u64)), (held.kind, held.file));
                let newest = known[of];
                prop_assert!(value == newest || kind == Write && value > newest);
                let same = all.all().into_iter().filter(|other| other.file == held.file).count();
                prop_assert!(kind == Read || same == 1);
            }
        }
        doing.into_iter().for_each(|one| all.end(one.used));
        (0..3).for_each(|client| drop(all.end_client(client)));
        prop_assert!(all.is_empty() && all.files.is_empty() && all.counts.is_empty());
    }
}
