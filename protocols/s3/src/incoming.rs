//! What requests say of the objects that they make.

use crate::account::Accounts;
use crate::acl::{self, Acl, Of, Permission};
use crate::bucket::Bucket;
use crate::error::access_denied;
use crate::head::{Caller, Head};
use crate::ops::Parts;
use crate::permit::Act;
use crate::public_access::PublicAccess;
use crate::records::{Headers, LockRecord, Ownership, encode, name, of_object};
use crate::tags::{self, Tags};
use bytes::Bytes;
use s3s::dto::{
    GrantFullControl, Metadata, ObjectCannedACL, ObjectLockLegalHoldStatus, ObjectLockMode, Timestamp,
    TimestampFormat,
};
use s3s::{S3Result, s3_error};
use types::Name;
use vfs::Vfs;

/// Bytes of user metadata, names and values (AWS: 2 KiB).
const METADATA_BYTES_MAX: usize = 2 * 1024;

/// User metadata in the order of names.
pub(crate) fn metadata(metadata: Option<Metadata>) -> S3Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = metadata.unwrap_or_default().into_iter().collect();
    found.sort();
    if found.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > METADATA_BYTES_MAX {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        ));
    }
    Ok(found)
}

/// A time as a header has it.
pub(crate) fn http_date(time: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

/// Classes of storage that are accepted; all are the same here.
pub(crate) fn storage_class(class: Option<&str>) -> S3Result<Option<String>> {
    match class {
        None | Some("STANDARD") => Ok(None),
        Some(
            class @ ("REDUCED_REDUNDANCY"
            | "STANDARD_IA"
            | "ONEZONE_IA"
            | "INTELLIGENT_TIERING"
            | "GLACIER_IR"),
        ) => Ok(Some(class.to_owned())),
        Some(_) => Err(s3_error!(InvalidStorageClass, "The storage class you specified is not valid")),
    }
}

/// The content headers of a request: the same fields in several kinds of requests.
macro_rules! headers_of {
    ($input:expr) => {
        $crate::incoming::headers(
            $crate::records::Headers {
                content_type: $input.content_type.take(),
                content_encoding: $input.content_encoding.take().and_then($crate::incoming::without_chunks),
                content_language: $input.content_language.take(),
                content_disposition: $input.content_disposition.take(),
                cache_control: $input.cache_control.take(),
                expires: $input.expires.take().as_ref().and_then($crate::incoming::http_date),
                redirect: $input.website_redirect_location.take(),
                storage_class: None,
                metadata: Vec::new(),
            },
            $input.metadata.take(),
            $input.storage_class.as_ref().map(|class| class.as_str()),
        )
    };
}
pub(crate) use headers_of;

pub(crate) fn headers(base: Headers, meta: Option<Metadata>, class: Option<&str>) -> S3Result<Headers> {
    Ok(Headers { metadata: metadata(meta)?, storage_class: storage_class(class)?, ..base })
}

/// How the body came is not how it is kept.
pub(crate) fn without_chunks(encoding: String) -> Option<String> {
    let rest: Vec<&str> =
        encoding.split(',').map(str::trim).filter(|part| !part.eq_ignore_ascii_case("aws-chunked")).collect();
    (!rest.is_empty() && !encoding.is_empty()).then(|| rest.join(", "))
}

/// The `x-amz-grant-` headers.
#[derive(Default)]
pub(crate) struct Grants {
    pub(crate) full: Option<GrantFullControl>,
    pub(crate) read: Option<String>,
    pub(crate) write: Option<String>,
    pub(crate) read_acp: Option<String>,
    pub(crate) write_acp: Option<String>,
}

/// The `x-amz-grant-` headers of a request; that to write as it is given, where the wire does not know it of objects.
macro_rules! grants_of {
    ($input:expr) => {
        $crate::incoming::grants_of!($input, $input.grant_write)
    };
    ($input:expr, $write:expr) => {
        $crate::incoming::Grants {
            full: $input.grant_full_control,
            read: $input.grant_read,
            write: $write,
            read_acp: $input.grant_read_acp,
            write_acp: $input.grant_write_acp,
        }
    };
}
pub(crate) use grants_of;

impl Grants {
    /// The ACL that they come to, if there are any.
    pub(crate) fn acl(&self, accounts: &Accounts) -> S3Result<Option<Acl>> {
        let headers = [
            (Permission::Read, self.read.as_ref()),
            (Permission::Write, self.write.as_ref()),
            (Permission::ReadAcp, self.read_acp.as_ref()),
            (Permission::WriteAcp, self.write_acp.as_ref()),
            (Permission::FullControl, self.full.as_ref()),
        ];
        Acl::from_headers(headers, accounts)
    }

    pub(crate) fn is_empty(&self) -> bool {
        [&self.full, &self.read, &self.write, &self.read_acp, &self.write_acp]
            .iter()
            .all(|grant| grant.is_none())
    }
}

impl<V: Vfs> Head<V> {
    /// The ACL that a request gives, if it gives one.
    pub(crate) fn acl_of(
        &self,
        bucket: &Bucket,
        owner: Of<'_>,
        canned: Option<&str>,
        grants: &Grants,
    ) -> S3Result<Option<Acl>> {
        let acl = match (canned, grants.acl(&self.0.accounts)?) {
            (Some(_), Some(_)) => {
                return Err(s3_error!(
                    InvalidRequest,
                    "Specifying both Canned ACLs and Header Grants is not allowed"
                ));
            }
            (Some(canned), None) => Some(Acl::canned(canned, owner, bucket.owner())?),
            (None, acl) => acl,
        };
        if acl.is_some() && !acl::counts(&bucket.record) {
            if canned != Some(ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL) {
                return Err(s3_error!(AccessControlListNotSupported, "The bucket does not allow ACLs"));
            }
            return Ok(None);
        }
        if acl.as_ref().is_some_and(Acl::is_public) && PublicAccess::of(bucket).block_acls {
            return Err(access_denied());
        }
        Ok(acl)
    }

    /// Who owns what a caller puts into a bucket: canonical id and how it is shown.
    fn owner_of_new(&self, bucket: &Bucket, caller: &Caller, canned: Option<&str>) -> (String, String) {
        let given = canned == Some(ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL);
        let of_bucket = match bucket.record.ownership {
            Ownership::BucketOwnerEnforced => true,
            Ownership::BucketOwnerPreferred => given,
            Ownership::ObjectWriter | Ownership::Unset => false,
        };
        match caller {
            Some(caller) if !of_bucket => (caller.canonical_id.clone(), caller.display_name.clone()),
            _ => (bucket.record.owner.clone(), bucket.record.owner_name.clone()),
        }
    }
}

/// What a request asks for beside the content of the object that it makes.
pub(crate) struct Wishes<'a> {
    pub(crate) canned: Option<&'a ObjectCannedACL>,
    pub(crate) grants: Grants,
    pub(crate) lock_mode: Option<&'a ObjectLockMode>,
    pub(crate) lock_until: Option<&'a Timestamp>,
    pub(crate) legal_hold: Option<&'a ObjectLockLegalHoldStatus>,
}

