//! What the fuzzer has kept, again, and damaged copies of it.

#![allow(clippy::expect_used, reason = "these are tests, helpers included")]

use fuzz::{TARGETS, Target, corpus, damaged};
use std::sync::atomic::{AtomicU32, Ordering};

/// Panics of all threads: a server's requests have their own.
static PANICS: AtomicU32 = AtomicU32::new(0);

fn replay(name: &str, copies: u64) {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        told(info);
    }));
    let target: &Target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let mut inputs = (target.seeds)();
    inputs.extend(corpus::read(&corpus::path(name)).expect("a corpus"));
    assert!(!inputs.is_empty(), "nothing to try");
    for (number, input) in inputs.iter().enumerate() {
        run(target, input, number, None);
        for seed in 0..copies {
            run(target, &damaged(input, seed), number, Some(seed));
        }
    }
}

fn run(target: &Target, input: &[u8], number: usize, seed: Option<u64>) {
    (target.run)(input);
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "input {number} of {}, damaged by {seed:?}", target.name);
}

macro_rules! replays {
    ($($test:ident $target:literal $copies:literal)*) => {
        $(#[test]
        fn $test() {
            replay($target, $copies);
        })*

        #[test]
        fn every_target_is_tried() {
            let tried = [$($target),*];
            assert!(TARGETS.iter().all(|target| tried.contains(&target.name)));
            assert_eq!(TARGETS.len(), tried.len());
        }
    };
}

replays! {
    rpc "rpc" 200
    compound "compound" 50
    nfs_stream "nfs-stream" 2
    nfs_session "nfs-session" 2
    fabric "fabric" 50
    drive "drive" 50
    drive_messages "drive-messages" 500
    shard_messages "shard-messages" 5000
    log "log" 50
    commands "commands" 10
    keys "keys" 10
    config "config" 20
    accounts "accounts" 100
}
