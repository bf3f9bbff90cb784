//! CopyObject: by sharing the bytes of the source.

use crate::acl::Permission;
use crate::body::Received;
use crate::bucket::Bucket;
use crate::error::{from_fs, precondition_failed};
use crate::events::{Kind, Told};
use crate::files::{FILE_MODE, Files};
use crate::head::{Caller, Head};
use crate::incoming::{headers_of, wishes_of};
use crate::key::ObjectPath;
use crate::object::{Object, etag_of, timestamp};
use crate::ops::get_object::{Conditions as Reading, find, version_shown};
use crate::ops::{Parts, Request, parts};
use crate::place::{Conditions, New};
use crate::records::{ObjectRecord, name, of_object};
use crate::sums::{Algorithm, Hashing, dto, summed};
use crate::tags;
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use types::FileId;
use types::limits::IO_BYTES_MAX;
use vfs::Vfs;

/// Bucket, key and version that a header names.
pub(crate) fn source_of(source: &CopySource) -> S3Result<(&str, &str, Option<&str>)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => Ok((bucket, key, version_id.as_deref())),
        _ => Err(s3_error!(NotImplemented, "Only buckets can be copied from.")),
    }
}

/// The source of a copy, for whoever may read it.
pub(crate) async fn open_source<V: Vfs>(
    head: &Head<V>,
    parts: &Parts,
    caller: &Caller,
    source: &CopySource,
    reading: &Reading<'_>,
) -> S3Result<(Bucket, Files<V>, Object)> {
    let (name, key, version) = source_of(source)?;
    let bucket = head.bucket(name).await?;
    let actions = ("s3:GetObject", "s3:GetObjectVersion");
    let (files, object) =
        find(head, parts, caller, (&bucket, key, version), actions, Permission::Read).await?;
    reading.check(&object, |_| precondition_failed())?;
    Ok((bucket, files, object))
}

/// A file near a directory with the bytes of an object; shared, not copied, where they can be.
pub(crate) async fn clone_of<V: Vfs>(
    from: &Files<V>,
    to: &Files<V>,
    near: FileId,
    object: &Object,
    sums: Vec<crate::sums::Sum>,
    md5: [u8; 16],
) -> S3Result<Received<V>> {
    let source = from.open(object.attr.file).await.map_err(from_fs)?;
    let target = to.stage(near, FILE_MODE).await.map_err(from_fs)?;
    let size = source.attr.size;
    if size > 0 {
        // Both are held open: nobody's rights are asked again.
        to.clone_range((&source, 0), (&target, 0), 0).await.map_err(from_fs)?;
    }
    Ok(Received::staged(target, size, md5, sums))
}

/// MD5 and a checksum of what is in a file.
pub(crate) async fn hash<V: Vfs>(
    files: &Files<V>,
    object: &Object,
    algorithm: Option<Algorithm>,
) -> S3Result<([u8; 16], Vec<crate::sums::Sum>)> {
    let mut hashing = Hashing::new(algorithm);
    if object.is_directory() {
        hashing.update(object.content());
        return Ok(hashing.finish());
    }
    let held = files.open(object.attr.file).await.map_err(from_fs)?;
    let mut offset = 0;
    loop {
        let read = files.read(&held, offset, IO_BYTES_MAX as u32).await.map_err(from_fs)?;
        hashing.update(&read.data);
        offset += read.data.len() as u64;
        if read.end || read.data.is_empty() {
            return Ok(hashing.finish());
        }
    }
}

