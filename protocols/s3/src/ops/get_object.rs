//! GetObject, HeadObject and GetObjectAttributes.

use crate::acl::Permission;
use crate::bucket::Bucket;
use crate::download::send;
use crate::error::{custom, from_fs, no_such_key, precondition_failed};
use crate::files::Files;
use crate::head::{Caller, Head};
use crate::key::ObjectPath;
use crate::object::{DEFAULT_TYPE, LOOKS, Object};
use crate::ops::{Parts, Request, parts, reply};
use crate::permit::Act;
use crate::records::{Headers, Versioning};
use crate::sums::{Sum, dto, summed};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Response, S3Result, s3_error};
use types::FsError;
use vfs::{FsResult, Vfs};

/// Parts of one page of GetObjectAttributes.
const PARTS_MAX: usize = 1000;

/// Finds an object for reading, and lets the request pass or not.
pub(crate) async fn find<V: Vfs>(
    head: &Head<V>,
    parts: &Parts,
    caller: &Caller,
    (bucket, key, version): (&Bucket, &str, Option<&str>),
    actions: (&'static str, &'static str),
    permission: Permission,
) -> S3Result<(Files<V>, Object)> {
    let files = head.acting(bucket)?;
    let (object, marker) = look(head, &files, bucket, key, version).await?;
    let act = Act {
        action: if version.is_some() { actions.1 } else { actions.0 },
        key: Some(key),
        object: object.as_ref().filter(|object| !object.is_marker()),
        permission: Some(permission),
        of_object: true,
    };
    bucket.permit(caller, &parts.facts(&[]), &act)?;
    if object.is_none() {
        // Only who may list hears what is not there.
        let facts = crate::permit::Facts { prefix: Some(key), ..parts.facts(&[]) };
        bucket.permit(caller, &facts, &Act::bucket("s3:ListBucket", Some(Permission::Read)))?;
    }
    match object {
        Some(object) if object.is_marker() => Err(of_marker(S3ErrorCode::MethodNotAllowed, &object)),
        Some(object) => Ok((files, object)),
        None if version.is_some_and(|version| version != "null") => {
            Err(s3_error!(NoSuchVersion, "The specified version does not exist."))
        }
        None => Err(marker.map_or_else(no_such_key, |marker| of_marker(S3ErrorCode::NoSuchKey, &marker))),
    }
}

/// The object or old version at a key; and when there is none the marker that says so.
pub(crate) async fn look<V: Vfs>(
    head: &Head<V>,
    files: &Files<V>,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
) -> S3Result<(Option<Object>, Option<Object>)> {
    let current = files.object(bucket.dir, key).await?;
    let has_versions = bucket.record.versioning != Versioning::Never;
    match (version, current) {
        (None, Some(current)) => Ok((Some(current), None)),
        (Some(version), Some(current)) if current.version() == version => Ok((Some(current), None)),
        (None, None) if has_versions => {
            let Ok(path) = ObjectPath::of(key) else { return Ok((None, None)) };
            let Some(dir) = head.versions_dir(bucket, &path, false).await? else { return Ok((None, None)) };
            let Some(last) = crate::versions::last_of(&path) else { return Ok((None, None)) };
            let newest = head.old_versions(dir, last, "", 1).await?.pop();
            Ok((None, newest.map(|(_, _, object)| object).filter(Object::is_marker)))
        }
        (Some(version), _) if has_versions => {
            let Ok(path) = ObjectPath::of(key) else { return Ok((None, None)) };
            let old = head.old_version(bucket, &path, version).await?;
            Ok((old.map(|(_, object)| object), None))
        }
        _ => Ok((None, None)),
    }
}

fn of_marker(code: S3ErrorCode, marker: &Object) -> S3Error {
    let mut error = S3Error::with_message(code, "The specified version is a delete marker.");
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-amz-delete-marker"), HeaderValue::from_static("true"));
    if let Ok(version) = HeaderValue::from_str(&marker.version()) {
        headers.insert(HeaderName::from_static("x-amz-version-id"), version);
    }
    error.set_headers(headers);
    error
}

