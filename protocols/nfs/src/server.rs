//! The server: what all connections share.

use crate::clients::{Bounds, Client, Clients, Ended};
use crate::connection;
use crate::delegations;
use crate::exports::ExportTable;
use crate::groups::Groups;
use crate::session::Session;
use crate::{NfsConfig, status};
use bytes::Bytes;
use nfs_wire::Status;
use serve::{Limits, Shutdown};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::{Cred, FsError};
use vfs::{Ctx, EndClient, ForgetRequests, Head, KeepClient, KeptClients, Vfs};
use xdr::rpc::AuthSys;

/// How long running requests may take to end at a shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// Clients whose state is given up at the same time: it is written down that they have ended, which costs the same for
/// many as for one.
const ENDING_MAX: usize = 256;

/// Pause before it is tried again to give up the state of a client.
const END_PAUSE: Duration = Duration::from_secs(1);

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
    groups: Option<Groups>,
}

impl<V: Vfs> Server<V> {
    /// A server that is not listening yet, and knows the clients of its former life.
    ///
    /// # Errors
    /// Those of the file system, and [`FsError::Io`] when what was kept of a client cannot be understood.
    pub async fn open(vfs: Arc<V>, config: NfsConfig) -> Result<Server<V>, FsError> {
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
            groups: config.groups.clone().map(Groups::new),
            config,
        };
        shared.recall().await?;
        let shared = Arc::new(shared);
        let weak = Arc::downgrade(&shared);
        shared.vfs.answer_for_holders(shared.config.lease, move |question| {
            let shared = weak.upgrade();
            async move {
                match shared {
                    Some(shared) => delegations::answer(shared, question).await,
                    None => false,
                }
            }
        });
        Ok(Server { shared })
    }

    /// Serves connections of `listener` until `shutdown`, then ends the running requests and returns.
    pub async fn serve(&self, listener: TcpListener, shutdown: Shutdown) {
        let limits =
            Limits { connections: self.shared.config.connections, drain: DRAIN, ..Limits::default() };
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
}

/// Gives up what the client had; says whether that could be done.
async fn ends<V: Vfs>(vfs: &V, client: &Client) -> bool {
    let ctx = Ctx { client: client.vfs, ..Ctx::new(Cred::root()) };
    let ended = vfs.end_client(&ctx, EndClient { client: client.vfs }).await;
    if let Err(error) = &ended {
        tracing::warn!(client = client.id, %error, "a client's state could not be given up yet");
    }
    ended.is_ok()
}

impl<V: Vfs> Shared<V> {
    pub(crate) fn exports(&self) -> ExportTable {
        self.exports.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The groups that a caller is in: as this machine knows them when it is asked to, else as the caller says.
    pub(crate) fn groups_of(&self, caller: &AuthSys) -> Arc<[u32]> {
        let known = self.groups.as_ref().and_then(|groups| groups.of(caller.uid, Instant::now()));
        known.unwrap_or_else(|| caller.gids.iter().copied().collect())
    }

    /// Takes in the clients of a former life.
    async fn recall(&self) -> Result<(), FsError> {
        let (now, ctx) = (Instant::now(), Ctx::new(Cred::root()));
        let mut after = None;
        loop {
            let reply = self.vfs.kept_clients(&ctx, KeptClients { head: Head::Nfs, after }).await?;
            after = reply.clients.last().map(|(client, _)| *client);
            for (client, kept) in reply.clients {
                self.clients.recall(client, kept, now)?;
            }
            if reply.end || after.is_none() {
                break;
            }
        }
        self.end_clients(self.clients.take_strays()).await;
        Ok(())
    }

    /// Keeps what has to be known of a client after a restart.
    pub(crate) async fn keep(&self, client: &Client, data: Bytes) -> Result<(), Status> {
        let ctx = Ctx { client: client.vfs, ..Ctx::new(Cred::root()) };
        let request = KeepClient { client: client.vfs, head: Head::Nfs, data };
        self.vfs.keep_client(&ctx, request).await.map_err(status::status)
    }

    /// A session is out of the table, and nothing of it needs to be kept. What stays when this fails does no harm, and
    /// goes with the client.
    pub(crate) async fn forget_session(&self, session: &Session) {
        let client = &session.client;
        let _one = client.recording.lock().await;
        if let Some(record) = self.clients.record(client)
            && let Err(status) = self.keep(client, record).await
        {
            tracing::warn!(?status, "a session that was destroyed is still kept");
        }
        if client.state().ended {
            self.end_clients(vec![Arc::clone(client)]).await;
        }
        let ctx = Ctx { client: client.vfs, ..Ctx::new(Cred::root()) };
        let request = ForgetRequests { client: client.vfs.0, channels: session.channels() };
        if let Err(error) = self.vfs.forget_requests(&ctx, request).await {
            tracing::warn!(%error, "replies of a session that was destroyed are still kept");
        }
    }

    /// Gives up what clients had that are out of the table.
    pub(crate) async fn end_clients(&self, ended: Ended) {
        let mut ending = JoinSet::new();
        for client in ended {
            if ending.len() >= ENDING_MAX {
                ending.join_next().await;
            }
            let vfs = Arc::clone(&self.vfs);
            ending.spawn(async move {
                if !ends(&*vfs, &client).await {
                    // Nobody waits for it, but somebody may be waiting for what it holds.
                    tokio::spawn(async move {
                        while !ends(&*vfs, &client).await {
                            tokio::time::sleep(END_PAUSE).await;
                        }
                    });
                }
            });
        }
        while ending.join_next().await.is_some() {}
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

    /// Lets go of a client whose lease has run out.
    pub(crate) async fn evict(&self, client: &Client) {
        let mut ended = Ended::new();
        self.clients.evict(client, Instant::now(), &mut ended);
        self.end_clients(ended).await;
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
