//! Tags of objects and buckets.

use crate::acl::Permission;
use crate::error::from_fs;
use crate::head::Head;
use crate::ops::get_object::{find, version_shown};
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::{encode, name, of_bucket, of_object};
use crate::tags::{self, BUCKET_TAGS_MAX, OBJECT_TAGS_MAX, Tags};
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use types::Cred;
use vfs::Vfs;

/// See the S3 reference.
pub(crate) async fn get_object_tagging<V: Vfs>(
    head: &Head<V>,
    request: Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:GetObjectTagging", "s3:GetObjectVersionTagging");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::Read).await?;
    let version_id = version_shown(&bucket, &object);
    reply(GetObjectTaggingOutput { tag_set: tags::dto(object.tags()), version_id })
}

/// See the S3 reference.
pub(crate) async fn put_object_tagging<V: Vfs>(
    head: &Head<V>,
    request: Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let own = tags::from_dto(&input.tagging, OBJECT_TAGS_MAX)?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:PutObjectTagging", "s3:PutObjectVersionTagging");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::Write).await?;
    let value = Some(encode(&own)).filter(|_| !own.is_empty());
    let root = head.files(Cred::root());
    root.keep(object.attr.file, name(of_object::TAGS), value).await.map_err(from_fs)?;
    reply(PutObjectTaggingOutput { version_id: version_shown(&bucket, &object) })
}

/// See the S3 reference.
pub(crate) async fn delete_object_tagging<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::Write).await?;
    let root = head.files(Cred::root());
    root.keep(object.attr.file, name(of_object::TAGS), None).await.map_err(from_fs)?;
    let output = DeleteObjectTaggingOutput { version_id: version_shown(&bucket, &object) };
    Ok(S3Response::with_status(output, http::StatusCode::NO_CONTENT))
}

/// See the S3 reference.
pub(crate) async fn get_bucket_tagging<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketTagging", None))?;
    let own: Option<Tags> = bucket.value(of_bucket::TAGS).and_then(|value| crate::records::decode(value));
    let own = own.ok_or_else(|| s3_error!(NoSuchTagSet, "The TagSet does not exist"))?;
    reply(GetBucketTaggingOutput { tag_set: tags::dto(own) })
}

/// See the S3 reference.
pub(crate) async fn put_bucket_tagging<V: Vfs>(
    head: &Head<V>,
    request: Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketTagging", None))?;
    let own = tags::from_dto(&input.tagging, BUCKET_TAGS_MAX)?;
    head.keep_with(&bucket, of_bucket::TAGS, Some(encode(&own))).await?;
    Ok(S3Response::with_status(PutBucketTaggingOutput {}, http::StatusCode::NO_CONTENT))
}

/// See the S3 reference.
pub(crate) async fn delete_bucket_tagging<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketTagging", None))?;
    head.keep_with(&bucket, of_bucket::TAGS, None).await?;
    Ok(S3Response::with_status(DeleteBucketTaggingOutput {}, http::StatusCode::NO_CONTENT))
}
