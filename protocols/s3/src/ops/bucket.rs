//! Making, finding, listing and removing buckets.

use crate::acl::{Acl, Of, Permission, owner};
use crate::bucket::Bucket;
use crate::error::{access_denied, from_fs};
use crate::head::Head;
use crate::incoming::{Grants, grants_of};
use crate::object::timestamp;
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::{BucketRecord, ObjectRecord, Ownership, Versioning, decode, encode, name, of_bucket};
use crate::walk::Walk;
use s3s::dto::{
    Bucket as BucketDto, BucketCannedACL, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput,
    DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput,
    HeadBucketOutput, ListBucketsInput, ListBucketsOutput,
};
use s3s::{S3Response, S3Result, s3_error};
use types::{Cred, FileKind, FsError, Mode, Name, SetAttr, Time};
use vfs::Vfs;

/// Buckets of one page (AWS: 10,000).
const BUCKETS_MAX: usize = 10_000;
/// Only its owner looks into a bucket's directory, until that changes it.
const MODE: Mode = Mode(0o700);

/// See the S3 reference.
pub(crate) async fn create_bucket<V: Vfs>(
    head: &Head<V>,
    request: Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?.ok_or_else(access_denied)?;
    if input.bucket.contains(".-") || input.bucket.contains("-.") {
        return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid."));
    }
    let cred = caller.cred.clone().ok_or_else(access_denied)?;
    let location =
        input.create_bucket_configuration.as_ref().and_then(|config| config.location_constraint.as_ref());
    let location = location.map(|location| location.as_str().to_owned()).unwrap_or_default();
    let ownership = match input.object_ownership.as_ref().map(|ownership| ownership.as_str()) {
        None => Ownership::Unset,
        Some(text) => crate::ops::acl::ownership_of(text)?,
    };
    let lock = input.object_lock_enabled_for_bucket.unwrap_or(false);
    let record = BucketRecord {
        owner: caller.canonical_id.clone(),
        owner_name: caller.display_name.clone(),
        created: head.now().seconds,
        versioning: if lock { Versioning::Enabled } else { Versioning::Never },
        ownership,
        lock,
        location,
    };
    let grants = grants_of!(input);
    let canned = input.acl.as_ref().map(BucketCannedACL::as_str);
    let root = head.files(Cred::root());
    let name_of_dir = Name::new(input.bucket.clone()).map_err(|_| s3_error!(InvalidBucketName))?;
    let buckets = head.buckets().await?;
    let set = SetAttr { uid: Some(cred.uid), gid: Some(cred.gid), ..SetAttr::default() };
    let (attr, made) = match root.mkdir(buckets, &name_of_dir, MODE, set).await {
        Ok(attr) => (attr, true),
        Err(FsError::Exists) => match head.directory_of(&input.bucket).await? {
            Some(attr) => (attr, false),
            None => return Err(s3_error!(OperationAborted, "The bucket is being removed.")),
        },
        Err(error) => return Err(from_fs(error)),
    };
    if !made {
        if let Some(there) = head.bucket_at(&input.bucket, attr.file).await? {
            let of = Of { id: &record.owner, name: &record.owner_name };
            let asked = acl_of(head, &record, of, canned, &grants)?;
            return again(&there, &caller, asked.unwrap_or_else(|| Acl::private(of)));
        }
        // Somebody's directory becomes a bucket for its owner only.
        let owns = cred.uid == 0 || cred.uid == attr.uid;
        if attr.kind != FileKind::Directory || !owns {
            return Err(s3_error!(BucketAlreadyExists));
        }
    }
    let of = Of { id: &record.owner, name: &record.owner_name };
    let acl = acl_of(head, &record, of, canned, &grants);
    let kept = async {
        if let Some(acl) = acl? {
            root.keep(attr.file, name(of_bucket::ACL), Some(encode(&acl))).await.map_err(from_fs)?;
        }
        // Somebody else may have published it meanwhile.
        root.keep_if(attr.file, name(of_bucket::RECORD), encode(&record), None).await.map_err(|error| {
            match error {
                FsError::Busy => s3_error!(OperationAborted, "The bucket is being made by somebody else."),
                error => from_fs(error),
            }
        })
    };
    if let Err(error) = kept.await {
        if made && head.bucket_at(&input.bucket, attr.file).await?.is_none() {
            let _ = root.rmdir(buckets, &name_of_dir).await;
        }
        return Err(error);
    }
    reply(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) })
}

/// A bucket that is there already.
fn again(
    there: &Bucket,
    caller: &crate::account::Account,
    asked: Acl,
) -> S3Result<S3Response<CreateBucketOutput>> {
    // As in the region us-east-1: asked for once more, it is as it was.
    if there.is_owned_by(Some(caller)) && there.acl() == asked {
        return reply(CreateBucketOutput { location: Some(format!("/{}", there.name)) });
    }
    Err(s3_error!(BucketAlreadyExists, "The requested bucket name is not available."))
}

fn acl_of<V: Vfs>(
    head: &Head<V>,
    record: &BucketRecord,
    of: Of<'_>,
    canned: Option<&str>,
    grants: &Grants,
) -> S3Result<Option<Acl>> {
    let granted = grants.acl(&head.0.accounts)?;
    let acl = match canned {
        Some(canned) => Some(Acl::canned(canned, of, of)?),
        None => granted,
    };
    if record.ownership == Ownership::BucketOwnerEnforced && canned.is_some_and(|canned| canned != "private")
    {
        return Err(s3_error!(
            InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        ));
    }
    Ok(acl)
}

