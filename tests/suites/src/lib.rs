//! One set of expectations for everything that implements the contract: model, frontend, remote.
//!
//! [`run`] checks POSIX semantics topic by topic; [`compare`] drives two file systems with the same
//! random operations and stops at the first difference. Both panic with what they expected.

#![forbid(unsafe_code)]

pub mod again;
pub mod compare;
mod data;
mod desk;
pub mod grace;
mod listing;
mod locks;
mod names;
mod opens;
mod puts;
mod random;
mod renames;
mod retained;
mod rights;
mod times;
mod xattrs;

pub use compare::{Rules, compare, compare_by};
pub use desk::Desk;
pub use random::Random;

use types::FileId;
use vfs::Vfs;

/// All that heads in the daemon can ask for: [`run`], and what clients of mounts see nothing of.
///
/// # Panics
/// At the first thing that is not as POSIX or the contract has it.
pub async fn run_for_heads<V: Vfs>(vfs: &V, root: FileId) {
    run(vfs, root).await;
    puts::run(&Desk::below(vfs, root, "puts").await).await;
    retained::run(&Desk::below(vfs, root, "retained").await).await;
}

/// What everybody can ask for, each topic in a directory of its own below `root`, which the superuser can write.
///
/// # Panics
/// At the first thing that is not as POSIX or the contract has it.
pub async fn run<V: Vfs>(vfs: &V, root: FileId) {
    names::run(&Desk::below(vfs, root, "names").await).await;
    renames::run(&Desk::below(vfs, root, "renames").await).await;
    rights::run(&Desk::below(vfs, root, "rights").await).await;
    times::run(&Desk::below(vfs, root, "times").await).await;
    data::run(&Desk::below(vfs, root, "data").await).await;
    opens::run(&Desk::below(vfs, root, "opens").await).await;
    listing::run(&Desk::below(vfs, root, "listing").await).await;
    xattrs::run(&Desk::below(vfs, root, "xattrs").await).await;
    locks::run(&Desk::below(vfs, root, "locks").await).await;
}
