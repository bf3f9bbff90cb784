//! ListObjects, both versions.

use crate::acl::{Of, Permission, owner};
use crate::bucket::Bucket;
use crate::head::Head;
use crate::key::{bytes_of, text_of};
use crate::object::{etag_of, is_object, timestamp};
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::{ObjectRecord, decode, name, of_object};
use crate::text::escape;
use crate::walk::{Found, Walk, beyond};
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use vfs::Vfs;

/// Keys of one page.
pub(crate) const KEYS_MAX: usize = 1000;

/// What a page is asked of.
pub(crate) struct Page {
    pub(crate) prefix: Vec<u8>,
    pub(crate) delimiter: Vec<u8>,
    pub(crate) most: usize,
}

impl Page {
    pub(crate) fn new(prefix: Option<&str>, delimiter: Option<&str>, most: Option<i32>) -> S3Result<Page> {
        let bytes = |text: Option<&str>| bytes_of(text.unwrap_or_default());
        // A prefix that nothing can have is one that nothing has.
        let prefix = bytes(prefix).unwrap_or_else(|| prefix.unwrap_or_default().as_bytes().to_vec());
        let delimiter = bytes(delimiter).unwrap_or_default();
        let most = match most {
            None => KEYS_MAX,
            Some(most) => usize::try_from(most)
                .map_err(|_| s3_error!(InvalidArgument, "max-keys cannot be negative"))?,
        };
        Ok(Page { prefix, delimiter, most: most.min(KEYS_MAX) })
    }

    /// The common prefix that a key is hidden behind.
    pub(crate) fn common<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = key.get(self.prefix.len()..)?;
        let at = rest.windows(self.delimiter.len()).position(|window| window == self.delimiter)?;
        Some(&key[..self.prefix.len() + at + self.delimiter.len()])
    }

    /// Where to begin after a key, or after all that a common prefix stands for.
    pub(crate) fn bound(&self, after: &[u8]) -> Option<Vec<u8>> {
        if after < self.prefix.as_slice() || after.is_empty() {
            return Some(self.prefix.clone());
        }
        if after.starts_with(&self.prefix) && self.common(after) == Some(after) {
            return beyond(after);
        }
        Some([after, &[0]].concat())
    }
}

/// What a page has.
#[derive(Default)]
struct Listed {
    objects: Vec<(Found, Option<ObjectRecord>)>,
    prefixes: Vec<Vec<u8>>,
    /// The last key or prefix, when there is more.
    next: Option<Vec<u8>>,
}

async fn list<V: Vfs>(head: &Head<V>, bucket: &Bucket, page: &Page, after: &[u8]) -> S3Result<Listed> {
    let mut listed = Listed::default();
    let Some(bound) = page.bound(after).filter(|_| page.most > 0) else { return Ok(listed) };
    let files = head.acting(bucket)?;
    let mut walk = Walk::new(files, bucket.dir, Some(name(of_object::RECORD)), &bound, page.most + 1);
    let mut last: Vec<u8> = Vec::new();
    while let Some(found) = walk.next().await? {
        if !found.path.starts_with(&page.prefix) {
            break;
        }
        let attr = &found.entry.attr;
        let record = found.entry.value.as_ref().and_then(|value| decode::<ObjectRecord>(&value.value));
        // Directories on the way to others count for what is in them.
        let is_object = is_object(attr, record.as_ref());
        let counts = is_object || (found.is_directory() && attr.size > 0 && page.delimiter == b"/");
        if !counts {
            continue;
        }
        if let Some(common) = page.common(&found.path).map(<[u8]>::to_vec) {
            if listed.objects.len() + listed.prefixes.len() == page.most {
                listed.next = Some(last);
                return Ok(listed);
            }
            if found.is_directory() && common == found.path {
                walk.skip();
            } else {
                match beyond(&common) {
                    Some(bound) => walk.seek(&bound),
                    None => return Ok(listed),
                }
            }
            last.clone_from(&common);
            listed.prefixes.push(common);
            continue;
        }
        if !is_object {
            continue;
        }
        if listed.objects.len() + listed.prefixes.len() == page.most {
            listed.next = Some(last);
            return Ok(listed);
        }
        last.clone_from(&found.path);
        listed.objects.push((found, record));
    }
    Ok(listed)
}

/// How keys are written in a reply.
pub(crate) fn encoding(asked: Option<&EncodingType>) -> S3Result<bool> {
    match asked.map(EncodingType::as_str) {
        None => Ok(false),
        Some(EncodingType::URL) => Ok(true),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
    }
}

pub(crate) fn shown(text: &str, url: bool) -> String {
    if url { escape(text) } else { text.to_owned() }
}

