//! Doing what lifecycle rules say: objects expire, old versions and markers go, uploads are given up.
//!
//! Buckets are looked through in steps, one after the other; what has changed since it was looked at stays.

use crate::bucket::Bucket;
use crate::head::Head;
use crate::key::{ObjectPath, text_of};
use crate::object::{Object, seconds};
use crate::ops::delete_object::mark;
use crate::ops::lifecycle::rules;
use crate::records::{ObjectRecord, UploadRecord, Versioning, decode, name, of_bucket, of_object};
use crate::tags::Tags;
use crate::versions::{MARK, version_of};
use crate::walk::Walk;
use s3s::S3Result;
use s3s::dto::{ExpirationStatus, LifecycleRule};
use serve::Shutdown;
use std::collections::BTreeSet;
use types::{Attr, Cred};
use vfs::Vfs;

/// For so long an upload that was completed is remembered.
const DAY: i64 = 86_400;

/// Passes over all buckets, and what removed ones have left, until `shutdown`.
pub(crate) async fn run<V: Vfs>(head: Head<V>, mut shutdown: Shutdown) {
    let passes = async {
        loop {
            tokio::time::sleep(head.0.config.lifecycle_period).await;
            if let Err(error) = pass(&head).await {
                tracing::warn!(%error, "lifecycle rules are tried again later");
            }
            if let Err(error) = crate::leavings::sweep(&head).await {
                tracing::warn!(%error, "what removed buckets have left goes later");
            }
        }
    };
    tokio::select! {
        () = shutdown.fired() => {}
        () = passes => {}
    }
}

/// One pass over all buckets, as of the present.
pub(crate) async fn pass<V: Vfs>(head: &Head<V>) -> S3Result<()> {
    let root = head.files(Cred::root());
    let mut buckets = Walk::new(root, head.buckets().await?, Some(name(of_bucket::LIFECYCLE)), b"", 100);
    while let Some(found) = buckets.next().await? {
        buckets.skip();
        let own = text_of(found.path.strip_suffix(b"/").unwrap_or(&found.path));
        let Some(bucket) = head.bucket_at(&own, found.entry.attr.file).await? else { continue };
        let rules: Vec<LifecycleRule> = rules(&bucket).unwrap_or_default();
        let rules: Vec<Rule> =
            rules.iter().filter_map(|rule| Rule::of(rule, head.0.config.lifecycle_day)).collect();
        if let Err(error) = one(head, &bucket, &rules).await {
            tracing::warn!(bucket = own, %error, "the lifecycle of a bucket is gone on with later");
        }
    }
    Ok(())
}

/// A rule in force, in plain words.
struct Rule {
    /// Seconds of a day.
    day: i64,
    prefix: Vec<u8>,
    tags: Tags,
    larger: Option<u64>,
    smaller: Option<u64>,
    /// Objects that are so old go: days, or a date.
    days: Option<i64>,
    date: Option<i64>,
    /// Markers behind which there is nothing.
    markers: bool,
    old_days: Option<i64>,
    /// So many old versions stay however old they are.
    old_stay: usize,
    upload_days: Option<i64>,
}

impl Rule {
    fn of(rule: &LifecycleRule, day: i64) -> Option<Rule> {
        if rule.status.as_str() != ExpirationStatus::ENABLED {
            return None;
        }
        let filter = rule.filter.clone().unwrap_or_default();
        let and = filter.and.unwrap_or_default();
        let prefix = and.prefix.or(filter.prefix).or(rule.prefix.clone()).unwrap_or_default();
        let tags = and.tags.unwrap_or_default().into_iter().chain(filter.tag);
        let size = |size: Option<i64>| size.and_then(|size| u64::try_from(size).ok());
        let expiration = rule.expiration.as_ref();
        let old = rule.noncurrent_version_expiration.as_ref();
        let days = |days: Option<i32>| days.map(i64::from);
        Some(Rule {
            day,
            prefix: crate::key::bytes_of(&prefix)?,
            tags: tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect(),
            larger: size(and.object_size_greater_than.or(filter.object_size_greater_than)),
            smaller: size(and.object_size_less_than.or(filter.object_size_less_than)),
            days: days(expiration.and_then(|expiration| expiration.days)),
            date: expiration.and_then(|expiration| expiration.date.as_ref()).map(seconds),
            markers: expiration
                .and_then(|expiration| expiration.expired_object_delete_marker)
                .unwrap_or(false),
            old_days: days(old.and_then(|old| old.noncurrent_days)),
            old_stay: old
                .and_then(|old| old.newer_noncurrent_versions)
                .and_then(|stay| usize::try_from(stay).ok())
                .unwrap_or(0),
            upload_days: days(
                rule.abort_incomplete_multipart_upload.as_ref().and_then(|abort| abort.days_after_initiation),
            ),
        })
    }

