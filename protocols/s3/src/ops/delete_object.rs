//! DeleteObject and DeleteObjects.

use crate::acl::Permission;
use crate::bucket::Bucket;
use crate::error::{access_denied, from_fs};
use crate::events::{Kind, Told};
use crate::head::{Caller, Head};
use crate::key::ObjectPath;
use crate::object::Object;
use crate::ops::{Parts, Request, parts};
use crate::permit::Act;
use crate::place::Conditions;
use crate::records::{ObjectRecord, Versioning, encode, name, of_object};
use crate::versions::{last_of, name_of, new_version};
use bytes::Bytes;
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use types::{FsError, Mode, Retention};
use vfs::{Put, PutIf, PutSource, Vfs};

/// Objects of one request.
const OBJECTS_MAX: usize = 1000;

/// What a removal has left.
#[derive(Default)]
pub(crate) struct Removed {
    /// Something has changed.
    changed: bool,
    /// A marker was made, or was what was removed.
    pub(crate) marker: bool,
    /// The version of either, or of what was removed.
    pub(crate) version: Option<String>,
}

/// Conditions of a removal.
#[derive(Default)]
pub(crate) struct Only {
    pub(crate) conditions: Conditions,
    pub(crate) size: Option<i64>,
    pub(crate) modified: Option<Timestamp>,
}

impl Only {
    fn is_some(&self) -> bool {
        self.conditions.if_match.is_some() || self.size.is_some() || self.modified.is_some()
    }

    /// What is not there need not be removed; a marker is there.
    fn check(&self, there: Option<&Object>) -> S3Result<()> {
        let Some(object) = there else { return Ok(()) };
        if object.is_marker()
            && self.conditions.if_match.as_ref().is_some_and(|condition| !condition.is_any())
        {
            return Err(crate::error::precondition_failed());
        }
        if !object.is_marker() {
            self.conditions.check(Some(object))?;
        }
        let size = self.size.is_none_or(|size| u64::try_from(size) == Ok(object.size()));
        let modified = self
            .modified
            .as_ref()
            .is_none_or(|time| crate::object::seconds(time) == object.attr.mtime.seconds);
        if size && modified { Ok(()) } else { Err(crate::error::precondition_failed()) }
    }
}

/// See the S3 reference.
pub(crate) async fn delete_object<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let only = Only {
        conditions: Conditions { if_match: input.if_match, if_none_match: None },
        size: input.if_match_size,
        modified: input.if_match_last_modified_time,
    };
    let bypass = input.bypass_governance_retention.unwrap_or(false);
    let version = input.version_id.as_deref();
    let removed = remove(head, &parts, &caller, &bucket, (&input.key, version), &only, bypass).await?;
    let output = DeleteObjectOutput {
        delete_marker: removed.marker.then_some(true),
        version_id: removed.version,
        ..DeleteObjectOutput::default()
    };
    Ok(S3Response::with_status(output, http::StatusCode::NO_CONTENT))
}

/// See the S3 reference.
pub(crate) async fn delete_objects<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    if input.delete.objects.is_empty() || input.delete.objects.len() > OBJECTS_MAX {
        return Err(s3_error!(MalformedXML, "The request names no objects, or over 1000."));
    }
    let quiet = input.delete.quiet.unwrap_or(false);
    let bypass = input.bypass_governance_retention.unwrap_or(false);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in input.delete.objects {
        let only = Only {
            conditions: Conditions { if_match: object.e_tag.map(ETagCondition::ETag), if_none_match: None },
            size: object.size,
            modified: object.last_modified_time,
        };
        let at = (object.key.as_str(), object.version_id.as_deref());
        match remove(head, &parts, &caller, &bucket, at, &only, bypass).await {
            Ok(removed) if !quiet => deleted.push(DeletedObject {
                delete_marker: removed.marker.then_some(true),
                delete_marker_version_id: removed.version.filter(|_| removed.marker),
                key: Some(object.key),
                version_id: object.version_id,
            }),
            Ok(_) => {}
            Err(error) => errors.push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(object.key),
                message: error.message().map(str::to_owned),
                version_id: object.version_id,
            }),
        }
    }
    crate::ops::reply(DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    })
}

/// Removes an object or a version for whoever may, and tells of it.
async fn remove<V: Vfs>(
    head: &Head<V>,
    parts: &Parts,
    caller: &Caller,
    bucket: &Bucket,
    at: (&str, Option<&str>),
    only: &Only,
    bypass: bool,
) -> S3Result<Removed> {
    let removed = remove_one(head, parts, caller, bucket, at, only, bypass).await?;
    if removed.changed {
        let kind = if removed.marker && at.1.is_none() { Kind::DeleteMarker } else { Kind::Delete };
        let version = removed.version.as_deref();
        let told = Told { kind, key: at.0, size: 0, etag: "", version, at: head.now() };
        head.tell(bucket, parts, told).await;
    }
    Ok(removed)
}

