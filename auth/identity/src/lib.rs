//! Users and groups, from wherever they are kept; today the files of this machine.

#![forbid(unsafe_code)]

mod accounts;
mod files;

pub use accounts::Accounts;
pub use files::{IdentityError, LocalFiles};
