//! Listing parts and uploads.

use crate::acl::{Of, Permission, owner};
use crate::bucket::Bucket;
use crate::head::Head;
use crate::ops::list_objects::{Page, encoding, prefixes, shown};
use crate::ops::upload::type_of;
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::{UploadRecord, decode, name, of_object};
use crate::sums::{Algorithm, dto, hex};
use crate::walk::Walk;
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use std::collections::BTreeMap;
use types::{Cred, Time};
use vfs::Vfs;

/// Parts and uploads of one page.
const PAGE_MAX: i32 = 1000;

/// See the S3 reference.
pub(crate) async fn list_parts<V: Vfs>(
    head: &Head<V>,
    request: Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let mut act = Act::bucket("s3:ListMultipartUploadParts", Some(Permission::Write));
    act.key = Some(&input.key);
    bucket.permit(&caller, &parts.facts(&[]), &act)?;
    let upload = head.upload(&bucket, &input.key, &input.upload_id).await?;
    let most = input.max_parts.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX);
    let after = input.part_number_marker.unwrap_or(0);
    let limit = usize::try_from(most).unwrap_or(0);
    let mut found = head.parts(&upload, after, limit + 1).await?;
    let truncated = found.len() > limit;
    found.truncate(limit);
    let next = found.last().map_or(after, |part| part.number);
    let parts = found.into_iter().map(|part| {
        let sums = dto(&part.record.sums);
        s3s::dto::Part {
            part_number: Some(part.number),
            size: i64::try_from(part.record.size).ok(),
            e_tag: Some(ETag::Strong(hex(&part.record.md5))),
            last_modified: Some(crate::object::timestamp(part.attr.mtime)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
        }
    });
    let record = &upload.record;
    reply(ListPartsOutput {
        bucket: Some(bucket.name.clone()),
        key: Some(input.key),
        upload_id: Some(upload.id.clone()),
        parts: Some(parts.collect()),
        max_parts: Some(most),
        is_truncated: Some(truncated),
        part_number_marker: Some(after),
        next_part_number_marker: Some(next),
        initiator: Some(initiator(record)),
        owner: Some(head.owner(&bucket, &record.object.owner)),
        storage_class: Some(class_of(record).into()),
        checksum_algorithm: record.algorithm.map(Algorithm::dto),
        checksum_type: record.algorithm.map(|_| type_of(record.full_object)),
        ..ListPartsOutput::default()
    })
}

fn initiator(record: &UploadRecord) -> Initiator {
    Initiator { id: Some(record.initiator.clone()), display_name: Some(record.initiator_name.clone()) }
}

fn class_of(record: &UploadRecord) -> String {
    record.object.headers.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned())
}

/// See the S3 reference.
pub(crate) async fn list_uploads<V: Vfs>(
    head: &Head<V>,
    request: Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let act = Act::bucket("s3:ListBucketMultipartUploads", Some(Permission::Read));
    bucket.permit(&caller, &parts.facts(&[]), &act)?;
    let url = encoding(input.encoding_type.as_ref())?;
    let page = Page::new(input.prefix.as_deref(), input.delimiter.as_deref(), input.max_uploads)?;
    let marker = input.key_marker.clone().unwrap_or_default();
    let id_marker = input.upload_id_marker.clone().unwrap_or_default();
    if !id_marker.is_empty() && marker.is_empty() {
        return Err(s3_error!(
            InvalidArgument,
            "An upload-id marker cannot be specified without a key marker."
        ));
    }
    let (found, truncated) = first(head, &bucket, &page, (&marker, &id_marker)).await?;
    let (mut uploads, mut common) = (Vec::new(), Vec::new());
    let mut last = (String::new(), String::new());
    for ((key, id), record) in found {
        last = (key.clone(), id.clone());
        let Some(record) = record else {
            common.push(key.into_bytes());
            continue;
        };
        let begun = Time { seconds: record.begun / 1_000_000_000, nanoseconds: 0 };
        uploads.push(MultipartUpload {
            key: Some(shown(&key, url)),
            upload_id: Some(id),
            initiated: Some(crate::object::timestamp(begun)),
            initiator: Some(initiator(&record)),
            owner: Some(owner(Of { id: &record.initiator, name: &record.initiator_name })),
            storage_class: Some(class_of(&record).into()),
            checksum_algorithm: record.algorithm.map(Algorithm::dto),
            checksum_type: record.algorithm.map(|_| type_of(record.full_object)),
        });
    }
    let show = |text: Option<String>| text.map(|text| shown(&text, url));
    reply(ListMultipartUploadsOutput {
        bucket: Some(bucket.name.clone()),
        prefix: Some(show(input.prefix).unwrap_or_default()),
        delimiter: show(input.delimiter).filter(|delimiter| !delimiter.is_empty()),
        key_marker: Some(shown(&marker, url)),
        upload_id_marker: Some(id_marker),
        max_uploads: i32::try_from(page.most).ok(),
        is_truncated: Some(truncated),
        next_key_marker: Some(shown(&last.0, url)).filter(|_| truncated),
        next_upload_id_marker: Some(last.1).filter(|_| truncated),
        uploads: Some(uploads),
        common_prefixes: Some(prefixes(common, url)),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

type Found = BTreeMap<(String, String), Option<UploadRecord>>;

/// The first uploads after a place, by key and then by id; common prefixes have no id. All uploads are looked through,
/// and never more kept than a page.
async fn first<V: Vfs>(
    head: &Head<V>,
    bucket: &Bucket,
    page: &Page,
    (marker, id_marker): (&str, &str),
) -> S3Result<(Found, bool)> {
    let mut found = Found::new();
    let mut truncated = false;
    let Some(uploads) = head.kept_dir(bucket, b"uploads", false).await? else { return Ok((found, false)) };
    let root = head.files(Cred::root());
    let mut walk = Walk::new(root, uploads, Some(name(of_object::UPLOAD)), b"", 1000);
    while let Some(next) = walk.next().await? {
        walk.skip();
        let record = next.entry.value.and_then(|value| decode::<UploadRecord>(&value.value));
        let record = record.filter(|record| record.done.is_none());
        let Some(record) = record.filter(|record| record.key.as_bytes().starts_with(&page.prefix)) else {
            continue;
        };
        let id = String::from_utf8_lossy(next.path.strip_suffix(b"/").unwrap_or(&next.path)).into_owned();
        let (place, record) = match page.common(record.key.as_bytes()) {
            Some(common) => ((String::from_utf8_lossy(common).into_owned(), String::new()), None),
            None => ((record.key.clone(), id), Some(record)),
        };
        let later = if id_marker.is_empty() || record.is_none() {
            place.0.as_str() > marker
        } else {
            (place.0.as_str(), place.1.as_str()) > (marker, id_marker)
        };
        if !later {
            continue;
        }
        found.insert(place, record);
        if found.len() > page.most {
            found.pop_last();
            truncated = true;
        }
    }
    Ok((found, truncated))
}
