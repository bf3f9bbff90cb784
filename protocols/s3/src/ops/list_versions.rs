//! ListObjectVersions: what stands at each key, and behind it its old versions and markers, newest first.

use crate::acl::Permission;
use crate::bucket::Bucket;
use crate::head::Head;
use crate::key::{bytes_of, text_of};
use crate::object::{etag_of, is_object, timestamp};
use crate::ops::list_objects::{Page, encoding, prefixes, shown};
use crate::ops::{Request, parts, reply};
use crate::permit::Act;
use crate::records::{ObjectRecord, decode, name, of_object};
use crate::versions::{MARK, version_of};
use crate::walk::{Found, Walk, beyond};
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};
use types::Cred;
use vfs::Vfs;

/// Something that the listing shows.
struct Shown {
    key: Vec<u8>,
    /// What orders it among the old versions; none for what stands at the key.
    order: Option<String>,
    found: Found,
    record: Option<ObjectRecord>,
}

/// Both trees together, in the order of keys.
struct Both<V> {
    live: Walk<V>,
    old: Option<Walk<V>>,
    next_live: Option<Shown>,
    next_old: Option<Shown>,
    slash: bool,
}

impl<V: Vfs> Both<V> {
    /// The next of each tree is looked for.
    async fn fill(&mut self) -> S3Result<()> {
        while self.next_live.is_none() {
            let Some(found) = self.live.next().await? else { break };
            let record = found.entry.value.as_ref().and_then(|value| decode::<ObjectRecord>(&value.value));
            let on_the_way = found.is_directory() && found.entry.attr.size > 0 && self.slash;
            if is_object(&found.entry.attr, record.as_ref()) || on_the_way {
                self.next_live = Some(Shown { key: found.path.clone(), order: None, found, record });
            }
        }
        let Some(old) = &mut self.old else { return Ok(()) };
        while self.next_old.is_none() {
            let Some(found) = old.next().await? else { break };
            let mark = found.path.iter().rposition(|byte| *byte == MARK);
            let Some(mark) = mark.filter(|_| !found.is_directory()) else { continue };
            let Ok(order) = String::from_utf8(found.path[mark + 1..].to_vec()) else { continue };
            let record = found.entry.value.as_ref().and_then(|value| decode::<ObjectRecord>(&value.value));
            self.next_old =
                Some(Shown { key: found.path[..mark].to_vec(), order: Some(order), found, record });
        }
        Ok(())
    }

    async fn next(&mut self) -> S3Result<Option<Shown>> {
        self.fill().await?;
        let live_first = match (&self.next_live, &self.next_old) {
            (Some(live), Some(old)) => live.key <= old.key,
            (live, _) => live.is_some(),
        };
        Ok(if live_first { self.next_live.take() } else { self.next_old.take() })
    }

    fn seek(&mut self, bound: &[u8]) {
        self.live.seek(bound);
        self.next_live = None;
        if let Some(old) = &mut self.old {
            old.seek(bound);
            self.next_old = None;
        }
    }
}

