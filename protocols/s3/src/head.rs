//! The head: what all requests share.

use crate::account::{Account, Accounts};
use crate::budget::Budget;
use crate::events::{Events, Webhook};
use crate::files::Files;
use crate::hasher::Hasher;
use crate::key::ObjectPath;
use env::{Clock, Random};
use parking_lot::Mutex;
use s3s::auth::Credentials;
use s3s::{S3Result, s3_error};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use types::{Cred, FileId, Guard, Time};
use vfs::Vfs;

/// What an administrator decides.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The filesystem that buckets are in.
    pub filesystem: String,
    /// The directory in it that they are in.
    pub root: String,
    /// The region that buckets say they are in.
    pub region: String,
    /// Domains below which a bucket's name may stand in a request's host.
    pub domains: Vec<String>,
    /// Connections at a time.
    pub connections: usize,
    /// How long a client may take for the head of a request, and for each step of its body.
    pub patience: Duration,
    /// Where events can be sent to.
    pub webhooks: Vec<Webhook>,
    /// Between two passes over what lifecycle rules say.
    pub lifecycle_period: Duration,
    /// The length of a day of these rules, in seconds; another than that of a day is for trials.
    pub lifecycle_day: i64,
}

impl Default for S3Config {
    fn default() -> S3Config {
        S3Config {
            filesystem: "default".to_owned(),
            root: "/buckets".to_owned(),
            region: "us-east-1".to_owned(),
            domains: vec!["localhost".to_owned()],
            connections: 4096,
            patience: Duration::from_secs(60),
            webhooks: Vec::new(),
            lifecycle_period: Duration::from_secs(3600),
            lifecycle_day: 86_400,
        }
    }
}

pub(crate) struct Inner<V> {
    pub(crate) vfs: Arc<V>,
    pub(crate) config: S3Config,
    pub(crate) accounts: Accounts,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) events: Events,
    /// For bodies on their way.
    pub(crate) budget: Budget,
    pub(crate) hasher: Hasher,
    /// The way from the root to the directory that buckets are in, once it was found.
    pub(crate) buckets: Mutex<Vec<FileId>>,
    /// Guards that directories are known to have at least.
    pub(crate) guards: Mutex<HashMap<FileId, Guard>>,
    /// Changes of one key come one after the other; a lock is of many keys.
    pub(crate) keys: Vec<AsyncMutex<()>>,
}

/// Locks of keys.
pub(crate) const KEY_LOCKS: usize = 1024;

/// Serves one file system as S3. Cheap to clone.
pub(crate) struct Head<V>(pub(crate) Arc<Inner<V>>);

impl<V> Clone for Head<V> {
    fn clone(&self) -> Head<V> {
        Head(self.0.clone())
    }
}

/// From where a request came, and with what; in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) uri: http::Uri,
    /// The request's id.
    pub(crate) id: String,
    /// Through HTTPS.
    pub(crate) secure: bool,
}

/// Who asks: nobody in particular without a key.
pub(crate) type Caller = Option<Arc<Account>>;

impl<V: Vfs> Head<V> {
    pub(crate) fn files(&self, cred: Cred) -> Files<V> {
        Files::new(self.0.vfs.clone(), cred)
    }

    /// Whose key a request was signed with.
    ///
    /// # Errors
    /// `InvalidAccessKeyId` when it was taken back meanwhile.
    pub(crate) fn caller(&self, credentials: Option<&Credentials>) -> S3Result<Caller> {
        let Some(credentials) = credentials else { return Ok(None) };
        let key = self.0.accounts.key(&credentials.access_key);
        let key = key.ok_or_else(|| s3_error!(InvalidAccessKeyId))?;
        Ok(Some(key.account))
    }

    /// The present.
    pub(crate) fn now(&self) -> Time {
        self.0.clock.now()
    }

    /// Until it is dropped, nobody else changes what stands at a key.
    pub(crate) async fn lock_key(&self, dir: &FileId, path: &ObjectPath) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        dir.hash(&mut hasher);
        path.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % KEY_LOCKS as u64).unwrap_or(0);
        self.0.keys[at].lock().await
    }

    /// Bits that nobody can guess.
    pub(crate) fn random(&self) -> u64 {
        self.0.random.next()
    }
}
