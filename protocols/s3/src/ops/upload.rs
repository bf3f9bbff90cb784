//! Beginning an upload, taking its parts, giving it up.

use crate::acl::Permission;
use crate::body::{Expected, Received, copy, receive};
use crate::error::{from_fs, precondition_failed};
use crate::files::{FILE_MODE, Files};
use crate::head::Head;
use crate::incoming::{headers_of, wishes_of};
use crate::key::ObjectPath;
use crate::object::Object;
use crate::ops::copy_object::open_source;
use crate::ops::get_object::{Conditions as Reading, version_shown};
use crate::ops::put_object::algorithm_of;
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::{ObjectRecord, PartRecord, UploadRecord, encode, name, of_object, of_upload};
use crate::sums::{Algorithm, Claimed, Hashing, dto, hex};
use crate::uploads::{Upload, part_name};
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use types::limits::{BLOCK_BYTES, IO_BYTES_MAX};
use types::{Cred, Name, Retention};
use vfs::{Put, PutIf, Vfs};

/// See the S3 reference.
pub(crate) async fn create<V: Vfs>(
    head: &Head<V>,
    request: Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let (parts, mut input) = parts!(request);
    let at = (input.bucket.as_str(), input.key.as_str());
    let (caller, bucket, tags) = head.may_put(&parts, at, input.tagging.as_deref()).await?;
    let path = ObjectPath::of(&input.key)?;
    if path.file.is_none() {
        return Err(s3_error!(
            InvalidArgument,
            "What a key with a slash at its end names has no content here."
        ));
    }
    let given = head.given(&bucket, &caller, &wishes_of!(input, None))?;
    let values = given.values(&tags);
    let now = head.now();
    let algorithm = input.checksum_algorithm.as_ref().map(|name| Algorithm::of(name.as_str())).transpose()?;
    let asked = input.checksum_type.as_ref().map(|asked| asked.as_str().to_owned());
    let full_object = full_object(algorithm, asked.as_deref())?;
    let record = UploadRecord {
        key: input.key.clone(),
        object: ObjectRecord { headers: headers_of!(input)?, owner: given.owner, ..ObjectRecord::default() },
        initiator: caller.as_ref().map(|caller| caller.canonical_id.clone()).unwrap_or_default(),
        initiator_name: caller.as_ref().map(|caller| caller.display_name.clone()).unwrap_or_default(),
        begun: now.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(now.nanoseconds)),
        values: values.into_iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect(),
        algorithm,
        full_object,
        done: None,
    };
    let root = head.files(Cred::root());
    let uploads = head.kept_dir(&bucket, b"uploads", true).await?.ok_or_else(|| s3_error!(InternalError))?;
    let id = format!("{:016x}{:016x}", record.begun.max(0), head.random());
    let own = Name::new(id.clone()).map_err(|_| s3_error!(InternalError))?;
    let (attr, _) = root.sub(uploads, &own, crate::versions::MODE).await.map_err(from_fs)?;
    root.keep(attr.file, name(of_object::UPLOAD), Some(encode(&record))).await.map_err(from_fs)?;
    reply(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        checksum_algorithm: algorithm.map(Algorithm::dto),
        checksum_type: algorithm.map(|_| type_of(full_object)),
        ..CreateMultipartUploadOutput::default()
    })
}

/// Whether the checksum of the object is of all its bytes.
fn full_object(algorithm: Option<Algorithm>, asked: Option<&str>) -> S3Result<bool> {
    match (algorithm, asked) {
        (None, None) => Ok(false),
        (None, Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )),
        (Some(algorithm), None) => Ok(algorithm == Algorithm::Crc64Nvme),
        (Some(algorithm), Some(ChecksumType::FULL_OBJECT)) if algorithm.joins() => Ok(true),
        (Some(algorithm), Some(ChecksumType::COMPOSITE)) if algorithm != Algorithm::Crc64Nvme => Ok(false),
        (Some(algorithm), Some(asked @ (ChecksumType::FULL_OBJECT | ChecksumType::COMPOSITE))) => {
            Err(s3_error!(
                InvalidRequest,
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                asked,
                algorithm.name().to_ascii_lowercase()
            ))
        }
        _ => Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid.")),
    }
}

pub(crate) fn type_of(full_object: bool) -> ChecksumType {
    ChecksumType::from_static(if full_object { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE })
}

/// See the S3 reference.
pub(crate) async fn upload_part<V: Vfs>(
    head: &Head<V>,
    request: Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let (parts, mut input) = parts!(request);
    let at = (input.bucket.as_str(), input.key.as_str());
    let (_, bucket, _) = head.may_put(&parts, at, None).await?;
    part_name(input.part_number)?;
    let upload = head.upload(&bucket, &input.key, &input.upload_id).await?;
    let asked = algorithm_of(input.checksum_algorithm.as_ref().map(|name| name.as_str()), &parts.headers)?;
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
        algorithm: upload.record.algorithm.or(asked),
        trailers: parts.trailing_headers.clone(),
        patience: head.0.config.patience,
        budget: head.0.budget.clone(),
        hasher: head.0.hasher.clone(),
    };
    let root = head.files(Cred::root());
    let received = receive(&root, bucket.dir, input.body.take(), expected).await?;
    let record = keep_part(&root, &upload, input.part_number, &received).await?;
    let sums = dto(&record.sums);
    reply(UploadPartOutput {
        e_tag: Some(ETag::Strong(hex(&record.md5))),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        ..UploadPartOutput::default()
    })
}