async fn remove_one<V: Vfs>(
    head: &Head<V>,
    parts: &Parts,
    caller: &Caller,
    bucket: &Bucket,
    (key, version): (&str, Option<&str>),
    only: &Only,
    bypass: bool,
) -> S3Result<Removed> {
    let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    let mut act = Act::bucket(action, Some(Permission::Write));
    act.key = Some(key);
    bucket.permit(caller, &parts.facts(&[]), &act)?;
    let bypass = bypass && {
        act.action = "s3:BypassGovernanceRetention";
        act.permission = None;
        bucket.permit(caller, &parts.facts(&[]), &act).is_ok()
    };
    // What no file can be called was never there.
    let Ok(path) = ObjectPath::of(key) else { return Ok(Removed::default()) };
    let files = head.acting(bucket)?;
    let _one = head.lock_key(&bucket.dir, &path).await;
    let there = files.object(bucket.dir, key).await?;
    match version {
        None => {
            let (_, marker) = crate::ops::get_object::look(head, &files, bucket, key, None).await?;
            only.check(there.as_ref().or(marker.as_ref()))?;
            if only.is_some() && there.is_none() && marker.is_none() {
                return Ok(Removed::default());
            }
            if bucket.record.versioning == Versioning::Never || path.file.is_none() {
                let now = head.now().seconds;
                if there.as_ref().is_some_and(|there| there.lock().holds(now, bypass)) {
                    return Err(access_denied());
                }
                release(head, there.as_ref(), bypass).await?;
                head.remove_at(&files, bucket, &path).await?;
                return Ok(Removed { changed: there.is_some(), ..Removed::default() });
            }
            mark(head, bucket, &path, there).await
        }
        Some(version) => remove_version(head, bucket, (&path, version), there, only, bypass).await,
    }
}

/// What is removed by whoever may go around governance is not retained any more.
async fn release<V: Vfs>(head: &Head<V>, object: Option<&Object>, bypass: bool) -> S3Result<()> {
    match object.filter(|object| bypass && object.lock().holds(head.now().seconds, false)) {
        Some(object) => head.release(object).await,
        None => Ok(()),
    }
}

/// Puts a marker in front of what stands at a key.
pub(crate) async fn mark<V: Vfs>(
    head: &Head<V>,
    bucket: &Bucket,
    path: &ObjectPath,
    there: Option<Object>,
) -> S3Result<Removed> {
    let root = head.files(types::Cred::root());
    let Some(last) = last_of(path) else { return Ok(Removed::default()) };
    let newer = new_version(head, there.as_ref());
    let suspended = bucket.record.versioning == Versioning::Suspended;
    if suspended {
        // The marker is the null version, and takes the place of the one before.
        if let Some((old, _)) = head.old_version(bucket, path, "null").await? {
            head.forget_old(bucket, path, &old).await?;
        }
        if there.as_ref().is_some_and(|there| there.version() == "null") {
            let files = head.acting(bucket)?;
            head.remove_at(&files, bucket, path).await?;
        }
    }
    let (version, order) = if suspended {
        (String::new(), format!("{}-null", newer.get(..16).unwrap_or(&newer)))
    } else {
        (newer.clone(), newer.clone())
    };
    let record =
        ObjectRecord { marker: true, version, owner: bucket.record.owner.clone(), ..ObjectRecord::default() };
    for _ in 0..8 {
        let dir = head.versions_dir(bucket, path, true).await?.ok_or_else(|| from_fs(FsError::Delay))?;
        let put = Put {
            dir,
            name: name_of(last, &order)?,
            source: PutSource::Content { data: Bytes::new(), mode: Mode(0o600) },
            values: vec![(name(of_object::RECORD), encode(&record))],
            only: PutIf::Any,
            keep: None,
            retention: Retention::default(),
        };
        match root.put(put).await {
            Ok(_) => break,
            // The directory was empty, and went, in between.
            Err(FsError::Stale | FsError::NotFound) => {}
            Err(error) => return Err(from_fs(error)),
        }
    }
    if let Some(there) = there.filter(|there| !(suspended && there.version() == "null")) {
        head.set_aside(bucket, path, &there, &newer).await?;
    }
    Ok(Removed {
        changed: true,
        marker: true,
        version: Some(if suspended { "null".to_owned() } else { newer }),
    })
}

/// Removes one version for good; what is newest then takes its place.
async fn remove_version<V: Vfs>(
    head: &Head<V>,
    bucket: &Bucket,
    (path, version): (&ObjectPath, &str),
    there: Option<Object>,
    only: &Only,
    bypass: bool,
) -> S3Result<Removed> {
    let gone = |changed, marker| Removed { changed, marker, version: Some(version.to_owned()) };
    let now = head.now().seconds;
    if let Some(there) = &there
        && there.version() == version
    {
        only.check(Some(there))?;
        if there.lock().holds(now, bypass) {
            return Err(access_denied());
        }
        release(head, Some(there), bypass).await?;
        let files = head.acting(bucket)?;
        head.remove_at(&files, bucket, path).await?;
        head.bring_back(bucket, path).await?;
        return Ok(gone(true, false));
    }
    if bucket.record.versioning == Versioning::Never {
        return Ok(gone(false, false));
    }
    let Some((old, object)) = head.old_version(bucket, path, version).await? else {
        only.check(None)?;
        return Ok(gone(false, false));
    };
    only.check(Some(&object))?;
    if object.lock().holds(now, bypass) {
        return Err(access_denied());
    }
    release(head, Some(&object), bypass).await?;
    head.forget_old(bucket, path, &old).await?;
    if there.is_none() {
        head.bring_back(bucket, path).await?;
    }
    Ok(gone(true, object.is_marker()))
}
