//! What is kept from the public, whatever policies and ACLs say.

use crate::bucket::Bucket;
use crate::records::{decode, of_bucket};
use serde::{Deserialize, Serialize};

/// The four switches of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PublicAccess {
    /// ACLs that grant something to the public are refused.
    pub(crate) block_acls: bool,
    /// Those that are there do not count.
    pub(crate) ignore_acls: bool,
    /// Policies that let everybody in are refused.
    pub(crate) block_policy: bool,
    /// One that is there lets only the owner in.
    pub(crate) restrict: bool,
}

impl PublicAccess {
    pub(crate) fn of(bucket: &Bucket) -> PublicAccess {
        bucket.value(of_bucket::PUBLIC_ACCESS).and_then(|value| decode(value)).unwrap_or_default()
    }
}