/// See the S3 reference.
pub(crate) async fn copy_object<V: Vfs>(
    head: &Head<V>,
    request: Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let (parts, mut input) = parts!(request);
    let at = (input.bucket.as_str(), input.key.as_str());
    let (caller, bucket, tags) = head.may_put(&parts, at, input.tagging.as_deref()).await?;
    let source = input.copy_source.clone();
    let reading = Reading {
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        if_modified_since: input.copy_source_if_modified_since.as_ref(),
        if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    };
    let (from_bucket, from, object) = open_source(head, &parts, &caller, &source, &reading).await?;
    let replaces = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => false,
        Some(MetadataDirective::REPLACE) => true,
        Some(_) => return Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
    };
    let (from_name, from_key, from_version) = source_of(&source)?;
    let onto_itself = from_name == input.bucket && from_key == input.key && from_version.is_none();
    let changes = replaces || input.storage_class.is_some() || input.website_redirect_location.is_some();
    if onto_itself && !changes && input.checksum_algorithm.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    if object.size() > crate::body::PUT_BYTES_MAX {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        ));
    }
    let path = ObjectPath::of(&input.key)?;
    let given = head.given(&bucket, &caller, &wishes_of!(input, None))?;
    let tags_replace = match input.tagging_directive.as_ref().map(TaggingDirective::as_str) {
        None | Some(TaggingDirective::COPY) => false,
        Some(TaggingDirective::REPLACE) => true,
        Some(_) => return Err(s3_error!(InvalidArgument, "Unknown tagging directive.")),
    };
    let none = tags::Tags::new();
    let mut values = given.values(if tags_replace { &tags } else { &none });
    if !tags_replace && let Some(tags) = object.raw(of_object::TAGS) {
        values.push((name(of_object::TAGS), tags));
    }

    let asked = input.checksum_algorithm.as_ref().map(|name| Algorithm::of(name.as_str())).transpose()?;
    let old = object.record.as_ref().filter(|_| object.fresh);
    // The copy is whole, however its source came: where nobody knows the sums of its bytes, they are computed.
    let known = old.filter(|record| record.parts == 0);
    let has_asked = |record: &&ObjectRecord| {
        asked.is_none_or(|asked| record.sums.iter().any(|sum| sum.algorithm == asked))
    };
    let (md5, sums) = match known.filter(has_asked) {
        Some(record) => (record.md5, record.sums.clone()),
        None => {
            let of_source =
                object.record.as_ref().and_then(|record| record.sums.first()).map(|sum| sum.algorithm);
            hash(&from, &object, asked.or(of_source)).await?
        }
    };
    let own = headers_of!(input)?;
    let mut headers = match (&object.record, replaces) {
        (Some(record), false) => {
            crate::records::Headers { redirect: None, storage_class: None, ..record.headers.clone() }
        }
        _ => own.clone(),
    };
    headers.storage_class.clone_from(&own.storage_class);
    headers.redirect.clone_from(&own.redirect);
    let files = head.acting(&bucket)?;
    let received = match object.is_directory() {
        true => Received::small(object.content(), md5, sums.clone()),
        false => clone_of(&from, &files, bucket.dir, &object, sums.clone(), md5).await?,
    };
    let content = match path.file {
        Some(_) => Vec::new(),
        None if object.is_directory() => object.content().to_vec(),
        None if object.size() == 0 => Vec::new(),
        None => {
            return Err(s3_error!(
                InvalidRequest,
                "What a key with a slash at its end names is no copy of a file here."
            ));
        }
    };
    let record = ObjectRecord {
        md5,
        sums: sums.clone(),
        headers,
        owner: given.owner,
        content,
        ..ObjectRecord::default()
    };
    let new = New { record: record.clone(), values };
    let done = head.put_at(&files, &bucket, &path, received.source(), new, &Conditions::default()).await?;
    let etag = etag_of(&done.attr, Some(&record));
    let told = Told {
        kind: Kind::Copy,
        key: &input.key,
        size: object.size(),
        etag: &etag,
        version: done.version.as_deref(),
        at: done.attr.ctime,
    };
    head.tell(&bucket, &parts, told).await;
    let result = summed!(
        dto(&sums),
        CopyObjectResult { e_tag: Some(ETag::Strong(etag)), last_modified: Some(timestamp(done.attr.mtime)) }
    );
    let output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: version_shown(&from_bucket, &object),
        version_id: done.version,
        ..CopyObjectOutput::default()
    };
    Ok(S3Response::new(output))
}
