//! Object lock: of buckets, and of objects.

use crate::acl::Permission;
use crate::bucket::{Bucket, CHANGE_TRIES};
use crate::error::{access_denied, custom, from_fs};
use crate::head::Head;
use crate::key::ObjectPath;
use crate::lock::{configuration, is_compliance};
use crate::object::{Object, seconds};
use crate::ops::get_object::{at_second, find, mode};
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::{BucketRecord, LockRecord, Versioning, encode, name, of_bucket, of_object};
use bytes::Bytes;
use s3s::dto::*;
use s3s::xml::{Serialize, Serializer};
use s3s::{S3Response, S3Result, s3_error};
use types::Cred;
use vfs::Vfs;

fn needs_lock(bucket: &Bucket) -> S3Result<()> {
    if bucket.record.lock {
        Ok(())
    } else {
        Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"))
    }
}

fn needs_versioning(record: &BucketRecord) -> S3Result<()> {
    if record.versioning == Versioning::Enabled {
        return Ok(());
    }
    Err(s3_error!(
        InvalidBucketState,
        "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
    ))
}

fn bad_period() -> s3s::S3Error {
    let message = "Default retention period must be a positive integer value";
    custom("InvalidRetentionPeriod", http::StatusCode::BAD_REQUEST, message)
}

/// A document as it is kept.
pub(crate) fn xml<T: Serialize>(document: &T) -> S3Result<Bytes> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::new(&mut bytes);
    document.serialize(&mut serializer).map_err(|_| s3_error!(InternalError))?;
    Ok(bytes.into())
}

/// See the S3 reference.
pub(crate) async fn get_object_lock_configuration<V: Vfs>(
    head: &Head<V>,
    request: Request<GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketObjectLockConfiguration", None))?;
    if !bucket.record.lock {
        return Err(s3_error!(
            ObjectLockConfigurationNotFoundError,
            "Object Lock configuration does not exist for this bucket"
        ));
    }
    let own = configuration(&bucket).unwrap_or(ObjectLockConfiguration {
        object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
        rule: None,
    });
    reply(GetObjectLockConfigurationOutput { object_lock_configuration: Some(own) })
}

/// See the S3 reference.
pub(crate) async fn put_object_lock_configuration<V: Vfs>(
    head: &Head<V>,
    request: Request<PutObjectLockConfigurationInput>,
) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketObjectLockConfiguration", None))?;
    if !bucket.record.lock {
        needs_versioning(&bucket.record)?;
    }
    let asked = input.object_lock_configuration.ok_or_else(|| s3_error!(MalformedXML))?;
    if asked.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str) != Some(ObjectLockEnabled::ENABLED) {
        return Err(s3_error!(MalformedXML));
    }
    if let Some(rule) = &asked.rule {
        let default = rule.default_retention.as_ref().ok_or_else(|| s3_error!(MalformedXML))?;
        is_compliance(default.mode.as_ref().map_or("", |mode| mode.as_str()))?;
        match (default.days, default.years) {
            (Some(_), Some(_)) | (None, None) => return Err(s3_error!(MalformedXML)),
            (Some(time), None) | (None, Some(time)) if time <= 0 => {
                return Err(bad_period());
            }
            (Some(days), None) if days > 36_500 => return Err(bad_period()),
            (None, Some(years)) if years > 100 => return Err(bad_period()),
            _ => {}
        }
    }
    head.keep_with(&bucket, of_bucket::LOCK, Some(xml(&asked)?)).await?;
    if !bucket.record.lock {
        head.change_record(&bucket, |record| {
            needs_versioning(record)?;
            record.lock = true;
            Ok(())
        })
        .await?;
    }
    reply(PutObjectLockConfigurationOutput::default())
}

/// See the S3 reference.
pub(crate) async fn get_object_retention<V: Vfs>(
    head: &Head<V>,
    request: Request<GetObjectRetentionInput>,
) -> S3Result<S3Response<GetObjectRetentionOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:GetObjectRetention", "s3:GetObjectRetention");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::Read).await?;
    needs_lock(&bucket)?;
    let (until, compliance) = object.lock().retention.ok_or_else(|| {
        s3_error!(
            NoSuchObjectLockConfiguration,
            "The specified object does not have a ObjectLock configuration"
        )
    })?;
    let retention = ObjectLockRetention {
        mode: Some(mode(compliance).to_owned().into()),
        retain_until_date: Some(at_second(until)),
    };
    reply(GetObjectRetentionOutput { retention: Some(retention) })
}

