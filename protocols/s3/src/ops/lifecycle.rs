//! What is to become of objects as they age, and what else a bucket is asked about.

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
const RULES_MAX: usize = 1000;
const ID_CHARS_MAX: usize = 255;

/// What the bucket says.
pub(crate) fn rules(bucket: &Bucket) -> Option<Vec<LifecycleRule>> {
    let bytes = bucket.value(of_bucket::LIFECYCLE)?;
    BucketLifecycleConfiguration::deserialize(&mut Deserializer::new(bytes)).ok().map(|own| own.rules)
}

/// See the S3 reference.
pub(crate) async fn get_lifecycle<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetLifecycleConfiguration", None))?;
    let rules = rules(&bucket).ok_or_else(|| {
        s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist")
    })?;
    reply(GetBucketLifecycleConfigurationOutput {
        rules: Some(rules),
        ..GetBucketLifecycleConfigurationOutput::default()
    })
}

/// See the S3 reference.
pub(crate) async fn put_lifecycle<V: Vfs>(
    head: &Head<V>,
    request: Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutLifecycleConfiguration", None))?;
    let mut asked = input.lifecycle_configuration.ok_or_else(|| s3_error!(MalformedXML))?;
    check(head, &mut asked.rules)?;
    head.keep_with(&bucket, of_bucket::LIFECYCLE, Some(xml(&asked)?)).await?;
    reply(PutBucketLifecycleConfigurationOutput::default())
}

fn check<V: Vfs>(head: &Head<V>, rules: &mut [LifecycleRule]) -> S3Result<()> {
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(s3_error!(MalformedXML));
    }
    let mut seen = std::collections::BTreeSet::new();
    for rule in rules {
        let id = rule.id.get_or_insert_with(|| format!("{:016x}{:016x}", head.random(), head.random()));
        if id.chars().count() > ID_CHARS_MAX {
            return Err(s3_error!(InvalidArgument, "ID length should not exceed allowed limit of 255"));
        }
        if !seen.insert(id.clone()) {
            return Err(s3_error!(
                InvalidArgument,
                "Rule ID must be unique. Found same ID for more than one rule"
            ));
        }
        if !matches!(rule.status.as_str(), ExpirationStatus::ENABLED | ExpirationStatus::DISABLED) {
            return Err(s3_error!(MalformedXML));
        }
        let mut dates = rule.transitions.iter().flatten().filter_map(|transition| transition.date.as_ref());
        if dates.any(|date| crate::object::seconds(date) % 86_400 != 0) {
            return Err(s3_error!(InvalidArgument, "'Date' must be at midnight GMT"));
        }
        if rule.transitions.as_ref().is_some_and(|all| !all.is_empty())
            || rule.noncurrent_version_transitions.as_ref().is_some_and(|all| !all.is_empty())
        {
            return Err(s3_error!(NotImplemented, "There are no other storage classes to move objects to."));
        }
        if let Some(expiration) = &rule.expiration {
            let days = expiration.days.is_some();
            let ways = [days, expiration.date.is_some(), expiration.expired_object_delete_marker.is_some()];
            if ways.iter().filter(|way| **way).count() != 1 {
                return Err(s3_error!(MalformedXML));
            }
            if expiration.days.is_some_and(|days| days <= 0) {
                return Err(s3_error!(
                    InvalidArgument,
                    "'Days' for Expiration action must be a positive integer"
                ));
            }
            let midnight = |date: &Timestamp| crate::object::seconds(date) % 86_400 == 0;
            if expiration.date.as_ref().is_some_and(|date| !midnight(date)) {
                return Err(s3_error!(InvalidArgument, "'Date' must be at midnight GMT"));
            }
        }
    }
    Ok(())
}

/// See the S3 reference.
pub(crate) async fn delete_lifecycle<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutLifecycleConfiguration", None))?;
    head.keep_with(&bucket, of_bucket::LIFECYCLE, None).await?;
    Ok(S3Response::with_status(DeleteBucketLifecycleOutput {}, http::StatusCode::NO_CONTENT))
}

/// See the S3 reference: the owner of a bucket pays, as nobody else does.
pub(crate) async fn get_request_payment<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketRequestPaymentInput>,
) -> S3Result<S3Response<GetBucketRequestPaymentOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketRequestPayment", None))?;
    reply(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) })
}