/// The conditions of RFC 9110 13.2.2, in their order.
pub(crate) struct Conditions<'a> {
    pub(crate) if_match: Option<&'a ETagCondition>,
    pub(crate) if_none_match: Option<&'a ETagCondition>,
    pub(crate) if_modified_since: Option<&'a Timestamp>,
    pub(crate) if_unmodified_since: Option<&'a Timestamp>,
}

impl Conditions<'_> {
    /// # Errors
    /// 412, or `not_modified`.
    pub(crate) fn check(&self, object: &Object, not_modified: impl Fn(&Object) -> S3Error) -> S3Result<()> {
        let etag = object.etag();
        let fits =
            |condition: &ETagCondition| condition.as_etag().is_none_or(|own| own.value() == etag.value());
        let since = |time: &Timestamp| object.attr.mtime.seconds > crate::object::seconds(time);
        match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !fits(condition) => return Err(precondition_failed()),
            (None, Some(time)) if since(time) => return Err(precondition_failed()),
            _ => {}
        }
        match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) if fits(condition) => Err(not_modified(object)),
            (None, Some(time)) if !since(time) => Err(not_modified(object)),
            _ => Ok(()),
        }
    }
}

fn not_modified(object: &Object) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom("NotModified".into()), "Not Modified");
    error.set_status_code(StatusCode::NOT_MODIFIED);
    let mut headers = HeaderMap::new();
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", object.etag().value())) {
        headers.insert(http::header::ETAG, etag);
    }
    error.set_headers(headers);
    error
}

/// The part of an object that is asked for.
struct Slice {
    offset: u64,
    length: u64,
    /// `Content-Range`, when it is not all.
    range: Option<String>,
    parts_count: Option<i32>,
    /// The checksum of the part that it is.
    sum: Option<Sum>,
}

fn slice(object: &Object, range: Option<&Range>, part: Option<i32>) -> S3Result<Slice> {
    let size = object.size();
    let unsatisfiable = || s3_error!(InvalidRange, "The requested range is not satisfiable");
    let part_of = |offset: u64, length: u64| Slice {
        offset,
        length,
        range: (length > 0).then(|| format!("bytes {offset}-{}/{size}", offset + length - 1)),
        parts_count: None,
        sum: None,
    };
    if let Some(part) = part {
        if range.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            ));
        }
        let record = object.record.as_ref().filter(|_| object.fresh);
        let of_parts = record.map_or(&[][..], |record| &record.of_parts);
        let message = "The requested partnumber is not satisfiable";
        let invalid = || custom("InvalidPart", StatusCode::BAD_REQUEST, message);
        if of_parts.is_empty() {
            return if part == 1 { Ok(part_of(0, size)) } else { Err(invalid()) };
        }
        let at = of_parts.iter().position(|own| i32::from(own.number) == part).ok_or_else(invalid)?;
        let offset = of_parts[..at].iter().map(|part| part.size).sum();
        let count = i32::try_from(of_parts.len()).ok();
        let whole = record.and_then(|record| record.sums.first());
        let sum = whole.zip(of_parts[at].sum.clone());
        let sum = sum.map(|(whole, value)| Sum { value, ..whole.clone() });
        return Ok(Slice { parts_count: count, sum, ..part_of(offset, of_parts[at].size) });
    }
    match range {
        None => Ok(Slice { offset: 0, length: size, range: None, parts_count: None, sum: None }),
        Some(range) => {
            let range = range.check(size).map_err(|_| unsatisfiable())?;
            if range.is_empty() && size == 0 {
                return Err(unsatisfiable());
            }
            Ok(part_of(range.start, range.end - range.start))
        }
    }
}

