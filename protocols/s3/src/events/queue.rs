//! Events that wait for their targets, in the system directory: `s3/events/TARGET/TIME-RANDOM`, oldest first.

use super::record::{EventRecord, Kind, Told};
use super::rule::RulesRead;
use super::{Rule, Webhook, WebhookState};
use crate::bucket::Bucket;
use crate::error::from_fs;
use crate::files::Files;
use crate::head::{Head, Origin};
use crate::ops::Parts;
use crate::records::{encode, name, of_bucket, of_event};
use crate::versions::MODE;
use bytes::Bytes;
use s3s::S3Result;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;
use types::{Cred, FileId, FsError, Mode, Name, Retention};
use vfs::{List, ListReply, Put, PutIf, PutSource, Vfs};

/// Events that wait for one target.
const WAITING_MAX: u64 = 100_000;

/// A target, and how it is doing.
pub(crate) struct Target {
    pub(crate) webhook: Webhook,
    pub(super) waiting: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
    dropped: AtomicU64,
    /// There is something new.
    pub(super) news: Notify,
}

/// All targets, and the rules by which buckets name them.
#[derive(Default)]
pub(crate) struct Events {
    targets: BTreeMap<String, Target>,
    rules: RulesRead,
}

impl Events {
    pub(crate) fn new(webhooks: Vec<Webhook>) -> Events {
        let target = |webhook: Webhook| Target {
            webhook,
            waiting: AtomicU64::default(),
            delivered: AtomicU64::default(),
            failed: AtomicU64::default(),
            dropped: AtomicU64::default(),
            news: Notify::new(),
        };
        let targets = webhooks.into_iter().map(|webhook| (webhook.name.clone(), target(webhook))).collect();
        Events { targets, rules: RulesRead::default() }
    }

    pub(crate) fn target(&self, name: &str) -> Option<&Target> {
        self.targets.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.targets.keys()
    }

    pub(crate) fn states(&self) -> Vec<WebhookState> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = |(name, target): (&String, &Target)| WebhookState {
            name: name.clone(),
            waiting: count(&target.waiting),
            delivered: count(&target.delivered),
            failed: count(&target.failed),
            dropped: count(&target.dropped),
        };
        self.targets.iter().map(state).collect()
    }
}

impl<V: Vfs> Head<V> {
    /// A change was made: whoever asked for it is to hear of it, whatever happens from here on. What cannot be kept is
    /// counted and logged, as the change cannot be taken back.
    pub(crate) async fn tell(&self, bucket: &Bucket, parts: &Parts, told: Told<'_>) {
        let Some(configuration) = bucket.value(of_bucket::EVENTS) else { return };
        for rule in &*self.0.events.rules.of(configuration, &self.0.config.region) {
            if rule.asks_for(told.kind, told.key) {
                self.put_event(rule, self.event(bucket, parts, rule, &told)).await;
            }
        }
    }

    /// A configuration was put: its targets hear so.
    pub(crate) async fn tell_test(&self, bucket: &Bucket, parts: &Parts, rules: &[Rule]) {
        let mut tested: Vec<&str> = Vec::new();
        for rule in rules {
            if tested.contains(&rule.target.as_str()) {
                continue;
            }
            tested.push(&rule.target);
            let told = Told { kind: Kind::Test, key: "", size: 0, etag: "", version: None, at: self.now() };
            self.put_event(rule, self.event(bucket, parts, rule, &told)).await;
        }
    }

    fn event(&self, bucket: &Bucket, parts: &Parts, rule: &Rule, told: &Told<'_>) -> EventRecord {
        let origin = parts.extensions.get::<Origin>();
        let caller = self.caller(parts.credentials.as_ref()).ok().flatten();
        EventRecord {
            kind: told.kind,
            rule: rule.id.clone(),
            bucket: bucket.name.clone(),
            owner: bucket.record.owner.clone(),
            key: told.key.to_owned(),
            size: told.size,
            etag: told.etag.to_owned(),
            version: told.version.map(str::to_owned),
            seconds: told.at.seconds,
            nanoseconds: told.at.nanoseconds,
            principal: caller.map(|caller| caller.canonical_id.clone()).unwrap_or_default(),
            address: origin.map(|origin| origin.address.ip().to_canonical().to_string()).unwrap_or_default(),
            request: origin.map(|origin| origin.id.clone()).unwrap_or_default(),
        }
    }

    async fn put_event(&self, rule: &Rule, event: EventRecord) {
        let Some(target) = self.0.events.target(&rule.target) else { return };
        if target.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            tracing::warn!(target = rule.target, "too many events wait; one is given up");
        } else if let Err(error) = self.keep_event(&rule.target, &event).await {
            tracing::error!(target = rule.target, %error, "an event cannot be kept, and is given up");
        } else {
            return target.news.notify_one();
        }
        target.waiting.fetch_sub(1, Ordering::Relaxed);
        target.dropped.fetch_add(1, Ordering::Relaxed);
    }

    async fn keep_event(&self, target: &str, event: &EventRecord) -> S3Result<()> {
        let root = self.files(Cred::root());
        let nanoseconds = u64::try_from(event.seconds).unwrap_or(0).saturating_mul(1_000_000_000);
        let order = nanoseconds.saturating_add(u64::from(event.nanoseconds));
        let own = Name::new(format!("{order:016x}-{:016x}", self.random()));
        let own = own.map_err(|_| from_fs(FsError::Invalid))?;
        let put = Put {
            dir: self.events_dir(&root, target).await?,
            name: own,
            source: PutSource::Content { data: Bytes::new(), mode: Mode(0o600) },
            values: vec![(name(of_event::RECORD), encode(event))],
            only: PutIf::Absent,
            keep: None,
            retention: Retention::default(),
        };
        root.put(put).await.map_err(from_fs)?;
        Ok(())
    }

    /// Where the events of a target wait.
    pub(super) async fn events_dir(&self, root: &Files<V>, target: &str) -> S3Result<FileId> {
        let top = self.way_to_buckets().await?.first().copied().ok_or_else(|| from_fs(FsError::Stale))?;
        let mut dir = root.vfs.system(&root.ctx, vfs::System { fs: top.fs }).await.map_err(from_fs)?.dir;
        for part in ["s3", "events", target] {
            let name = Name::new(part.to_owned()).map_err(|_| from_fs(FsError::Invalid))?;
            dir = root.sub(dir, &name, MODE).await.map_err(from_fs)?.0.file;
        }
        Ok(dir)
    }

    /// Events of a target from a place on, oldest first.
    pub(super) async fn page_of_events(
        &self,
        root: &Files<V>,
        dir: FileId,
        from: Option<&Name>,
        limit: u32,
    ) -> S3Result<ListReply> {
        let request = List {
            dir,
            from: from.map(|name| Bytes::copy_from_slice(name.as_bytes())).unwrap_or_default(),
            past: from.is_some(),
            limit,
            value: Some(name(of_event::RECORD)),
        };
        root.list(request).await.map_err(from_fs)
    }
}