/// See the S3 reference.
pub(crate) async fn list_object_versions<V: Vfs>(
    head: &Head<V>,
    request: Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let (parts, input) = parts!(request);
    let caller = head.caller(parts.credentials.as_ref())?;
    let bucket = head.bucket(&input.bucket).await?;
    bucket.permit(
        &caller,
        &parts.facts(&[]),
        &Act::bucket("s3:ListBucketVersions", Some(Permission::Read)),
    )?;
    let url = encoding(input.encoding_type.as_ref())?;
    let page = Page::new(input.prefix.as_deref(), input.delimiter.as_deref(), input.max_keys)?;
    let key_marker = bytes_of(input.key_marker.as_deref().unwrap_or_default()).unwrap_or_default();
    let version_marker = input.version_id_marker.clone().filter(|marker| !marker.is_empty());
    if version_marker.is_some() && key_marker.is_empty() {
        return Err(s3_error!(
            InvalidArgument,
            "A version-id marker cannot be specified without a key marker."
        ));
    }
    let listed = list(head, &bucket, &page, &key_marker, version_marker.as_deref()).await?;
    let (mut versions, mut markers) = (Vec::new(), Vec::new());
    for (shown_now, is_latest) in listed.shown {
        let Shown { key, order, found, record } = shown_now;
        let owner = record.as_ref().map(|record| record.owner.as_str()).filter(|owner| !owner.is_empty());
        let owner = Some(head.owner(&bucket, owner.unwrap_or(&bucket.record.owner)));
        let own = record.as_ref().map(|record| record.version.as_str()).filter(|version| !version.is_empty());
        let version = match &order {
            Some(order) => version_of(order),
            None => own.unwrap_or("null"),
        };
        let key = Some(shown(&text_of(&key), url));
        let (attr, version_id) = (&found.entry.attr, Some(version.to_owned()));
        let last_modified = Some(timestamp(attr.mtime));
        if order.is_some() && record.as_ref().is_some_and(|record| record.marker) {
            let is_latest = Some(is_latest);
            markers.push(DeleteMarkerEntry { is_latest, key, last_modified, owner, version_id });
            continue;
        }
        let fresh = found.entry.value.as_ref().is_some_and(|value| value.fresh);
        let own = record.as_ref().filter(|_| fresh);
        let class = record.as_ref().and_then(|record| record.headers.storage_class.clone());
        let content = record.as_ref().map_or(0, |record| record.content.len() as u64);
        let size = if found.is_directory() { content } else { attr.size };
        versions.push(ObjectVersion {
            e_tag: Some(ETag::Strong(etag_of(attr, own))),
            is_latest: Some(is_latest),
            key,
            last_modified,
            owner,
            size: i64::try_from(size).ok(),
            storage_class: Some(class.unwrap_or_else(|| "STANDARD".to_owned()).into()),
            version_id,
            checksum_algorithm: own
                .map(|record| record.sums.iter().map(|sum| sum.algorithm.dto()).collect())
                .filter(|sums: &Vec<_>| !sums.is_empty()),
            checksum_type: own.and_then(|record| record.sums.first()).map(crate::sums::Sum::dto_type),
            restore_status: None,
        });
    }
    let show = |text: Option<String>| text.map(|text| shown(&text, url));
    let (next_key, next_version) = listed.next.unzip();
    reply(ListObjectVersionsOutput {
        name: Some(bucket.name.clone()),
        prefix: Some(show(input.prefix).unwrap_or_default()),
        key_marker: Some(show(input.key_marker).unwrap_or_default()),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: Some(i32::try_from(page.most).unwrap_or(i32::MAX)),
        is_truncated: Some(next_key.is_some()),
        next_key_marker: next_key.map(|key: Vec<u8>| shown(&text_of(&key), url)),
        next_version_id_marker: next_version.flatten(),
        delimiter: show(input.delimiter).filter(|delimiter| !delimiter.is_empty()),
        versions: Some(versions),
        delete_markers: Some(markers),
        common_prefixes: Some(prefixes(listed.prefixes, url)),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

#[derive(Default)]
struct Listed {
    /// Each with whether it is the newest of its key.
    shown: Vec<(Shown, bool)>,
    prefixes: Vec<Vec<u8>>,
    /// The last key and version, when there is more.
    next: Option<(Vec<u8>, Option<String>)>,
}

async fn list<V: Vfs>(
    head: &Head<V>,
    bucket: &Bucket,
    page: &Page,
    key_marker: &[u8],
    version_marker: Option<&str>,
) -> S3Result<Listed> {
    let mut listed = Listed::default();
    if page.most == 0 {
        return Ok(listed);
    }
    let Some(live_bound) = page.bound(key_marker) else { return Ok(listed) };
    let old_bound = match version_marker {
        // After the versions of the key itself.
        None if key_marker.is_empty() || live_bound == page.prefix => live_bound.clone(),
        None if page.common(key_marker) == Some(key_marker) => live_bound.clone(),
        None => [key_marker, &[MARK + 1]].concat(),
        Some("null") => [key_marker, &[MARK]].concat(),
        Some(order) => [key_marker, &[MARK], order.as_bytes(), &[0]].concat(),
    };
    let value = || Some(name(of_object::RECORD));
    let versions = head.kept_dir(bucket, b"versions", false).await?;
    let root = head.files(Cred::root());
    let mut both = Both {
        live: Walk::new(head.acting(bucket)?, bucket.dir, value(), &live_bound, page.most + 1),
        old: versions.map(|dir| Walk::new(root, dir, value(), &old_bound, page.most + 1)),
        next_live: None,
        next_old: None,
        slash: page.delimiter == b"/",
    };
    let mut last: (Vec<u8>, Option<String>) = (Vec::new(), None);
    // The key of which something newer was seen.
    let mut seen: Vec<u8> = if version_marker.is_some() { key_marker.to_vec() } else { Vec::new() };
    while let Some(next) = both.next().await? {
        if !next.key.starts_with(&page.prefix) {
            if next.key > page.prefix {
                break;
            }
            continue;
        }
        if let Some(common) = page.common(&next.key).map(<[u8]>::to_vec) {
            if listed.shown.len() + listed.prefixes.len() == page.most {
                listed.next = Some(last);
                return Ok(listed);
            }
            last = (common.clone(), None);
            listed.prefixes.push(common.clone());
            match beyond(&common) {
                Some(bound) => both.seek(&bound),
                None => return Ok(listed),
            }
            continue;
        }
        if next.order.is_none() && !is_object(&next.found.entry.attr, next.record.as_ref()) {
            continue;
        }
        if listed.shown.len() + listed.prefixes.len() == page.most {
            listed.next = Some(last);
            return Ok(listed);
        }
        let is_latest = seen != next.key;
        seen.clone_from(&next.key);
        let own =
            next.record.as_ref().map(|record| record.version.clone()).filter(|version| !version.is_empty());
        let order = next.order.clone().or(own).unwrap_or_else(|| "null".to_owned());
        last = (next.key.clone(), Some(order));
        listed.shown.push((next, is_latest));
    }
    Ok(listed)
}
