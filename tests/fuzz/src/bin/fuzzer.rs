//! libFuzzer on the target that `PLEXUS_FUZZ` names.
#![no_main]

use fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(init: {
    let name = std::env::var("PLEXUS_FUZZ").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        eprintln!("PLEXUS_FUZZ names no target: '{name}'");
        std::process::exit(2);
    };
    TARGET.get_or_init(|| target);
}, |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        (target.run)(data);
    }
});
