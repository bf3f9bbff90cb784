//! Notifications of a bucket: whom its changes are told.

use crate::events::{arn, known};
use crate::head::Head;
use crate::ops::object_lock::xml;
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::of_bucket;
use s3s::dto::*;
use s3s::xml::{Deserialize, Deserializer};
use s3s::{S3Response, S3Result, s3_error};
use vfs::Vfs;

/// See the S3 reference.
pub(crate) async fn get_notification<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketNotification", None))?;
    let Some(bytes) = bucket.value(of_bucket::EVENTS) else {
        return reply(GetBucketNotificationConfigurationOutput::default());
    };
    let configuration = NotificationConfiguration::deserialize(&mut Deserializer::new(bytes));
    let configuration = configuration.map_err(|_| s3_error!(InternalError))?;
    reply(GetBucketNotificationConfigurationOutput {
        queue_configurations: configuration.queue_configurations,
        ..GetBucketNotificationConfigurationOutput::default()
    })
}

/// See the S3 reference. A configuration without rules takes the former away.
pub(crate) async fn put_notification<V: Vfs>(
    head: &Head<V>,
    request: Request<PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketNotification", None))?;
    let mut configuration = input.notification_configuration;
    let is_there = |name: &str| head.0.events.target(name).is_some();
    let rules = known(&configuration, &head.0.config.region, is_there)?;
    // As they are kept: with the names that AWS gives those that have none.
    for own in configuration.queue_configurations.iter_mut().flatten() {
        if own.id.as_deref().unwrap_or_default().is_empty() {
            own.id = Some(format!("{:016x}", head.random()));
        }
    }
    for (own, rule) in configuration.queue_configurations.iter_mut().flatten().zip(&rules) {
        own.queue_arn = arn(&rule.target);
    }
    let kept = if rules.is_empty() { None } else { Some(xml(&configuration)?) };
    head.keep_with(&bucket, of_bucket::EVENTS, kept).await?;
    if !input.skip_destination_validation.unwrap_or(false) {
        head.tell_test(&bucket, &parts, &rules).await;
    }
    reply(PutBucketNotificationConfigurationOutput {})
}
