//! CORS rules of a bucket.

use crate::bucket::Bucket;
use crate::head::Head;
use crate::ops::object_lock::xml;
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::of_bucket;
use s3s::dto::*;
use s3s::xml::{Deserialize, Deserializer};
use s3s::{S3Response, S3Result, s3_error};
use vfs::Vfs;

/// Rules of one bucket.
const RULES_MAX: usize = 100;

/// What the bucket says of other origins.
pub(crate) fn rules(bucket: &Bucket) -> Option<Vec<CORSRule>> {
    let bytes = bucket.value(of_bucket::CORS)?;
    CORSConfiguration::deserialize(&mut Deserializer::new(bytes))
        .ok()
        .map(|configuration| configuration.cors_rules)
}

/// See the S3 reference.
pub(crate) async fn get_bucket_cors<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketCORS", None))?;
    let rules = rules(&bucket)
        .ok_or_else(|| s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist"))?;
    reply(GetBucketCorsOutput { cors_rules: Some(rules) })
}

/// See the S3 reference.
pub(crate) async fn put_bucket_cors<V: Vfs>(
    head: &Head<V>,
    request: Request<PutBucketCorsInput>,
) -> S3Result<S3Response<PutBucketCorsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketCORS", None))?;
    let rules = &input.cors_configuration.cors_rules;
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(s3_error!(MalformedXML));
    }
    let known = ["GET", "PUT", "POST", "DELETE", "HEAD"];
    for rule in rules {
        if rule.allowed_methods.iter().any(|method| !known.contains(&method.as_str())) {
            return Err(s3_error!(InvalidRequest, "Found unsupported HTTP method in CORS config."));
        }
        if rule.allowed_origins.iter().any(|origin| origin.matches('*').count() > 1) {
            return Err(s3_error!(InvalidRequest, "AllowedOrigin can not have more than one wildcard."));
        }
    }
    head.keep_with(&bucket, of_bucket::CORS, Some(xml(&input.cors_configuration)?)).await?;
    reply(PutBucketCorsOutput {})
}

/// See the S3 reference.
pub(crate) async fn delete_bucket_cors<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteBucketCorsInput>,
) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketCORS", None))?;
    head.keep_with(&bucket, of_bucket::CORS, None).await?;
    Ok(S3Response::with_status(DeleteBucketCorsOutput {}, http::StatusCode::NO_CONTENT))
}