    /// Days count from the midnight after.
    fn due(&self, since: i64, days: i64) -> i64 {
        let whole = since.saturating_add(days.saturating_mul(self.day)).div_euclid(self.day);
        whole.saturating_add(1).saturating_mul(self.day)
    }

    fn is_of(&self, key: &[u8], size: u64, tags: &Tags) -> bool {
        key.starts_with(&self.prefix)
            && self.larger.is_none_or(|least| size > least)
            && self.smaller.is_none_or(|most| size < most)
            && self.tags.iter().all(|tag| tags.contains(tag))
    }

    fn expires(&self, since: i64, now: i64) -> bool {
        self.days.is_some_and(|days| self.due(since, days) <= now)
            || self.date.is_some_and(|date| date <= now)
    }
}

async fn one<V: Vfs>(head: &Head<V>, bucket: &Bucket, rules: &[Rule]) -> S3Result<()> {
    let now = head.now().seconds;
    if rules.iter().any(|rule| rule.days.is_some() || rule.date.is_some()) {
        current(head, bucket, rules, now).await?;
    }
    if rules.iter().any(|rule| rule.old_days.is_some() || rule.markers || rule.days.is_some()) {
        old(head, bucket, rules, now).await?;
    }
    uploads(head, bucket, rules, now).await
}

async fn current<V: Vfs>(head: &Head<V>, bucket: &Bucket, rules: &[Rule], now: i64) -> S3Result<()> {
    let files = head.acting(bucket)?;
    let mut walk = Walk::new(files.clone(), bucket.dir, Some(name(of_object::RECORD)), b"", 1000);
    while let Some(found) = walk.next().await? {
        let attr = &found.entry.attr;
        if found.is_directory() || !rules.iter().any(|rule| rule.expires(attr.mtime.seconds, now)) {
            continue;
        }
        let Some(object) = files.object_of(attr.file).await? else { continue };
        let applies = |rule: &&Rule| {
            rule.expires(object.attr.mtime.seconds, now)
                && rule.is_of(&found.path, object.size(), &object.tags())
        };
        if rules.iter().find(applies).is_none() || !is_same(&object, attr) {
            continue;
        }
        let Ok(path) = ObjectPath::of(&text_of(&found.path)) else { continue };
        if bucket.record.versioning == Versioning::Never {
            if !object.lock().holds(now, false) {
                let _one = head.lock_key(&bucket.dir, &path).await;
                head.remove_at(&files, bucket, &path).await?;
            }
        } else {
            let _one = head.lock_key(&bucket.dir, &path).await;
            mark(head, bucket, &path, Some(object)).await?;
        }
    }
    Ok(())
}

fn is_same(object: &Object, attr: &Attr) -> bool {
    (object.attr.file, object.attr.content) == (attr.file, attr.content)
}

