//! Bucket policies, and what is kept from the public.

use crate::error::{access_denied, custom};
use crate::head::Head;
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::policy::Policy;
use crate::public_access::PublicAccess;
use crate::records::{encode, of_bucket};
use bytes::Bytes;
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use vfs::Vfs;

/// See the S3 reference.
pub(crate) async fn get_bucket_policy<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketPolicyInput>,
) -> S3Result<S3Response<GetBucketPolicyOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketPolicy", None))?;
    let policy = bucket.text(of_bucket::POLICY).ok_or_else(no_policy)?;
    reply(GetBucketPolicyOutput { policy: Some(policy.to_owned()) })
}

fn no_policy() -> s3s::S3Error {
    s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist")
}

/// See the S3 reference.
pub(crate) async fn put_bucket_policy<V: Vfs>(
    head: &Head<V>,
    request: Request<PutBucketPolicyInput>,
) -> S3Result<S3Response<PutBucketPolicyOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketPolicy", None))?;
    let policy = Policy::parse(&input.policy, &bucket.name)?;
    if PublicAccess::of(&bucket).block_policy && policy.is_public() {
        return Err(access_denied());
    }
    head.keep_with(&bucket, of_bucket::POLICY, Some(Bytes::from(input.policy))).await?;
    Ok(S3Response::with_status(PutBucketPolicyOutput {}, http::StatusCode::NO_CONTENT))
}

/// See the S3 reference.
pub(crate) async fn delete_bucket_policy<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteBucketPolicyInput>,
) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:DeleteBucketPolicy", None))?;
    head.keep_with(&bucket, of_bucket::POLICY, None).await?;
    Ok(S3Response::with_status(DeleteBucketPolicyOutput {}, http::StatusCode::NO_CONTENT))
}

/// See the S3 reference.
pub(crate) async fn get_bucket_policy_status<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketPolicyStatus", None))?;
    let policy = bucket.text(of_bucket::POLICY).and_then(|text| Policy::parse(text, &bucket.name).ok());
    let public = PublicAccess::of(&bucket);
    let by_policy = policy.is_some_and(|policy| policy.is_public()) && !public.restrict;
    let by_acl = crate::acl::counts(&bucket.record) && bucket.acl().is_public() && !public.ignore_acls;
    reply(GetBucketPolicyStatusOutput {
        policy_status: Some(PolicyStatus { is_public: Some(by_policy || by_acl) }),
    })
}

/// See the S3 reference.
pub(crate) async fn get_public_access_block<V: Vfs>(
    head: &Head<V>,
    request: Request<GetPublicAccessBlockInput>,
) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketPublicAccessBlock", None))?;
    if bucket.value(of_bucket::PUBLIC_ACCESS).is_none() {
        let message = "The public access block configuration was not found";
        return Err(custom("NoSuchPublicAccessBlockConfiguration", http::StatusCode::NOT_FOUND, message));
    }
    let own = PublicAccess::of(&bucket);
    let configuration = PublicAccessBlockConfiguration {
        block_public_acls: Some(own.block_acls),
        ignore_public_acls: Some(own.ignore_acls),
        block_public_policy: Some(own.block_policy),
        restrict_public_buckets: Some(own.restrict),
    };
    reply(GetPublicAccessBlockOutput { public_access_block_configuration: Some(configuration) })
}

/// See the S3 reference.
pub(crate) async fn put_public_access_block<V: Vfs>(
    head: &Head<V>,
    request: Request<PutPublicAccessBlockInput>,
) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketPublicAccessBlock", None))?;
    let asked = input.public_access_block_configuration;
    let own = PublicAccess {
        block_acls: asked.block_public_acls.unwrap_or(false),
        ignore_acls: asked.ignore_public_acls.unwrap_or(false),
        block_policy: asked.block_public_policy.unwrap_or(false),
        restrict: asked.restrict_public_buckets.unwrap_or(false),
    };
    head.keep_with(&bucket, of_bucket::PUBLIC_ACCESS, Some(encode(&own))).await?;
    reply(PutPublicAccessBlockOutput {})
}

/// See the S3 reference.
pub(crate) async fn delete_public_access_block<V: Vfs>(
    head: &Head<V>,
    request: Request<DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketPublicAccessBlock", None))?;
    head.keep_with(&bucket, of_bucket::PUBLIC_ACCESS, None).await?;
    Ok(S3Response::with_status(DeletePublicAccessBlockOutput {}, http::StatusCode::NO_CONTENT))
}