/// See the S3 reference.
pub(crate) async fn head_bucket<V: Vfs>(
    head: &Head<V>,
    request: Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:ListBucket", Some(Permission::Read)))?;
    reply(HeadBucketOutput {
        bucket_region: Some(head.0.config.region.clone()),
        ..HeadBucketOutput::default()
    })
}

/// See the S3 reference.
pub(crate) async fn get_bucket_location<V: Vfs>(
    head: &Head<V>,
    request: Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:GetBucketLocation", None))?;
    let location = Some(bucket.record.location.clone()).filter(|location| !location.is_empty());
    reply(GetBucketLocationOutput { location_constraint: location.map(BucketLocationConstraint::from) })
}

/// See the S3 reference.
pub(crate) async fn list_buckets<V: Vfs>(
    head: &Head<V>,
    request: Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let (parts, input) = parts!(request);
    let Some(caller) = head.caller(parts.credentials.as_ref())? else {
        // Nobody in particular owns no buckets.
        return reply(ListBucketsOutput { buckets: Some(Vec::new()), ..ListBucketsOutput::default() });
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let most = match input.max_buckets {
        None => BUCKETS_MAX,
        Some(most) if (1..=BUCKETS_MAX as i32).contains(&most) => {
            usize::try_from(most).unwrap_or(BUCKETS_MAX)
        }
        Some(_) => return Err(s3_error!(InvalidArgument, "max-buckets is from 1 to 10000")),
    };
    let after = input.continuation_token.as_ref().map(|token| {
        let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok())
    });
    let after = match after {
        Some(None) => return Err(s3_error!(InvalidArgument, "The continuation token provided is incorrect")),
        Some(Some(after)) => after,
        None => String::new(),
    };
    let root = head.files(Cred::root());
    // After a bucket's own path, which ends in a slash.
    let bound = if after.is_empty() { prefix.clone().into_bytes() } else { format!("{after}0").into_bytes() };
    let mut walk = Walk::new(root, head.buckets().await?, Some(name(of_bucket::RECORD)), &bound, BUCKETS_MAX);
    let mut buckets: Vec<BucketDto> = Vec::new();
    let mut next = None;
    while let Some(found) = walk.next().await? {
        walk.skip();
        let Some(own) = found.path.strip_suffix(b"/") else { continue };
        if !own.starts_with(prefix.as_bytes()) {
            break;
        }
        let record = found.entry.value.and_then(|value| decode::<BucketRecord>(&value.value));
        let Some(record) = record.filter(|record| record.owner == caller.canonical_id) else { continue };
        if buckets.len() == most {
            let last = buckets.last().and_then(|bucket| bucket.name.clone()).unwrap_or_default();
            next = Some(base64_simd::URL_SAFE_NO_PAD.encode_to_string(last));
            break;
        }
        buckets.push(BucketDto {
            name: Some(String::from_utf8_lossy(own).into_owned()),
            creation_date: Some(timestamp(Time { seconds: record.created, nanoseconds: 0 })),
            bucket_region: None,
        });
    }
    let of = Of { id: &caller.canonical_id, name: &caller.display_name };
    reply(ListBucketsOutput {
        buckets: Some(buckets),
        owner: Some(owner(of)),
        continuation_token: next,
        prefix: input.prefix,
    })
}

/// See the S3 reference.
pub(crate) async fn delete_bucket<V: Vfs>(
    head: &Head<V>,
    request: Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:DeleteBucket", None))?;
    let not_empty = || s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty");
    let root = head.files(Cred::root());
    if let Some(versions) = head.kept_dir(&bucket, b"versions", false).await? {
        let mut walk = Walk::new(root.clone(), versions, None, b"", 1);
        while let Some(found) = walk.next().await? {
            if !found.is_directory() {
                return Err(not_empty());
            }
        }
    }
    clear(head, &bucket).await?;
    let guard = root.kept(bucket.dir).await.map_err(from_fs)?.guard;
    // Nothing of it is locked any more.
    head.set_guard(bucket.dir, None).await?;
    let name_of_dir = Name::new(input.bucket.clone()).map_err(|_| s3_error!(InvalidBucketName))?;
    match root.rmdir(head.buckets().await?, &name_of_dir).await {
        Ok(()) => {}
        Err(error) => {
            head.set_guard(bucket.dir, Some(guard)).await?;
            return Err(if error == FsError::NotEmpty { not_empty() } else { from_fs(error) });
        }
    }
    head.forget_kept(&bucket).await?;
    Ok(S3Response::with_status(DeleteBucketOutput {}, http::StatusCode::NO_CONTENT))
}

/// Removes directories that were made for keys and hold nothing; anything else is in the way.
async fn clear<V: Vfs>(head: &Head<V>, bucket: &Bucket) -> S3Result<()> {
    let root = head.files(Cred::root());
    let record = name(crate::records::of_object::RECORD);
    let mut walk = Walk::new(root.clone(), bucket.dir, Some(record), b"", 100);
    let mut empty: Vec<Vec<u8>> = Vec::new();
    while let Some(found) = walk.next().await? {
        let record = found.entry.value.as_ref().and_then(|value| decode::<ObjectRecord>(&value.value));
        if !found.is_directory() || record.is_none_or(|record| !record.marker) {
            return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
        }
        empty.push(found.path);
        if empty.len() > 10_000 {
            break;
        }
    }
    for path in empty.iter().rev() {
        let Ok(path) = crate::key::ObjectPath::of(&crate::key::text_of(path)) else { continue };
        if let Some(place) = root.place(bucket.dir, &path).await? {
            let _ = root.rmdir(place.dir, &place.name).await;
        }
    }
    Ok(())
}
