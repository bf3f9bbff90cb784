//! One command, one file.

pub(crate) mod client;
pub(crate) mod clone_range;
pub(crate) mod commit;
pub(crate) mod create;
pub(crate) mod drain;
pub(crate) mod filesystem;
pub(crate) mod link;
pub(crate) mod put;
pub(crate) mod relocate;
pub(crate) mod removal;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod retention;
pub(crate) mod setattr;
pub(crate) mod space;
pub(crate) mod stage;
pub(crate) mod stripes;
pub(crate) mod system;
pub(crate) mod xattr;
