//! ACLs of buckets and objects, and whether they count.

use crate::acl::{Acl, Of, Permission, counts, owner};
use crate::bucket::Bucket;
use crate::error::{access_denied, from_fs};
use crate::head::Head;
use crate::incoming::{Grants, grants_of};
use crate::ops::get_object::find;
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::public_access::PublicAccess;
use crate::records::{Ownership, encode, name, of_bucket, of_object};
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use types::Cred;
use vfs::Vfs;

pub(crate) fn ownership_of(text: &str) -> S3Result<Ownership> {
    match text {
        ObjectOwnership::BUCKET_OWNER_ENFORCED => Ok(Ownership::BucketOwnerEnforced),
        ObjectOwnership::BUCKET_OWNER_PREFERRED => Ok(Ownership::BucketOwnerPreferred),
        ObjectOwnership::OBJECT_WRITER => Ok(Ownership::ObjectWriter),
        _ => Err(s3_error!(InvalidArgument, "Invalid x-amz-object-ownership header")),
    }
}

/// See the S3 reference.
pub(crate) async fn get_bucket_acl<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketAcl", Some(Permission::ReadAcp)))?;
    let acl = if counts(&bucket.record) { bucket.acl() } else { Acl::private(bucket.owner()) };
    reply(GetBucketAclOutput { grants: Some(acl.dto()), owner: Some(owner(bucket.owner())) })
}

/// See the S3 reference.
pub(crate) async fn put_bucket_acl<V: Vfs>(
    head: &Head<V>,
    request: Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketAcl", Some(Permission::WriteAcp)))?;
    let grants = grants_of!(input);
    let canned = input.acl.as_ref().map(BucketCannedACL::as_str);
    let acl = given(head, &bucket, bucket.owner(), canned, &grants, input.access_control_policy.as_ref())?;
    head.keep_with(&bucket, of_bucket::ACL, acl.map(|acl| encode(&acl))).await?;
    reply(PutBucketAclOutput {})
}

/// The ACL of a request, in whichever of three ways it is given.
fn given<V: Vfs>(
    head: &Head<V>,
    bucket: &Bucket,
    owner: Of<'_>,
    canned: Option<&str>,
    grants: &Grants,
    policy: Option<&AccessControlPolicy>,
) -> S3Result<Option<Acl>> {
    let by_headers = head.acl_of(bucket, owner, canned, grants)?;
    if canned.is_some() || !grants.is_empty() {
        return Ok(by_headers);
    }
    let policy = policy
        .ok_or_else(|| s3_error!(MissingSecurityHeader, "Your request was missing a required header"))?;
    if !counts(&bucket.record) {
        return Err(s3_error!(AccessControlListNotSupported, "The bucket does not allow ACLs"));
    }
    let named = policy.owner.as_ref().and_then(|own| own.id.as_deref());
    if named.is_some_and(|named| named != owner.id) {
        return Err(access_denied());
    }
    let acl = Acl::from_xml(policy, &head.0.accounts)?;
    if acl.is_public() && PublicAccess::of(bucket).block_acls {
        return Err(access_denied());
    }
    Ok(Some(acl))
}

/// See the S3 reference.
pub(crate) async fn get_object_acl<V: Vfs>(
    head: &Head<V>,
    request: Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:GetObjectAcl", "s3:GetObjectVersionAcl");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::ReadAcp).await?;
    let shown = head.owner(&bucket, object.owner_id(&bucket));
    let of = Of { id: object.owner_id(&bucket), name: shown.display_name.as_deref().unwrap_or_default() };
    let acl = if counts(&bucket.record) { object.acl(of) } else { Acl::private(of) };
    reply(GetObjectAclOutput { grants: Some(acl.dto()), owner: Some(shown), request_charged: None })
}

/// See the S3 reference.
pub(crate) async fn put_object_acl<V: Vfs>(
    head: &Head<V>,
    request: Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    let at = (&bucket, input.key.as_str(), input.version_id.as_deref());
    let actions = ("s3:PutObjectAcl", "s3:PutObjectVersionAcl");
    let (_, object) = find(head, &parts, &caller, at, actions, Permission::WriteAcp).await?;
    let grants = grants_of!(input);
    let canned = input.acl.as_ref().map(ObjectCannedACL::as_str);
    let shown = head.owner(&bucket, object.owner_id(&bucket));
    let of = Of { id: object.owner_id(&bucket), name: shown.display_name.as_deref().unwrap_or_default() };
    let acl = given(head, &bucket, of, canned, &grants, input.access_control_policy.as_ref())?;
    let root = head.files(Cred::root());
    let value = acl.map(|acl| encode(&acl));
    root.keep(object.attr.file, name(of_object::ACL), value).await.map_err(from_fs)?;
    reply(PutObjectAclOutput::default())
}

/// See the S3 reference.
pub(crate) async fn get_ownership_controls<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketOwnershipControls", None))?;
    let text = match bucket.record.ownership {
        Ownership::Unset => {
            return Err(s3_error!(
                OwnershipControlsNotFoundError,
                "The bucket ownership controls were not found"
            ));
        }
        Ownership::ObjectWriter => ObjectOwnership::OBJECT_WRITER,
        Ownership::BucketOwnerPreferred => ObjectOwnership::BUCKET_OWNER_PREFERRED,
        Ownership::BucketOwnerEnforced => ObjectOwnership::BUCKET_OWNER_ENFORCED,
    };
    let rule = OwnershipControlsRule { object_ownership: ObjectOwnership::from_static(text) };
    reply(GetBucketOwnershipControlsOutput {
        ownership_controls: Some(OwnershipControls { rules: vec![rule] }),
    })
}

/// See the S3 reference.
pub(crate) async fn put_ownership_controls<V: Vfs>(
    head: &Head<V>,
    request: Request<PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketOwnershipControls", None))?;
    let [rule] = &input.ownership_controls.rules[..] else { return Err(s3_error!(MalformedXML)) };
    let ownership = ownership_of(rule.object_ownership.as_str()).map_err(|_| s3_error!(MalformedXML))?;
    let others = bucket.acl() != Acl::private(bucket.owner());
    if ownership == Ownership::BucketOwnerEnforced && others {
        return Err(s3_error!(
            InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        ));
    }
    head.change_record(&bucket, |record| {
        record.ownership = ownership;
        Ok(())
    })
    .await?;
    reply(PutBucketOwnershipControlsOutput {})
}

/// See the S3 reference.
pub(crate) async fn delete_ownership_controls<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:PutBucketOwnershipControls", None))?;
    head.change_record(&bucket, |record| {
        record.ownership = Ownership::Unset;
        Ok(())
    })
    .await?;
    Ok(S3Response::with_status(DeleteBucketOwnershipControlsOutput {}, http::StatusCode::NO_CONTENT))
}
