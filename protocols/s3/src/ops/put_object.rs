//! PutObject.

use crate::body::{Expected, receive};
use crate::events::{Kind, Told};
use crate::head::Head;
use crate::incoming::{headers_of, wishes_of};
use crate::key::ObjectPath;
use crate::object::etag_of;
use crate::ops::{Request, parts, reply};
use crate::place::{Conditions, New};
use crate::records::ObjectRecord;
use crate::sums::{Algorithm, Claimed, dto, summed};
use s3s::dto::{ETag, PutObjectInput, PutObjectOutput};
use s3s::{S3Response, S3Result, s3_error};
use vfs::Vfs;

/// See the S3 reference.
pub(crate) async fn put_object<V: Vfs>(
    head: &Head<V>,
    request: Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    put(head, request, Kind::Put).await
}

/// Puts an object, in one of the ways that there are.
pub(crate) async fn put<V: Vfs>(
    head: &Head<V>,
    request: Request<PutObjectInput>,
    kind: Kind,
) -> S3Result<S3Response<PutObjectOutput>> {
    let (parts, mut input) = parts!(request);
    let at = (input.bucket.as_str(), input.key.as_str());
    let (caller, bucket, tags) = head.may_put(&parts, at, input.tagging.as_deref()).await?;
    if parts.headers.get("content-md5").is_some_and(http::HeaderValue::is_empty) {
        return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid."));
    }
    let path = ObjectPath::of(&input.key)?;
    let write =
        parts.headers.get("x-amz-grant-write").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let given = head.given(&bucket, &caller, &wishes_of!(input, write))?;
    let values = given.values(&tags);
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
        budget: head.0.budget.clone(),
        hasher: head.0.hasher.clone(),
    };
    let received = receive(&files, bucket.dir, input.body.take(), expected).await?;
    let content = if path.file.is_none() { received.of_directory()? } else { Vec::new() };
    let record = ObjectRecord {
        md5: received.md5,
        content,
        sums: received.sums.clone(),
        headers: headers_of!(input)?,
        owner: given.owner,
        ..ObjectRecord::default()
    };
    let new = New { record: record.clone(), values };
    let done = head.put_at(&files, &bucket, &path, received.source(), new, &conditions).await?;
    let etag = etag_of(&done.attr, Some(&record));
    let (key, version, at) = (input.key.as_str(), done.version.as_deref(), done.attr.ctime);
    let told = Told { kind, key, size: received.size, etag: &etag, version, at };
    head.tell(&bucket, &parts, told).await;
    reply(summed!(
        dto(&received.sums),
        PutObjectOutput { e_tag: Some(ETag::Strong(etag)), version_id: done.version }
    ))
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
