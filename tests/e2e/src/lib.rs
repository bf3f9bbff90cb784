//! Real daemons, real clients.
//!
//! [`Daemon`] runs `plexusd` on a folder of its own and free ports; [`Guest`] boots a Linux whose
//! kernel clients mount it; [`PowerCut`] runs daemon and clients inside such a Linux and pulls its
//! plug again and again; [`Kills`] kills the daemon under clients that must not notice; [`Doors`] compares one tree at
//! two doors with a local folder; [`Coherence`] has all doors see one truth; [`Everyday`] runs what people run; [`Pynfs`] and [`S3Tests`] have
//! foreign tests judge it. What is
//! missing on the machine is an error with the remedy, not a pass.

#![forbid(unsafe_code)]

mod attached;
mod coherence;
mod daemon;
mod disk;
mod doors;
mod everyday;
mod guest;
mod kills;
mod moments;
mod mount;
mod power;
mod programs;
mod pynfs;
pub mod s3_listing;
pub mod s3_request;
mod s3_tests;
mod steady;
mod workload;

pub use attached::{attach, make, run};
pub use coherence::{Coherence, CoherenceError, CoherenceReport, CoherenceWorker, Way, lead_hands};
pub use daemon::{Daemon, DaemonError, DaemonOptions};
pub use disk::Disk;
pub use doors::{Doors, DoorsError, DoorsReport, serve};
pub use everyday::{Everyday, EverydayError, Through};
pub use guest::{Guest, GuestDone, GuestError, RunningGuest};
pub use kills::{KillError, KillReport, Kills};
pub use mount::Mount;
pub use power::{Door, PowerCut, PowerCutError, PowerCutReport};
pub use programs::{
    build_folder, free_listener, free_port, guest_cache, program, raise_descriptors, repository,
};
pub use pynfs::{Known, Pynfs, PynfsError, PynfsReport};
pub use s3_tests::{S3Tests, S3TestsError, S3TestsReport};
pub use steady::{Steady, Task, counted};
pub use workload::{Workload, WorkloadError, verify};
