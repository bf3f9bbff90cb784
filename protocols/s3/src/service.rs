//! The operations of S3, each handed to its own file.

use crate::head::Head;
use crate::ops::*;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result};
use vfs::Vfs;

macro_rules! serve {
    ($($method:ident($input:ident) -> $output:ident = $module:ident::$function:ident;)*) => {
        #[async_trait::async_trait]
        impl<V: Vfs> S3 for Head<V> {
            $(async fn $method(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                $module::$function(self, request).await
            })*
        }
    };
}

serve! {
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = upload::abort;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = upload_complete::complete;
    copy_object(CopyObjectInput) -> CopyObjectOutput = copy_object::copy_object;
    create_bucket(CreateBucketInput) -> CreateBucketOutput = bucket::create_bucket;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = upload::create;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = bucket::delete_bucket;
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput = cors::delete_bucket_cors;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput = lifecycle::delete_lifecycle;
    delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput
        = acl::delete_ownership_controls;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput = policy::delete_bucket_policy;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput = tagging::delete_bucket_tagging;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = delete_object::delete_object;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput = tagging::delete_object_tagging;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = delete_object::delete_objects;
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput
        = policy::delete_public_access_block;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput = acl::get_bucket_acl;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput = cors::get_bucket_cors;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput
        = lifecycle::get_lifecycle;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = bucket::get_bucket_location;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput)
        -> GetBucketNotificationConfigurationOutput = notification::get_notification;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput
        = acl::get_ownership_controls;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput = policy::get_bucket_policy;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput
        = policy::get_bucket_policy_status;
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput
        = lifecycle::get_request_payment;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = tagging::get_bucket_tagging;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = versioning::get_bucket_versioning;
    get_object(GetObjectInput) -> GetObjectOutput = get_object::get_object;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = acl::get_object_acl;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = get_object::get_object_attributes;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput = object_lock::get_object_legal_hold;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput
        = object_lock::get_object_lock_configuration;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput = object_lock::get_object_retention;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = tagging::get_object_tagging;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = policy::get_public_access_block;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = bucket::head_bucket;
    head_object(HeadObjectInput) -> HeadObjectOutput = get_object::head_object;
    list_buckets(ListBucketsInput) -> ListBucketsOutput = bucket::list_buckets;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = upload_list::list_uploads;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput = list_versions::list_object_versions;
    list_objects(ListObjectsInput) -> ListObjectsOutput = list_objects::list_objects;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = list_objects::list_objects_v2;
    list_parts(ListPartsInput) -> ListPartsOutput = upload_list::list_parts;
    post_object(PostObjectInput) -> PostObjectOutput = post_object::post_object;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput = acl::put_bucket_acl;
    put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput = cors::put_bucket_cors;
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput
        = lifecycle::put_lifecycle;
    put_bucket_notification_configuration(PutBucketNotificationConfigurationInput)
        -> PutBucketNotificationConfigurationOutput = notification::put_notification;
    put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput
        = acl::put_ownership_controls;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput = policy::put_bucket_policy;
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput = tagging::put_bucket_tagging;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput = versioning::put_bucket_versioning;
    put_object(PutObjectInput) -> PutObjectOutput = put_object::put_object;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput = acl::put_object_acl;
    put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput = object_lock::put_object_legal_hold;
    put_object_lock_configuration(PutObjectLockConfigurationInput) -> PutObjectLockConfigurationOutput
        = object_lock::put_object_lock_configuration;
    put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput = object_lock::put_object_retention;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = tagging::put_object_tagging;
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput = policy::put_public_access_block;
    upload_part(UploadPartInput) -> UploadPartOutput = upload::upload_part;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = upload::upload_part_copy;
}