/// The wishes of a request: the same fields in several kinds of requests.
macro_rules! wishes_of {
    ($input:expr, $write:expr) => {
        $crate::incoming::Wishes {
            canned: $input.acl.as_ref(),
            grants: $crate::incoming::grants_of!($input, $write),
            lock_mode: $input.object_lock_mode.as_ref(),
            lock_until: $input.object_lock_retain_until_date.as_ref(),
            legal_hold: $input.object_lock_legal_hold_status.as_ref(),
        }
    };
}
pub(crate) use wishes_of;

/// Whose a new object is, and what is kept with it.
pub(crate) struct Given {
    pub(crate) owner: String,
    acl: Option<Acl>,
    lock: Option<LockRecord>,
}

impl Given {
    /// Tags, ACL and lock as attributes.
    pub(crate) fn values(&self, tags: &Tags) -> Vec<(Name, Bytes)> {
        let mut values = Vec::new();
        if !tags.is_empty() {
            values.push((name(of_object::TAGS), encode(tags)));
        }
        if let Some(acl) = &self.acl {
            values.push((name(of_object::ACL), encode(acl)));
        }
        if let Some(lock) = self.lock.as_ref().filter(|lock| **lock != LockRecord::default()) {
            values.push((name(of_object::LOCK), encode(lock)));
        }
        values
    }
}

impl<V: Vfs> Head<V> {
    /// Who calls, the bucket, and the tags that the request gives, of a request that puts something under `key`: it may.
    pub(crate) async fn may_put(
        &self,
        parts: &Parts,
        (bucket, key): (&str, &str),
        tagging: Option<&str>,
    ) -> S3Result<(Caller, Bucket, Tags)> {
        let caller = self.caller(parts.credentials.as_ref())?;
        let bucket = self.bucket(bucket).await?;
        let tags = tagging.map(tags::from_header).transpose()?.unwrap_or_default();
        let mut act = Act::bucket("s3:PutObject", Some(Permission::Write));
        act.key = Some(key);
        bucket.permit(&caller, &parts.facts(&tags), &act)?;
        Ok((caller, bucket, tags))
    }

    /// What comes of the wishes of a request that makes an object.
    pub(crate) fn given(&self, bucket: &Bucket, caller: &Caller, wishes: &Wishes<'_>) -> S3Result<Given> {
        let canned = wishes.canned.map(ObjectCannedACL::as_str);
        let (owner, owner_name) = self.owner_of_new(bucket, caller, canned);
        let acl = self.acl_of(bucket, Of { id: &owner, name: &owner_name }, canned, &wishes.grants)?;
        let lock = lock_of(bucket, self.now().seconds, wishes)?;
        Ok(Given { owner, acl, lock })
    }
}

/// The lock that a request gives, or the bucket's default.
fn lock_of(
    bucket: &Bucket,
    now: i64,
    &Wishes { lock_mode: mode, lock_until: until, legal_hold: hold, .. }: &Wishes<'_>,
) -> S3Result<Option<LockRecord>> {
    let given = mode.is_some() || until.is_some() || hold.is_some();
    if given && !bucket.record.lock {
        return Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"));
    }
    if !bucket.record.lock {
        return Ok(None);
    }
    let retention = match (mode, until) {
        (Some(mode), Some(until)) => {
            let until = crate::object::seconds(until);
            if until <= now {
                return Err(s3_error!(InvalidArgument, "The retain until date must be in the future!"));
            }
            Some((until, crate::lock::is_compliance(mode.as_str())?))
        }
        (None, None) => crate::lock::default_retention(bucket, now),
        _ => {
            return Err(s3_error!(
                InvalidArgument,
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
            ));
        }
    };
    let legal_hold = match hold.map(ObjectLockLegalHoldStatus::as_str) {
        None | Some("OFF") => false,
        Some("ON") => true,
        Some(_) => return Err(s3_error!(MalformedXML)),
    };
    Ok(Some(LockRecord { retention, legal_hold }))
}
