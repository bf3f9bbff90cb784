//! Power cuts of all drives at once, under writers and frees side by side: what was acknowledged
//! reads back, what was freed stays freed, no byte is ever wrong.

use super::*;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// Writes of one round, side by side.
const WRITES: usize = 12;

#[derive(Default)]
struct Model {
    there: BTreeMap<u64, StripePlace>,
    freed: BTreeSet<u64>,
    /// A write or free of it was cut off.
    unknown: BTreeSet<u64>,
    next: u64,
}

impl Model {
    /// One drive's power goes first; the others' while writes are still on their way.
    async fn round(&mut self, bench: &Bench, random: &SeededRandom) {
        let first = &bench.disks[random.below(bench.disks.len() as u64) as usize];
        first.cut_power_at(Some(first.operations() + 1 + random.below(40)));
        let mut writes = JoinSet::new();
        for _ in 0..WRITES {
            self.next += 1;
            let (id, stripes) = (self.next, bench.stripes.clone());
            let length = 1 + random.below(60_000) as usize;
            writes.spawn(async move {
                let group = stripes.pick_group();
                (id, stripes.write(StripeId(id), group, content(id, length)).await.ok())
            });
        }
        let mut frees = JoinSet::new();
        for place in self.there.values().copied().filter(|_| random.below(3) == 0) {
            let stripes = bench.stripes.clone();
            frees.spawn(async move { (place.stripe.0, stripes.free(&place).await.is_ok()) });
        }
        while let Some(ended) = writes.join_next().await {
            let (id, place) = ended.unwrap();
            match place {
                Some(place) => drop(self.there.insert(id, place)),
                None => drop(self.unknown.insert(id)),
            }
            if !first.powered() && writes.len() < WRITES / 2 {
                bench.disks.iter().for_each(SimDisk::cut_power);
            }
        }
        while let Some(ended) = frees.join_next().await {
            let (id, done) = ended.unwrap();
            self.there.remove(&id);
            if done {
                self.freed.insert(id)
            } else {
                self.unknown.insert(id)
            };
        }
    }

    async fn check(&self, bench: &Bench, seed: u64) {
        for place in self.there.values() {
            bench.check(place).await;
        }
        assert_eq!(bench.stripes.counters().found, 0, "seed {seed}: acknowledged and damaged");
        let (mut from, mut listed) = (Some(StripeCursor::START), Vec::new());
        while let Some(cursor) = from {
            let page = bench.stripes.list_stripes(cursor, 32).await.unwrap();
            listed.extend(page.stripes.into_iter().map(|listed| listed.place));
            from = page.next;
        }
        for place in &listed {
            let id = place.stripe.0;
            assert!(!self.freed.contains(&id), "seed {seed}: {id} came back to life");
            if self.there.get(&id) == Some(place) {
                continue;
            }
            // An orphan: never acknowledged, or freed in part. Whole or not readable, never wrong.
            let known = self.unknown.contains(&id) || self.there.contains_key(&id);
            assert!(known, "seed {seed}: {id} from nowhere");
            if let Ok(read) = bench.stripes.read(place, 0..place.length).await {
                assert_eq!(read, content(id, place.length as usize));
            }
        }
        // Reading orphans may have repaired some: free what is there now.
        for place in listed.iter().filter(|place| self.there.get(&place.stripe.0) != Some(*place)) {
            while bench.stripes.free(place).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

async fn history(seed: u64, drives: u32, scheme: &str) {
    let mut bench = Bench::new(seed, drives, scheme, 8 << 20).await;
    let random = SeededRandom::new(seed);
    let mut model = Model::default();
    for round in 0..4 {
        model.round(&bench, &random).await;
        for disk in &bench.disks {
            disk.cut_power();
            disk.power_on();
        }
        (bench.stores, bench.stripes) = Bench::open(&bench.map, &bench.disks, round + 2).await;
        model.check(&bench, seed).await;
    }
    assert!(model.there.len() + model.freed.len() > 3, "seed {seed}: hardly anything was acknowledged");
}

#[tokio::test(start_paused = true)]
async fn one_drive() {
    for seed in 0..30 {
        history(seed, 1, "1+0").await;
    }
}

#[tokio::test(start_paused = true)]
async fn six_drives() {
    for seed in 0..12 {
        history(seed, 6, "4+2").await;
    }
}
