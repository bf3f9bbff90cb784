//! S3 on the same files: a bucket is a directory, an object is a file.
//!
//! The wire is `s3s`'s; what an operation means, who may ask for it and where things are kept is here. Keys and paths
//! are described in `docs/reference/s3.md`, what is kept with files in `docs/formats/s3.md`.

#![forbid(unsafe_code)]

mod account;
mod acl;
mod answers;
mod body;
mod bucket;
mod budget;
mod cors;
mod crowd;
mod download;
mod error;
mod events;
mod files;
mod forms;
mod guards;
mod hasher;
mod head;
mod incoming;
mod key;
mod leavings;
mod lifecycle;
mod lock;
mod md5;
mod object;
mod ops;
mod permit;
mod place;
mod policy;
mod policy_condition;
mod public_access;
mod records;
mod server;
mod service;
mod sums;
mod tags;
mod text;
mod tls;
mod uploads;
mod versions;
mod walk;

pub use account::{AccessKey, Account, Accounts, canonical_id};
pub use events::{Webhook, WebhookState};
pub use head::S3Config;
pub use server::Server;
pub use tls::{Authorities, CertificateError, Certificates};