/// An output that tells of an object what a client gets to know with it or instead of it.
macro_rules! described {
    ($sums:expr, ($bucket:expr, $object:expr, $slice:expr), $output:ident { $($field:ident: $value:expr),* }) => {{
        let (bucket, object, slice): (&Bucket, &Object, Slice) = ($bucket, $object, $slice);
        let (seen, lock) = (seen_headers(object), object.lock());
        summed!(
            $sums,
            $output {
                $($field: $value,)*
                accept_ranges: Some("bytes".to_owned()),
                content_length: i64::try_from(slice.length).ok(),
                content_range: slice.range,
                parts_count: slice.parts_count,
                e_tag: Some(object.etag()),
                last_modified: Some(object.last_modified()),
                content_type: Some(seen.content_type.unwrap_or_else(|| DEFAULT_TYPE.to_owned())),
                content_encoding: seen.content_encoding,
                content_language: seen.content_language,
                content_disposition: seen.content_disposition,
                cache_control: seen.cache_control,
                expires: seen.expires.as_deref().and_then(date),
                website_redirect_location: seen.redirect,
                storage_class: seen.storage_class.map(StorageClass::from),
                metadata: Some(seen.metadata.into_iter().collect()),
                version_id: version_shown(bucket, object),
                object_lock_mode: lock.retention.map(|(_, compliance)| mode(compliance).to_owned().into()),
                object_lock_retain_until_date: lock.retention.map(|(until, _)| at_second(until)),
                object_lock_legal_hold_status: lock.legal_hold.then(|| "ON".to_owned().into()),
            }
        )
    }};
}

/// See the S3 reference.
pub(crate) async fn get_object<V: Vfs>(
    head: &Head<V>,
    request: Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:GetObject", "s3:GetObjectVersion");
    let conditions = Conditions {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    let mut looks = 0;
    let (object, slice, body) = loop {
        let (files, object) = find(head, &parts, &caller, at, actions, Permission::Read).await?;
        conditions.check(&object, not_modified)?;
        if caller.is_none() && has_overrides(&input) {
            return Err(s3_error!(
                InvalidRequest,
                "Request specific response headers cannot be used for anonymous GET requests."
            ));
        }
        let slice = slice(&object, input.range.as_ref(), input.part_number)?;
        looks += 1;
        match content(head, files, &object, &slice).await {
            Ok(body) => break (object, slice, Some(body)),
            // Another has taken its place since it was found.
            Err(FsError::Stale) if looks < LOOKS => {}
            Err(error) => return Err(from_fs(error)),
        }
    };
    let whole = slice.range.is_none() || slice.length == object.size();
    let wants_sums = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let sums = match &slice.sum {
        Some(sum) if wants_sums => of_part(sum),
        None if wants_sums && whole => dto(object.sums()),
        _ => Checksum::default(),
    };
    let tags = object.tags().len();
    let tag_count = (tags > 0).then(|| i32::try_from(tags).unwrap_or(i32::MAX));
    reply(described!(sums, (&bucket, &object, slice), GetObjectOutput { body: body, tag_count: tag_count }))
}

/// The bytes that are asked for.
async fn content<V: Vfs>(
    head: &Head<V>,
    files: Files<V>,
    object: &Object,
    slice: &Slice,
) -> FsResult<StreamingBlob> {
    if !object.is_directory() {
        return send(files, object.attr.file, slice.offset, slice.length, head.0.budget.clone()).await;
    }
    let (from, to) = (slice.offset as usize, (slice.offset + slice.length) as usize);
    let part = object.content().get(from..to).unwrap_or_default();
    Ok(StreamingBlob::from(s3s::Body::from(bytes::Bytes::copy_from_slice(part))))
}

/// The checksum of a part, of the type of the whole.
fn of_part(sum: &Sum) -> Checksum {
    let own = Sum { parts: 0, ..sum.clone() };
    Checksum { checksum_type: Some(sum.dto_type()), ..dto(&[own]) }
}

fn has_overrides(input: &GetObjectInput) -> bool {
    input.response_cache_control.is_some()
        || input.response_content_disposition.is_some()
        || input.response_content_encoding.is_some()
        || input.response_content_language.is_some()
        || input.response_content_type.is_some()
        || input.response_expires.is_some()
}

/// See the S3 reference.
pub(crate) async fn head_object<V: Vfs>(
    head: &Head<V>,
    request: Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:GetObject", "s3:GetObjectVersion");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::Read).await?;
    let conditions = Conditions {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    conditions.check(&object, not_modified)?;
    let slice = slice(&object, input.range.as_ref(), input.part_number)?;
    let wants_sums = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let sums = match &slice.sum {
        Some(sum) if wants_sums => of_part(sum),
        None if wants_sums => dto(object.sums()),
        _ => Checksum::default(),
    };
    let output = described!(sums, (&bucket, &object, slice), HeadObjectOutput {});
    let mut headers = HeaderMap::new();
    if !object.tags().is_empty() {
        headers
            .insert(HeaderName::from_static("x-amz-tagging-count"), HeaderValue::from(object.tags().len()));
    }
    Ok(S3Response::with_headers(output, headers))
}

/// What a client said of the object, as it hears it again.
fn seen_headers(object: &Object) -> Headers {
    object.record.as_ref().map(|record| record.headers.clone()).unwrap_or_default()
}

fn date(text: &str) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}

pub(crate) fn version_shown(bucket: &Bucket, object: &Object) -> Option<String> {
    (bucket.record.versioning != Versioning::Never).then(|| object.version())
}

pub(crate) fn mode(compliance: bool) -> &'static str {
    if compliance { ObjectLockRetentionMode::COMPLIANCE } else { ObjectLockRetentionMode::GOVERNANCE }
}

