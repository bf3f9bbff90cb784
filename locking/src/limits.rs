//! Bounds of the state of one inode; beyond them a request is refused with [`crate::Answer::Full`].

/// Ranges held on one inode, over all owners and both spaces.
pub const HELD_MAX: usize = 8192;
/// Requests that wait on one inode.
pub const WAITERS_MAX: usize = 1024;
/// Opens of one inode that carry a share reservation.
pub const OPENS_MAX: usize = 65_536;
