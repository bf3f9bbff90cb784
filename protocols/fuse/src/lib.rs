//! The FUSE head: the kernel's requests in, the contract's requests out, replies back.
//!
//! A request is answered by the thread that read it when the file system answers at once; only what
//! has to wait goes to the runtime. The kernel's write-back cache is not used (it would own sizes and
//! times). Names are not cached beyond a call, because other heads change the same folders; attributes are for as long
//! as the file system lets them be trusted.
//!
//! Known limits of the kernel interface as `fuser` 0.18 offers it:
//! - flock(2) and fcntl(2) locks look alike in a request. The head asks procfs which system call the
//!   caller is in; where it cannot see that, the lock counts as an fcntl lock.
//! - Interrupts do not arrive. A waiting lock looks at the caller's pending signals ten times a second.
//! - `O_TMPFILE` and reflink ioctls do not arrive.

#![forbid(unsafe_code)]

mod abandoned;
mod answer;
mod caller;
mod entries;
mod gone;
mod head;
mod kernel;
mod listings;
mod lockers;
mod mount;
mod options;
mod pages;
mod status;
mod translate;
mod trusted;
mod waiters;

mod ops {
    //! The requests of the kernel, by what they are about.
    pub(crate) mod attributes;
    pub(crate) mod data;
    pub(crate) mod directory;
    pub(crate) mod file;
    pub(crate) mod lock;
    pub(crate) mod names;
    pub(crate) mod space;
    pub(crate) mod xattr;
}

pub use abandoned::Watched;
pub use mount::{FuseError, Mount, Session};
pub use options::MountOptions;