/// Seconds since 1970 as a time.
pub(crate) fn at_second(seconds: i64) -> Timestamp {
    crate::object::timestamp(types::Time { seconds, nanoseconds: 0 })
}

/// See the S3 reference.
pub(crate) async fn get_object_attributes<V: Vfs>(
    head: &Head<V>,
    request: Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::Read).await?;
    let asked: Vec<&str> =
        input.object_attributes.iter().flat_map(|own| own.as_str().split(',')).map(str::trim).collect();
    let wants = |what: &str| asked.contains(&what);
    let record = object.record.as_ref().filter(|_| object.fresh);
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(object.last_modified()),
        version_id: version_shown(&bucket, &object),
        ..GetObjectAttributesOutput::default()
    };
    if wants(ObjectAttributes::ETAG) {
        output.e_tag = Some(object.etag());
    }
    if wants(ObjectAttributes::OBJECT_SIZE) {
        output.object_size = i64::try_from(object.size()).ok();
    }
    if wants(ObjectAttributes::STORAGE_CLASS) {
        let class = seen_headers(&object).storage_class.unwrap_or_else(|| "STANDARD".to_owned());
        output.storage_class = Some(class.into());
    }
    if wants(ObjectAttributes::CHECKSUM) && !object.sums().is_empty() {
        output.checksum = Some(dto(object.sums()));
    }
    if wants(ObjectAttributes::OBJECT_PARTS)
        && let Some(record) = record.filter(|record| record.parts > 0)
    {
        let after = input.part_number_marker.unwrap_or(0);
        let most =
            input.max_parts.and_then(|most| usize::try_from(most).ok()).unwrap_or(PARTS_MAX).min(PARTS_MAX);
        let algorithm = record.sums.first().map(|sum| sum.algorithm);
        let rest: Vec<_> = record.of_parts.iter().filter(|part| i32::from(part.number) > after).collect();
        let shown: Vec<ObjectPart> = rest
            .iter()
            .take(most)
            .map(|part| {
                let sum = part.sum.clone().zip(algorithm);
                let sums = sum.map(|(value, algorithm)| crate::sums::Sum { algorithm, value, parts: 0 });
                let sums = dto(sums.as_slice());
                ObjectPart {
                    part_number: Some(i32::from(part.number)),
                    size: i64::try_from(part.size).ok(),
                    checksum_crc32: sums.checksum_crc32,
                    checksum_crc32c: sums.checksum_crc32c,
                    checksum_crc64nvme: sums.checksum_crc64nvme,
                    checksum_sha1: sums.checksum_sha1,
                    checksum_sha256: sums.checksum_sha256,
                }
            })
            .collect();
        let truncated = rest.len() > shown.len();
        output.object_parts = Some(GetObjectAttributesParts {
            is_truncated: Some(truncated),
            max_parts: i32::try_from(most).ok(),
            next_part_number_marker: shown.last().and_then(|part| part.part_number),
            part_number_marker: Some(after),
            parts: Some(shown),
            total_parts_count: i32::try_from(record.parts).ok(),
        });
    }
    Ok(S3Response::new(output))
}