/// A part takes its place, and that of one of the same number.
async fn keep_part<V: Vfs>(
    root: &Files<V>,
    upload: &Upload,
    number: i32,
    received: &Received<V>,
) -> S3Result<PartRecord> {
    let record = PartRecord { md5: received.md5, size: received.size, sums: received.sums.clone() };
    let put = Put {
        dir: upload.dir,
        name: part_name(number)?,
        source: received.source(),
        values: vec![(name(of_upload::PART), encode(&record))],
        only: PutIf::Any,
        keep: None,
        retention: Retention::default(),
    };
    root.put(put).await.map_err(|error| match error {
        types::FsError::Stale => s3_error!(NoSuchUpload, "The upload was completed or aborted meanwhile."),
        error => from_fs(error),
    })?;
    Ok(record)
}

/// See the S3 reference.
pub(crate) async fn upload_part_copy<V: Vfs>(
    head: &Head<V>,
    request: Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let (parts, input) = parts!(request);
    let at = (input.bucket.as_str(), input.key.as_str());
    let (caller, bucket, _) = head.may_put(&parts, at, None).await?;
    part_name(input.part_number)?;
    let reading = Reading {
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        if_modified_since: input.copy_source_if_modified_since.as_ref(),
        if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    };
    let (from_bucket, from, object) =
        open_source(head, &parts, &caller, &input.copy_source, &reading).await?;
    let upload = head.upload(&bucket, &input.key, &input.upload_id).await?;
    let (offset, length) = range_of(&object, input.copy_source_range.as_deref())?;
    let root = head.files(Cred::root());
    let received =
        take_range(&from, &root, bucket.dir, &object, (offset, length), upload.record.algorithm).await?;
    let record = keep_part(&root, &upload, input.part_number, &received).await?;
    let sums = dto(&record.sums);
    reply(UploadPartCopyOutput {
        copy_part_result: Some(CopyPartResult {
            e_tag: Some(ETag::Strong(hex(&record.md5))),
            last_modified: Some(crate::object::timestamp(head.now())),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
        }),
        copy_source_version_id: version_shown(&from_bucket, &object),
        ..UploadPartCopyOutput::default()
    })
}

/// `bytes=first-last`, both there.
fn range_of(object: &Object, range: Option<&str>) -> S3Result<(u64, u64)> {
    let size = object.size();
    let Some(range) = range else { return Ok((0, size)) };
    let invalid = || {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
        )
    };
    let (first, last) =
        range.strip_prefix("bytes=").and_then(|rest| rest.split_once('-')).ok_or_else(invalid)?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits).ok_or_else(invalid)
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(invalid());
    }
    if last >= size {
        return Err(s3_error!(
            InvalidRange,
            "Range specified is not valid for source object of size: {}",
            size
        ));
    }
    Ok((first, last - first + 1))
}

/// A file with a range of an object: shared where it can be. It is read all the same, for its MD5.
async fn take_range<V: Vfs>(
    from: &Files<V>,
    to: &Files<V>,
    near: types::FileId,
    object: &Object,
    (offset, length): (u64, u64),
    algorithm: Option<Algorithm>,
) -> S3Result<Received<V>> {
    if length > crate::body::PUT_BYTES_MAX {
        return Err(crate::body::too_large());
    }
    let source = from.open(object.attr.file).await.map_err(from_fs)?;
    let target = to.stage(near, FILE_MODE).await.map_err(from_fs)?;
    let mut hashing = Hashing::new(algorithm);
    let mut at = offset;
    while at < offset + length {
        let step = u32::try_from((offset + length - at).min(IO_BYTES_MAX as u64)).unwrap_or(1);
        let data = from.read(&source, at, step).await.map_err(from_fs)?.data;
        if data.is_empty() {
            return Err(precondition_failed());
        }
        hashing.update(&data);
        at += data.len() as u64;
    }
    let aligned = |at: u64| at.is_multiple_of(BLOCK_BYTES as u64);
    if length > 0 && aligned(offset) && (aligned(length) || offset + length == source.attr.size) {
        to.clone_range((&source, offset), (&target, 0), length).await.map_err(from_fs)?;
    } else {
        copy(to, (&source, offset), (&target, 0), length).await?;
        to.commit(target.file).await.map_err(from_fs)?;
    }
    let (md5, sums) = hashing.finish();
    Ok(Received::staged(target, length, md5, sums))
}

/// See the S3 reference.
pub(crate) async fn abort<V: Vfs>(
    head: &Head<V>,
    request: Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let mut act = Act::bucket("s3:AbortMultipartUpload", Some(Permission::Write));
    act.key = Some(&input.key);
    bucket.permit(&caller, &parts.facts(&[]), &act)?;
    let upload = head.upload(&bucket, &input.key, &input.upload_id).await?;
    head.forget_upload(&bucket, &upload.id).await?;
    Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), http::StatusCode::NO_CONTENT))
}