fn objects(
    bucket: &Bucket,
    head_owner: impl Fn(&str) -> Owner,
    listed: Vec<(Found, Option<ObjectRecord>)>,
    url: bool,
    owners: bool,
) -> Vec<Object> {
    listed
        .into_iter()
        .map(|(found, record)| {
            let fresh = found.entry.value.as_ref().is_some_and(|value| value.fresh);
            let attr = &found.entry.attr;
            let own = record.as_ref().filter(|_| fresh);
            let content = record.as_ref().map_or(0, |record| record.content.len() as u64);
            let size = if found.is_directory() { content } else { attr.size };
            let owner = record.as_ref().map(|record| record.owner.as_str()).filter(|owner| !owner.is_empty());
            let class = record.as_ref().and_then(|record| record.headers.storage_class.clone());
            Object {
                key: Some(shown(&text_of(&found.path), url)),
                size: i64::try_from(size).ok(),
                e_tag: Some(ETag::Strong(etag_of(attr, own))),
                last_modified: Some(timestamp(attr.mtime)),
                owner: owners.then(|| head_owner(owner.unwrap_or(&bucket.record.owner))),
                storage_class: Some(class.unwrap_or_else(|| "STANDARD".to_owned()).into()),
                checksum_algorithm: own
                    .map(|record| record.sums.iter().map(|sum| sum.algorithm.dto()).collect())
                    .filter(|sums: &Vec<_>| !sums.is_empty()),
                checksum_type: own.and_then(|record| record.sums.first()).map(crate::sums::Sum::dto_type),
                restore_status: None,
            }
        })
        .collect()
}

pub(crate) fn prefixes(found: Vec<Vec<u8>>, url: bool) -> Vec<CommonPrefix> {
    found.into_iter().map(|prefix| CommonPrefix { prefix: Some(shown(&text_of(&prefix), url)) }).collect()
}

impl<V: Vfs> Head<V> {
    /// How an account is shown.
    pub(crate) fn owner(&self, bucket: &Bucket, id: &str) -> Owner {
        if id == bucket.record.owner {
            return owner(bucket.owner());
        }
        let account = self.0.accounts.account(id);
        owner(Of { id, name: account.as_ref().map_or("", |account| &account.display_name) })
    }
}

/// See the S3 reference.
pub(crate) async fn list_objects<V: Vfs>(
    head: &Head<V>,
    request: Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:ListBucket", Some(Permission::Read)))?;
    let url = encoding(input.encoding_type.as_ref())?;
    let page = Page::new(input.prefix.as_deref(), input.delimiter.as_deref(), input.max_keys)?;
    let after = bytes_of(input.marker.as_deref().unwrap_or_default()).unwrap_or_default();
    let listed = list(head, &bucket, &page, &after).await?;
    let show = |text: Option<String>| text.map(|text| shown(&text, url));
    let next = listed.next.as_deref().map(text_of).filter(|_| !page.delimiter.is_empty());
    reply(ListObjectsOutput {
        name: Some(bucket.name.clone()),
        // Clients take it as it is here, unlike in the second version.
        prefix: Some(input.prefix.unwrap_or_default()),
        marker: Some(show(input.marker).unwrap_or_default()),
        max_keys: Some(i32::try_from(page.most).unwrap_or(i32::MAX)),
        is_truncated: Some(listed.next.is_some()),
        next_marker: show(next),
        delimiter: show(input.delimiter).filter(|delimiter| !delimiter.is_empty()),
        contents: Some(objects(&bucket, |id| head.owner(&bucket, id), listed.objects, url, true)),
        common_prefixes: Some(prefixes(listed.prefixes, url)),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

/// See the S3 reference.
pub(crate) async fn list_objects_v2<V: Vfs>(
    head: &Head<V>,
    request: Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(&caller, &parts.facts(&[]), &Act::bucket("s3:ListBucket", Some(Permission::Read)))?;
    let url = encoding(input.encoding_type.as_ref())?;
    let page = Page::new(input.prefix.as_deref(), input.delimiter.as_deref(), input.max_keys)?;
    let after = match &input.continuation_token {
        Some(token) if token.is_empty() => Vec::new(),
        Some(token) => token_of(token)?,
        None => bytes_of(input.start_after.as_deref().unwrap_or_default()).unwrap_or_default(),
    };
    let listed = list(head, &bucket, &page, &after).await?;
    let show = |text: Option<String>| text.map(|text| shown(&text, url));
    let owners = input.fetch_owner.unwrap_or(false);
    let count = listed.objects.len() + listed.prefixes.len();
    reply(ListObjectsV2Output {
        name: Some(bucket.name.clone()),
        prefix: Some(show(input.prefix).unwrap_or_default()),
        max_keys: Some(i32::try_from(page.most).unwrap_or(i32::MAX)),
        key_count: i32::try_from(count).ok(),
        is_truncated: Some(listed.next.is_some()),
        continuation_token: input.continuation_token,
        next_continuation_token: listed.next.as_deref().map(token),
        start_after: show(input.start_after),
        delimiter: show(input.delimiter).filter(|delimiter| !delimiter.is_empty()),
        contents: Some(objects(&bucket, |id| head.owner(&bucket, id), listed.objects, url, owners)),
        common_prefixes: Some(prefixes(listed.prefixes, url)),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

/// A place in a listing, stable whatever comes and goes: the last key that was given.
fn token(last: &[u8]) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string([&[1], last].concat())
}

fn token_of(token: &str) -> S3Result<Vec<u8>> {
    match base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).ok().as_deref() {
        Some([1, last @ ..]) => Ok(last.to_vec()),
        _ => Err(s3_error!(InvalidArgument, "The continuation token provided is incorrect")),
    }
}