/// Old versions that have been so for long, and markers that nothing is behind.
async fn old<V: Vfs>(head: &Head<V>, bucket: &Bucket, rules: &[Rule], now: i64) -> S3Result<()> {
    let Some(versions) = head.kept_dir(bucket, b"versions", false).await? else { return Ok(()) };
    let root = head.files(Cred::root());
    let mut walk = Walk::new(root.clone(), versions, Some(name(of_object::RECORD)), b"", 1000);
    // The key whose versions are being gone through, how many there were, and when the last was replaced.
    let mut of: (Vec<u8>, usize, i64) = (Vec::new(), 0, 0);
    while let Some(found) = walk.next().await? {
        let mark = found.path.iter().rposition(|byte| *byte == MARK);
        let Some(mark) = mark.filter(|_| !found.is_directory()) else { continue };
        let (key, order) =
            (&found.path[..mark], String::from_utf8_lossy(&found.path[mark + 1..]).into_owned());
        let key_text = text_of(key);
        let Ok(path) = ObjectPath::of(&key_text) else { continue };
        if of.0 != key {
            let live = head.acting(bucket)?.object(bucket.dir, &key_text).await?;
            let replaced =
                live.as_ref().map_or(found.entry.attr.mtime.seconds, |live| live.attr.mtime.seconds);
            of = (key.to_vec(), usize::from(live.is_some()), replaced);
        }
        let newest = of.1 == 0;
        let older = if newest { 0 } else { of.1 - 1 };
        let replaced = of.2;
        of.1 += 1;
        of.2 = found.entry.attr.mtime.seconds;
        let Some(object) = root.object_of(found.entry.attr.file).await? else { continue };
        let record: Option<ObjectRecord> = found.entry.value.as_ref().and_then(|value| decode(&value.value));
        let is_marker = record.is_some_and(|record| record.marker);
        let applies = |rule: &&Rule| {
            let fits = rule.is_of(key, object.size(), &object.tags());
            if newest {
                return fits && is_marker && (rule.markers || rule.expires(object.attr.mtime.seconds, now));
            }
            fits && rule.old_days.is_some_and(|days| rule.due(replaced, days) <= now)
                && older >= rule.old_stay
        };
        if rules.iter().find(applies).is_none() || object.lock().holds(now, false) {
            continue;
        }
        let Some((old, _)) = head.old_version(bucket, &path, version_of(&order)).await? else { continue };
        if newest && !is_alone(head, bucket, &path).await? {
            continue;
        }
        let _one = head.lock_key(&bucket.dir, &path).await;
        head.forget_old(bucket, &path, &old).await?;
    }
    Ok(())
}

/// Whether a key has nothing but one old version, the marker.
async fn is_alone<V: Vfs>(head: &Head<V>, bucket: &Bucket, path: &ObjectPath) -> S3Result<bool> {
    let Some(dir) = head.versions_dir(bucket, path, false).await? else { return Ok(false) };
    let Some(last) = crate::versions::last_of(path) else { return Ok(false) };
    Ok(head.old_versions(dir, last, "", 2).await?.len() == 1)
}

async fn uploads<V: Vfs>(head: &Head<V>, bucket: &Bucket, rules: &[Rule], now: i64) -> S3Result<()> {
    let Some(dir) = head.kept_dir(bucket, b"uploads", false).await? else { return Ok(()) };
    let mut walk = Walk::new(head.files(Cred::root()), dir, Some(name(of_object::UPLOAD)), b"", 1000);
    let mut given_up: BTreeSet<String> = BTreeSet::new();
    while let Some(found) = walk.next().await? {
        walk.skip();
        let record: Option<UploadRecord> = found.entry.value.as_ref().and_then(|value| decode(&value.value));
        let Some(record) = record else { continue };
        let begun = record.begun / 1_000_000_000;
        let remembered = record.done.as_ref().is_some_and(|done| done.at + DAY <= now);
        let applies = |rule: &Rule| {
            record.key.as_bytes().starts_with(&rule.prefix)
                && rule.upload_days.is_some_and(|days| rule.due(begun, days) <= now)
        };
        if remembered || record.done.is_none() && rules.iter().any(applies) {
            given_up.insert(text_of(found.path.strip_suffix(b"/").unwrap_or(&found.path)));
        }
        if given_up.len() >= 1000 {
            break;
        }
    }
    for id in given_up {
        head.forget_upload(bucket, &id).await?;
    }
    Ok(())
}
