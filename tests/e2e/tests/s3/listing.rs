//! Listings while others write: no key missed, none twice.

use crate::Scene;
use e2e::s3_listing::{Tally, list_all};
use e2e::s3_request::S3Request;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Keys that nobody touches.
const KEYS: u64 = 1500;

fn key(number: u64, each: u64) -> String {
    format!("p{:04}/{number:06}", number / each)
}

#[test]
fn listings_have_each_key_once_while_others_come_and_go() {
    let scene = Scene::new();
    for (bucket, each) in [("one", KEYS), ("many", 10)] {
        scene.put(&format!("/{bucket}"), "");
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let taken = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
                    for number in taken.take_while(|number| *number < KEYS) {
                        scene.put(&format!("/{bucket}/{}", key(number, each)), "");
                    }
                });
            }
        });
        let (done, changes) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for step in 0u64.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let target = format!("/{bucket}/{}-x", key(step * 37 % KEYS, each));
                    scene.put(&target, "");
                    scene.must(S3Request::new("DELETE", &target));
                    changes.fetch_add(1, Ordering::Relaxed);
                }
            });
            // Until some have come and gone.
            while changes.load(Ordering::Relaxed) < 20 {
                let mut tally = Tally::default();
                let listed = list_all(scene.daemon.s3(), &scene.key, bucket, |key| {
                    tally.add(key, key.split_once('/').and_then(|(_, number)| number.parse().ok()));
                });
                done.store(listed.is_err(), Ordering::Relaxed);
                assert!(listed.unwrap() >= 2);
                assert_eq!((tally.found, &tally.wrong[..]), (KEYS, &[][..]), "{bucket}");
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
