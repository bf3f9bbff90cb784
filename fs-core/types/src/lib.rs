//! Vocabulary and limits that every other room shares; no logic, no async.

#![forbid(unsafe_code)]

mod attr;
mod cred;
mod delegation;
mod error;
mod id;
mod leased;
pub mod limits;
mod name;
mod range;
mod request;
mod retention;
mod time;

pub use attr::{Attr, Device, FileKind, Mode, SetAttr, SetTime};
pub use cred::{AccessMask, Cred};
pub use delegation::{Delegation, DelegationId};
pub use error::FsError;
pub use id::{ChunkId, Cookie, DriveId, FileId, FsId, GroupId, InodeId, ShardId, Slot, StripeId};
pub use leased::Leased;
pub use name::{Name, NameError};
pub use range::ByteRange;
pub use request::RequestId;
pub use retention::{Guard, Retention};
pub use time::Time;
