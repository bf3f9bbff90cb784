//! Whether a bucket keeps old versions.

use crate::head::Head;
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::Versioning;
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use vfs::Vfs;

/// See the S3 reference.
pub(crate) async fn get_bucket_versioning<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketVersioning", None))?;
    let status = match bucket.record.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED)),
        Versioning::Suspended => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::SUSPENDED)),
    };
    reply(GetBucketVersioningOutput { status, mfa_delete: None })
}

/// See the S3 reference.
pub(crate) async fn put_bucket_versioning<V: Vfs>(
    head: &Head<V>,
    request: Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketVersioning", None))?;
    let asked = input.versioning_configuration;
    if asked.mfa_delete.as_ref().is_some_and(|mfa| mfa.as_str() == MFADelete::ENABLED) {
        return Err(s3_error!(NotImplemented, "MFA delete is not implemented."));
    }
    let versioning = match asked.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => {
            return Err(s3_error!(
                IllegalVersioningConfigurationException,
                "The Versioning element must be specified"
            ));
        }
    };
    head.change_record(&bucket, |record| {
        if record.lock && versioning == Versioning::Suspended {
            return Err(s3_error!(
                InvalidBucketState,
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
            ));
        }
        record.versioning = versioning;
        Ok(())
    })
    .await?;
    reply(PutBucketVersioningOutput {})
}
