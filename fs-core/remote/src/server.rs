//! The daemon's end: answers requests, and ends clients that have gone for good.

use crate::coherent::{Coherent, TRUST};
use crate::wire::{self, Ask, Tell};
use bytes::Bytes;
use fabric::{Handler, Peer, Token};
use locking::Mark;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use types::{Cred, FileId, FsError, FsId, Leased};
use vfs::{
    ClientId, Ctx, DirEntry, EndClient, GetAttrReply, LookupReply, Open, OpenReply, OpenTarget, ReadDirReply,
    Reply, Request, Vfs,
};

/// How the daemon serves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// This life of the daemon: another number in each.
    pub instance: u64,
    /// How long opens and locks of a client without connection are kept.
    pub client_lease: Duration,
}

/// Serves `vfs` to processes of this user and of the superuser until `shutdown`.
pub async fn serve_unix<V: Vfs>(
    vfs: Arc<Coherent<V>>,
    listener: UnixListener,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    let service = Service::new(vfs, options);
    fabric::serve_unix(listener, wire::SERVICE, service, wire::limits(), shutdown).await;
}

/// Serves `vfs` to whoever knows `token` until `shutdown`.
pub async fn serve_tcp<V: Vfs>(
    vfs: Arc<Coherent<V>>,
    listener: TcpListener,
    token: Token,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    let service = Service::new(vfs, options);
    fabric::serve_tcp(listener, token, wire::SERVICE, service, wire::limits(), shutdown).await;
}

/// Shared with the tasks that end clients.
struct Service<V> {
    vfs: Arc<Coherent<V>>,
    options: ServeOptions,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Default)]
struct Clients {
    /// The connections of each client that has opens or locks here.
    of: HashMap<ClientId, HashSet<u64>>,
    /// Farewells that have been cancelled by a return differ in this.
    turn: u64,
    /// The turn in which a client was left without connection.
    left: HashMap<ClientId, u64>,
}

impl<V: Vfs> Service<V> {
    fn new(vfs: Arc<Coherent<V>>, options: ServeOptions) -> Arc<Service<V>> {
        Arc::new(Service { vfs, options, clients: Arc::default() })
    }

    /// Says for how long `client` may trust what it hears, that was read since `mark`; names are in `dir`.
    fn let_trust(&self, client: ClientId, dir: Option<FileId>, heard: &mut Reply, mark: Mark) {
        let lasts = |granted: bool| if granted { TRUST } else { Duration::ZERO };
        let attributes = |file| self.vfs.grant(client, Leased::Attributes(file), mark);
        let names = |file| self.vfs.grant(client, Leased::Names(file), mark);
        let trusts_names = dir.is_some_and(|dir| self.vfs.lets_trust_names(dir));
        match heard {
            Reply::GetAttr(GetAttrReply { attr, trust }) => *trust = lasts(attributes(attr.file)),
            Reply::Lookup(LookupReply { attr, trust, name_trust }) => {
                *trust = lasts(attributes(attr.file));
                *name_trust = lasts(trusts_names && names(attr.file));
            }
            Reply::Open(OpenReply { created: true, attr, trust, .. }) => {
                *trust = lasts(trusts_names && names(attr.file) && attributes(attr.file));
            }
            Reply::ReadDir(ReadDirReply { entries, .. }) if trusts_names => {
                for DirEntry { file, attr, trust, .. } in entries {
                    *trust = lasts(attr.is_some() && names(*file) && attributes(*file));
                }
            }
            _ => {}
        }
    }

    fn hello(&self, peer: &Peer, client: ClientId, mounted: Option<FsId>) -> Tell {
        self.vfs.mounts(peer.connection, mounted);
        let mut clients = self.clients.lock();
        let known = clients.of.contains_key(&client);
        clients.of.entry(client).or_default().insert(peer.connection);
        clients.left.remove(&client);
        Tell::Hello { instance: self.options.instance, known }
    }
}

impl<V: Vfs> Handler<Ask, Tell> for Service<V> {
    async fn handle(&self, peer: &Peer, ask: Ask, payload: Bytes) -> (Tell, Bytes) {
        match ask {
            Ask::Hello { client, mounted } => (self.hello(peer, client, mounted), Bytes::new()),
            Ask::Do { request, .. } if request.is_of_heads() => {
                (Tell::Done(Err(FsError::NotSupported)), Bytes::new())
            }
            Ask::Do { ctx, request } => {
                let mark = self.vfs.mark();
                let dir = match &request {
                    Request::Lookup(lookup) => Some(lookup.dir),
                    Request::ReadDir(list) => Some(list.dir),
                    Request::Open(Open { target: OpenTarget::Entry { dir, .. }, .. }) => Some(*dir),
                    _ => None,
                };
                let mut reply = wire::join_request(request, payload).run(&*self.vfs, &ctx).await;
                if let Ok(Reply::Filesystem(found)) = &reply {
                    self.vfs.mounts(peer.connection, Some(found.root.fs));
                }
                // What is said again may be of long ago.
                if let Ok(heard) = &mut reply
                    && !ctx.again
                {
                    self.let_trust(ctx.client, dir, heard, mark);
                }
                let (reply, data) = wire::split_reply(reply);
                (Tell::Done(reply), data)
            }
            Ask::Changes { client } => (Tell::Changes(self.vfs.changes(client).await), Bytes::new()),
            Ask::Forgotten { told } => {
                self.vfs.forgotten(&told);
                (Tell::Noted, Bytes::new())
            }
        }
    }

    fn gone(&self, peer: &Peer) {
        self.vfs.mounts(peer.connection, None);
        let mut clients = self.clients.lock();
        let lonely: Vec<ClientId> = clients
            .of
            .iter_mut()
            .filter_map(|(client, connections)| {
                (connections.remove(&peer.connection) && connections.is_empty()).then_some(*client)
            })
            .collect();
        // Outside a runtime the process is ending, and everything of its clients with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for client in lonely {
            self.vfs.deaf(client);
            clients.turn += 1;
            let turn = clients.turn;
            clients.left.insert(client, turn);
            let (vfs, all, lease) = (self.vfs.clone(), self.clients.clone(), self.options.client_lease);
            runtime.spawn(async move {
                tokio::time::sleep(lease).await;
                {
                    let mut all = all.lock();
                    if all.left.get(&client) != Some(&turn) {
                        return;
                    }
                    all.left.remove(&client);
                    all.of.remove(&client);
                }
                let ctx = Ctx { client, ..Ctx::new(Cred::root()) };
                if let Err(error) = vfs.end_client(&ctx, EndClient { client }).await {
                    tracing::warn!(%error, "opens and locks of a client that is gone stay");
                }
            });
        }
    }
}
