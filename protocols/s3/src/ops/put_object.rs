//! PutObject.

use crate::acl::{Of, Permission};
use crate::body::{Expected, receive};
use crate::head::Head;
use crate::incoming::{Grants, headers_of, lock_of, refuse_encryption, values_of};
use crate::key::ObjectPath;
use crate::object::etag_of;
use crate::ops::{Request, parts};
use crate::permit::Act;
use crate::place::{Conditions, New};
use crate::records::ObjectRecord;
use crate::sums::{Algorithm, Claimed, dto};
use crate::tags;
use s3s::dto::{ETag, PutObjectInput, PutObjectOutput};
use s3s::{S3Response, S3Result, s3_error};
use vfs::Vfs;

/// See the S3 reference.
pub(crate) async fn put_object<V: Vfs>(
    head: &Head<V>,
    request: Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let (parts, mut input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let tagging = input.tagging.as_deref().map(tags::from_header).transpose()?.unwrap_or_default();
    let mut act = Act::bucket("s3:PutObject", Some(Permission::Write));
    act.key = Some(&input.key);
    bucket.permit(&caller, &parts.facts(&tagging), &act)?;
    refuse_encryption(&parts.headers)?;
    if parts.headers.get("content-md5").is_some_and(http::HeaderValue::is_empty) {
        return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid."));
    }
    let path = ObjectPath::of(&input.key)?;
    let canned = input.acl.as_ref().map(|acl| acl.as_str().to_owned());
    let (owner, owner_name) = head.owner_of_new(&bucket, &caller, canned.as_deref());
    let grants = Grants {
        full: input.grant_full_control.take(),
        read: input.grant_read.take(),
        // The wire does not know it of objects.
        write: parts
            .headers
            .get("x-amz-grant-write")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        read_acp: input.grant_read_acp.take(),
        write_acp: input.grant_write_acp.take(),
    };
    let acl = head.acl_of(&bucket, Of { id: &owner, name: &owner_name }, canned.as_deref(), &grants)?;
    let now = head.now().seconds;
    let lock = lock_of(
        &bucket,
        now,
        input.object_lock_mode.as_ref(),
        input.object_lock_retain_until_date.as_ref(),
        input.object_lock_legal_hold_status.as_ref(),
    )?;
    let values = values_of(input.tagging.as_deref(), acl.as_ref(), lock.as_ref())?;
    let conditions =
        Conditions { if_match: input.if_match.take(), if_none_match: input.if_none_match.take() };
    let files = head.acting(&bucket)?;
    if conditions.if_match.is_some() || conditions.if_none_match.is_some() {
        // Before the body comes, and again when it is there.
        conditions.check(files.object(bucket.dir, &input.key).await?.as_ref())?;
    }

    let expected = Expected {
        length: input.content_length,
        md5: input.content_md5.take(),
        claimed: Claimed::new(
            input.checksum_crc32.take(),
            input.checksum_crc32c.take(),
            input.checksum_crc64nvme.take(),
            input.checksum_sha1.take(),
            input.checksum_sha256.take(),
        ),
        algorithm: algorithm_of(input.checksum_algorithm.as_ref().map(|name| name.as_str()), &parts.headers)?,
        trailers: parts.trailing_headers.clone(),
        patience: head.0.config.patience,
    };
    let received = receive(&files, bucket.dir, input.body.take(), expected).await?;
    let content = if path.file.is_none() { received.of_directory()? } else { Vec::new() };
    let record = ObjectRecord {
        md5: received.md5,
        content,
        sums: received.sums.clone(),
        headers: headers_of!(input)?,
        owner,
        ..ObjectRecord::default()
    };
    let new = New { record: record.clone(), values };
    let done = head.put_at(&files, &bucket, &path, received.source(), new, &conditions).await?;
    let sums = dto(&received.sums);
    let output = PutObjectOutput {
        e_tag: Some(ETag::Strong(etag_of(&done.attr, Some(&record)))),
        version_id: done.version,
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        checksum_type: sums.checksum_type,
        ..PutObjectOutput::default()
    };
    Ok(S3Response::new(output))
}

/// The algorithm that a client asks for, also by announcing its trailer.
pub(crate) fn algorithm_of(asked: Option<&str>, headers: &http::HeaderMap) -> S3Result<Option<Algorithm>> {
    if let Some(name) = asked {
        return Algorithm::of(name).map(Some);
    }
    let trailers = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let announced = |algorithm: &Algorithm| {
        trailers.split(',').any(|name| name.trim().eq_ignore_ascii_case(algorithm.header()))
    };
    Ok(Algorithm::ALL.into_iter().find(announced))
}