/// See the S3 reference.
pub(crate) async fn put_object_retention<V: Vfs>(
    head: &Head<V>,
    request: Request<PutObjectRetentionInput>,
) -> S3Result<S3Response<PutObjectRetentionOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:PutObjectRetention", "s3:PutObjectRetention");
    let (_, mut object) = find(head, &parts, &caller, at, actions, Permission::Write).await?;
    needs_lock(&bucket)?;
    let asked = input.retention.ok_or_else(|| s3_error!(MalformedXML))?;
    let new = match (&asked.mode, &asked.retain_until_date) {
        (None, None) => None,
        (Some(mode), Some(until)) => Some((seconds(until), is_compliance(mode.as_str())?)),
        _ => return Err(s3_error!(MalformedXML)),
    };
    let now = head.now().seconds;
    if new.is_some_and(|(until, _)| until <= now) {
        return Err(s3_error!(InvalidArgument, "The retain until date must be in the future!"));
    }
    for _ in 0..CHANGE_TRIES {
        let old = object.lock();
        if let Some((until, compliance)) = old.retention.filter(|(until, _)| *until > now) {
            let weaker = new.is_none_or(|(new_until, new_compliance)| {
                new_until < until || (compliance && !new_compliance)
            });
            let bypass = input.bypass_governance_retention.unwrap_or(false) && {
                let mut act = Act::bucket("s3:BypassGovernanceRetention", None);
                act.key = Some(&input.key);
                bucket.permit(&caller, &parts.facts(&[]), &act).is_ok()
            };
            let changes_mode = new.is_some_and(|(_, new_compliance)| new_compliance != compliance);
            if (weaker && (compliance || !bypass)) || (changes_mode && !compliance && !bypass) {
                return Err(access_denied());
            }
        }
        if keep(head, &bucket, &input.key, &object, &LockRecord { retention: new, ..old }).await? {
            return reply(PutObjectRetentionOutput::default());
        }
        (_, object) = find(head, &parts, &caller, at, actions, Permission::Write).await?;
    }
    Err(changes_too_often())
}

/// See the S3 reference.
pub(crate) async fn get_object_legal_hold<V: Vfs>(
    head: &Head<V>,
    request: Request<GetObjectLegalHoldInput>,
) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:GetObjectLegalHold", "s3:GetObjectLegalHold");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::Read).await?;
    needs_lock(&bucket)?;
    let status = if object.lock().legal_hold { "ON" } else { "OFF" };
    reply(GetObjectLegalHoldOutput {
        legal_hold: Some(ObjectLockLegalHold { status: Some(status.to_owned().into()) }),
    })
}

/// See the S3 reference.
pub(crate) async fn put_object_legal_hold<V: Vfs>(
    head: &Head<V>,
    request: Request<PutObjectLegalHoldInput>,
) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:PutObjectLegalHold", "s3:PutObjectLegalHold");
    let (_, mut object) = find(head, &parts, &caller, at, actions, Permission::Write).await?;
    needs_lock(&bucket)?;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let legal_hold = match status.as_ref().map(ObjectLockLegalHoldStatus::as_str) {
        Some("ON") => true,
        Some("OFF") => false,
        _ => return Err(s3_error!(MalformedXML)),
    };
    for _ in 0..CHANGE_TRIES {
        let lock = LockRecord { legal_hold, ..object.lock() };
        if keep(head, &bucket, &input.key, &object, &lock).await? {
            return reply(PutObjectLegalHoldOutput::default());
        }
        (_, object) = find(head, &parts, &caller, at, actions, Permission::Write).await?;
    }
    Err(changes_too_often())
}

fn changes_too_often() -> s3s::S3Error {
    s3_error!(OperationAborted, "Too many others change this object.")
}

/// Keeps another lock with an object; `false` when it has another one by now than was seen. Whether it may be weaker has
/// been decided.
async fn keep<V: Vfs>(
    head: &Head<V>,
    bucket: &Bucket,
    key: &str,
    object: &Object,
    lock: &LockRecord,
) -> S3Result<bool> {
    let path = ObjectPath::of(key)?;
    if !object.is_directory() {
        let seen = Some(object.retention);
        return head.retain(bucket, &path.dirs, object.attr.file, lock.as_retention(), seen).await;
    }
    head.release(object).await?;
    head.guard_directory(bucket, &path, object.attr.file, lock).await?;
    let root = head.files(Cred::root());
    root.keep(object.attr.file, name(of_object::LOCK), Some(encode(lock))).await.map_err(from_fs)?;
    Ok(true)
}
