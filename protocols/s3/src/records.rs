//! What the head keeps with directories and files, in system attributes. The formats are in docs/formats/s3.md.

use crate::sums::Sum;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::Name;

/// The version of every record.
const VERSION: u8 = 1;

/// Attributes of buckets.
pub(crate) mod of_bucket {
    pub(crate) const RECORD: &str = "s3.bucket";
    pub(crate) const ACL: &str = "s3.acl";
    pub(crate) const POLICY: &str = "s3.policy";
    pub(crate) const CORS: &str = "s3.cors";
    pub(crate) const TAGS: &str = "s3.tags";
    pub(crate) const LIFECYCLE: &str = "s3.lifecycle";
    pub(crate) const EVENTS: &str = "s3.events";
    pub(crate) const LOCK: &str = "s3.lock";
    pub(crate) const PUBLIC_ACCESS: &str = "s3.public";
}

/// Attributes of objects.
pub(crate) mod of_object {
    pub(crate) const RECORD: &str = "s3.object";
    pub(crate) const ACL: &str = "s3.acl";
    pub(crate) const TAGS: &str = "s3.tags";
    pub(crate) const LOCK: &str = "s3.lock";
    /// Of an upload.
    pub(crate) const UPLOAD: &str = "s3.upload";
}

/// Attributes of parts of uploads.
pub(crate) mod of_upload {
    pub(crate) const PART: &str = "s3.part";
}

/// Attributes of events that wait for their targets.
pub(crate) mod of_event {
    pub(crate) const RECORD: &str = "s3.event";
}

/// One of the names above.
pub(crate) fn name(text: &'static str) -> Name {
    #[expect(clippy::expect_used, reason = "only called with the constants above, which are names")]
    Name::new(text.as_bytes()).expect("a constant is a name")
}

/// A version byte and postcard.
pub(crate) fn encode<T: Serialize>(record: &T) -> Bytes {
    #[expect(
        clippy::expect_used,
        reason = "postcard fails only on types without a length; records have none"
    )]
    postcard::to_extend(record, vec![VERSION]).map(Bytes::from).expect("a record encodes")
}

/// What [`encode`] has written; `None` for anything else and for another version.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}

/// A bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct BucketRecord {
    /// The canonical id of its owner.
    pub(crate) owner: String,
    /// How its owner is shown.
    pub(crate) owner_name: String,
    /// When it was made: seconds since 1970.
    pub(crate) created: i64,
    pub(crate) versioning: Versioning,
    pub(crate) ownership: Ownership,
    /// Object lock was asked for when it was made; for ever.
    pub(crate) lock: bool,
    /// Where it was asked to be.
    pub(crate) location: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Versioning {
    Never,
    Enabled,
    Suspended,
}

/// Who owns what is put, and whether ACLs count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Ownership {
    /// Who puts it.
    ObjectWriter,
    /// The bucket's owner, when it was put so that it may have it all.
    BucketOwnerPreferred,
    /// The bucket's owner; ACLs do not count and cannot be set.
    BucketOwnerEnforced,
    /// As [`Ownership::ObjectWriter`], and nobody has asked for it.
    Unset,
}

/// An object: what came with its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ObjectRecord {
    /// MD5 of the bytes, or of the MD5s of its parts.
    pub(crate) md5: [u8; 16],
    /// Parts that it was uploaded in; 0: in one.
    pub(crate) parts: u32,
    /// The parts, where they fit.
    pub(crate) of_parts: Vec<PartOf>,
    pub(crate) sums: Vec<Sum>,
    pub(crate) headers: Headers,
    /// The canonical id of its owner.
    pub(crate) owner: String,
    /// Its version, newest first in byte order; empty: the null version.
    pub(crate) version: String,
    /// Of an old version: it says that the key was deleted. Of a directory: it was made on the way to a key, is no
    /// object, and goes when nothing is in it any more.
    pub(crate) marker: bool,
    /// The content of a directory that is an object, which no other head sees.
    pub(crate) content: Vec<u8>,
}

impl ObjectRecord {
    /// Of a directory that was made on the way to a key.
    pub(crate) fn made() -> ObjectRecord {
        ObjectRecord { marker: true, ..ObjectRecord::default() }
    }
}

/// A part of an object, for who asks for parts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PartOf {
    pub(crate) number: u16,
    pub(crate) size: u64,
    pub(crate) sum: Option<String>,
}

/// What a client says of the object and hears again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Headers {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) expires: Option<String>,
    pub(crate) redirect: Option<String>,
    pub(crate) storage_class: Option<String>,
    pub(crate) metadata: Vec<(String, String)>,
}

/// An upload in parts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub(crate) key: String,
    pub(crate) object: ObjectRecord,
    pub(crate) initiator: String,
    pub(crate) initiator_name: String,
    /// Nanoseconds since 1970.
    pub(crate) begun: i64,
    /// Tags, ACL and lock as the object is to have them.
    pub(crate) values: Vec<(String, Vec<u8>)>,
    pub(crate) algorithm: Option<crate::sums::Algorithm>,
    /// The checksum is of the whole object, not of the parts' checksums.
    pub(crate) full_object: bool,
    /// What became of it: whoever asks again hears it again.
    pub(crate) done: Option<DoneRecord>,
}

/// The object that an upload has become.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DoneRecord {
    pub(crate) etag: String,
    pub(crate) version: Option<String>,
    pub(crate) sums: Vec<Sum>,
    /// Seconds since 1970.
    pub(crate) at: i64,
}

/// A part of an upload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) md5: [u8; 16],
    pub(crate) size: u64,
    pub(crate) sums: Vec<Sum>,
}

/// Object lock of an object.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LockRecord {
    /// Until when (seconds since 1970), and whether nobody at all may shorten it (compliance).
    pub(crate) retention: Option<(i64, bool)>,
    pub(crate) legal_hold: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_frozen() {
        let record = BucketRecord {
            owner: "o".into(),
            owner_name: "n".into(),
            created: 5,
            versioning: Versioning::Enabled,
            ownership: Ownership::BucketOwnerEnforced,
            lock: true,
            location: String::new(),
        };
        assert_eq!(encode(&record).as_ref(), b"\x01\x01o\x01n\x0a\x01\x02\x01\0");
        assert_eq!(decode(&encode(&record)), Some(record));
        let lock = LockRecord { retention: Some((1, true)), legal_hold: true };
        assert_eq!(encode(&lock).as_ref(), b"\x01\x01\x02\x01\x01");
        assert_eq!(decode::<LockRecord>(b"\x02\x01\x02\x01\x01"), None);
    }
}
