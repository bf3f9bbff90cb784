//! Chunks of a stripe over six drives that are gone, elsewhere or left over, and what a second look makes of them.

use crate::damage::{Good, good};
use cluster::{ClusterMap, DomainId, DriveInfo, DriveState};
use drive::{ChunkInfo, ChunkKey, Shape};
use fsck::{Checked, Chunks, DAMAGE_MAX, Kind};
use map::{MemoryMap, OrderedMapMut};
use namespace::keys;
use namespace::records::{Account, Record, Stripe};
use types::{ChunkId, DriveId, GroupId, InodeId, StripeId};

/// The good file system with its stripe as 4+2, and all its chunks with their drives.
struct Wide {
    good: Good,
    cluster: ClusterMap,
    stripe: StripeId,
    chunks: Vec<(DriveId, ChunkInfo)>,
}

async fn wide() -> Wide {
    let mut good = good().await;
    let drive = |id| DriveInfo { id: DriveId(id), domain: DomainId(id), weight: 1, state: DriveState::Up };
    let cluster = ClusterMap::create([1; 16], "4+2".parse().unwrap(), (0..6).map(drive).collect()).unwrap();
    let (_, stripe, _) = good.extent();
    good.edit(&keys::stripe(good.fs, stripe), |stripe: &mut Stripe| {
        (stripe.data_chunks, stripe.parity_chunks, stripe.cells) = (4, 2, 63);
    });
    let record: Stripe = good.get(&keys::stripe(good.fs, stripe));
    let account = keys::account(good.fs, InodeId(stripe.0).slot());
    good.edit(&account, |account: &mut Account| account.stored = record.stored_bytes());
    let shape = Shape { data: 4, parity: 2, cells: 63, stripe_length: 40_000 };
    let chunk = |(index, cell): (u8, &cluster::Cell)| {
        let key = ChunkKey { group: GroupId(0), chunk: ChunkId { stripe, index } };
        (cell.drive, ChunkInfo { key, shape, blocks: 3 })
    };
    let chunks = (0u8..).zip(&cluster.groups[0].cells).map(chunk).collect();
    Wide { good, cluster, stripe, chunks }
}

impl Wide {
    fn check(&self) -> Checked {
        self.check_without(&[])
    }

    fn check_without(&self, away: &[DriveId]) -> Checked {
        let mut chunks = Chunks::new(self.cluster.clone());
        (0..6).map(DriveId).filter(|drive| !away.contains(drive)).for_each(|drive| chunks.listed(drive));
        for (drive, chunk) in self.chunks.iter().filter(|(drive, _)| !away.contains(drive)) {
            chunks.add(*drive, &[*chunk]);
        }
        fsck::check(&self.good.map, chunks).unwrap()
    }

    fn has(&self, drive: DriveId, key: ChunkKey) -> bool {
        self.chunks.iter().any(|(other, chunk)| (*other, chunk.key) == (drive, key))
    }

    fn damage(&self, checked: Checked) -> Vec<(Kind, String)> {
        let report = checked.finish(&self.good.map).unwrap();
        report.damage.into_iter().map(|damage| (damage.kind, damage.what)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_parity_makes_up_for_is_degraded_and_the_rest_is_lost() {
    let mut wide = wide().await;
    assert_eq!(wide.damage(wide.check()), []);
    for (gone, kind) in [(1, Kind::Degraded), (2, Kind::Degraded), (3, Kind::Lost)] {
        let (drive, chunk) = wide.chunks.pop().unwrap();
        let found = wide.damage(wide.check());
        let named = format!("chunk {} on drive {}", chunk.key.chunk.index, drive.0);
        assert!(
            matches!(&found[..], [(k, what)] if *k == kind && what.contains(&named)),
            "{gone}: {found:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn drives_that_are_away_are_named_once_until_content_is_lost() {
    let wide = wide().await;
    let away = [DriveId(1), DriveId(4), DriveId(5)];
    let found = wide.damage(wide.check_without(&away[..2]));
    assert!(found.len() == 2 && found.iter().all(|(kind, _)| *kind == Kind::Drive), "{found:?}");
    let found = wide.damage(wide.check_without(&away));
    let kinds: Vec<_> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Lost, Kind::Drive, Kind::Drive, Kind::Drive], "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_on_another_drive_is_missing_here_and_left_over_there() {
    let mut wide = wide().await;
    let first = wide.chunks[0].0;
    wide.chunks[0].0 = wide.chunks[1].0;
    let found = wide.damage(wide.check());
    let kinds: Vec<_> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Degraded, Kind::OrphanChunk], "{found:?}");
    assert!(found[0].1.contains(&format!("on drive {}", first.0)), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn what_changes_between_the_listing_and_the_view_is_no_damage() {
    let mut wide = wide().await;
    let look = |wide: &Wide, checked: &mut Checked, map: &MemoryMap| {
        checked.reconsider(|drive, key| wide.has(drive, key), || Ok(map.clone())).unwrap();
    };
    let live = keys::stripe(wide.good.fs, wide.stripe);
    let all = wide.chunks.clone();

    // Written and committed since the listing.
    wide.chunks.clear();
    let mut checked = wide.check();
    assert!(checked.has_doubts());
    look(&wide, &mut checked, &wide.good.map);
    assert!(checked.has_doubts(), "they are not there yet");
    wide.chunks = all.clone();
    look(&wide, &mut checked, &wide.good.map);
    assert_eq!(wide.damage(checked), []);

    // Freed since the view: the map of now does not know it any more.
    wide.chunks.clear();
    let mut checked = wide.check();
    let mut now = wide.good.map.clone();
    now.delete(&live);
    look(&wide, &mut checked, &now);
    assert_eq!(wide.damage(checked), []);

    // A stripe that is there before its commit, one that is garbage by now, and one that stays unknown.
    wide.chunks = all.clone();
    let other = |to: u64| {
        all.iter().map(move |(drive, chunk)| {
            let mut chunk = *chunk;
            chunk.key.chunk.stripe = StripeId(InodeId(to).0);
            (*drive, chunk)
        })
    };
    wide.chunks.extend(other(70_001).chain(other(70_002)).chain(other(70_003)));
    let mut checked = wide.check();
    let mut now = wide.good.map.clone();
    let record: Stripe = Stripe::decode(&map::OrderedMap::get(&now, &live).unwrap().unwrap()).unwrap();
    now.put(&keys::stripe(wide.good.fs, StripeId(70_001)), record.encode());
    now.put(&keys::garbage(wide.good.fs, StripeId(70_002)), record.encode());
    look(&wide, &mut checked, &now);
    let found = wide.damage(checked);
    let left = |(kind, what): &(Kind, String)| *kind == Kind::OrphanChunk && what.contains("stripe 0.70003 ");
    assert!(found.len() == 6 && found.iter().all(left), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn more_damage_than_a_report_holds_is_counted() {
    let mut wide = wide().await;
    let (drive, chunk) = wide.chunks[0];
    for i in 0..DAMAGE_MAX as u64 + 5 {
        let mut chunk = chunk;
        chunk.key.chunk.stripe = StripeId(100_000 + i);
        wide.chunks.push((drive, chunk));
    }
    let found = wide.damage(wide.check());
    assert_eq!(found.len(), DAMAGE_MAX + 1);
    assert!(matches!(found.last(), Some((Kind::More, what)) if what.starts_with("5 more")));
}
