//! The server: what all connections share.

use crate::clients::{Bounds, Client, Clients, Ended};
use crate::connection;
use crate::exports::ExportTable;
use crate::{NfsConfig, status};
use nfs_wire::Status;
use serve::{Limits, Shutdown};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use types::Cred;
use vfs::{Ctx, EndClient, Vfs};

/// How long running requests may take to end at a shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// An NFS server over a file system. Cloning shares it.
pub struct Server<V> {
    shared: Arc<Shared<V>>,
}

impl<V> Clone for Server<V> {
    fn clone(&self) -> Server<V> {
        Server { shared: Arc::clone(&self.shared) }
    }
}

pub(crate) struct Shared<V> {
    pub(crate) vfs: Arc<V>,
    pub(crate) config: NfsConfig,
    pub(crate) clients: Clients,
    pub(crate) requests: Arc<Semaphore>,
    exports: RwLock<ExportTable>,
    grace_until: Instant,
    grace_ended: AtomicBool,
}

impl<V: Vfs> Server<V> {
    /// A server that is not listening yet; its grace period begins now.
    #[must_use]
    pub fn new(vfs: Arc<V>, config: NfsConfig) -> Server<V> {
        let clients = Clients::new(Bounds {
            instance: config.instance,
            lease: config.lease,
            clients: config.clients,
            states_per_client: config.states_per_client,
            slots: config.slots,
        });
        let shared = Shared {
            vfs,
            clients,
            requests: Arc::new(Semaphore::new(config.requests)),
            exports: RwLock::new(config.exports.clone()),
            grace_until: Instant::now() + config.grace,
            grace_ended: AtomicBool::new(config.grace.is_zero()),
            config,
        };
        Server { shared: Arc::new(shared) }
    }

    /// Serves connections of `listener` until `shutdown`, then ends the running requests and returns.
    pub async fn serve(&self, listener: TcpListener, shutdown: Shutdown) {
        let limits = Limits { connections: self.shared.config.connections, drain: DRAIN };
        let shared = &self.shared;
        let connections = serve::run(listener, limits, shutdown.clone(), |stream, peer| {
            connection::run(Arc::clone(shared), stream, peer, shutdown.clone())
        });
        tokio::select! {
            () = connections => {}
            () = shared.expire_forever() => {}
        }
    }

    /// Replaces the exports. Handles of exports that are gone become stale.
    pub fn set_exports(&self, exports: ExportTable) {
        *self.shared.exports.write().unwrap_or_else(PoisonError::into_inner) = exports;
    }

    /// Ends the grace period before its time, when nobody is left who could reclaim.
    pub fn end_grace(&self) {
        self.shared.grace_ended.store(true, Ordering::Release);
    }
}

impl<V: Vfs> Shared<V> {
    pub(crate) fn exports(&self) -> ExportTable {
        self.exports.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether only reclaims are served.
    pub(crate) fn in_grace(&self) -> bool {
        !self.grace_ended.load(Ordering::Acquire) && Instant::now() < self.grace_until
    }

    /// Gives up what clients had that are out of the table.
    pub(crate) async fn end_clients(&self, ended: Ended) {
        for client in ended {
            let ctx = Ctx { cred: Cred::root(), client: client.vfs, request: None };
            if let Err(error) = self.vfs.end_client(&ctx, EndClient { client: client.vfs }).await {
                tracing::error!(client = client.id, %error, "a client's state could not be given up");
            }
        }
    }

    /// Lets go of clients whose lease has run out, because somebody wants what they hold. Says whether
    /// there were any.
    pub(crate) async fn evict_silent(&self, for_client: &Client) -> bool {
        let mut ended = Ended::new();
        self.clients.expire(Instant::now(), self.config.lease, Some(for_client.id), &mut ended);
        let any = !ended.is_empty();
        self.end_clients(ended).await;
        any
    }

    async fn expire_forever(&self) {
        let after = self.config.lease + self.config.courtesy;
        let mut ticks = tokio::time::interval((self.config.lease / 4).max(Duration::from_millis(10)));
        loop {
            ticks.tick().await;
            let mut ended = Ended::new();
            self.clients.expire(Instant::now(), after, None, &mut ended);
            self.end_clients(ended).await;
        }
    }

    /// The root of an export's filesystem, asked anew.
    pub(crate) async fn export_root(
        &self,
        export: &crate::exports::Exported,
    ) -> Result<types::FileId, Status> {
        let request = vfs::Filesystem { name: export.rules.filesystem.clone() };
        let reply = self.vfs.filesystem(&Ctx::new(Cred::root()), request).await.map_err(status::status)?;
        export.set_root(reply.root);
        Ok(reply.root)
    }
}
