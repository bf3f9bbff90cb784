//! A drive's end of the fabric.

use super::wire::{self, Ask, Tell};
use bytes::Bytes;
use drive::ChunkStore;
use fabric::{Handler, Peer, Token};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

/// Serves a drive of `cluster` to whoever knows `token` until `shutdown`; then connections end, and what was received
/// is finished.
pub async fn serve_drive_tcp(
    store: Arc<ChunkStore>,
    cluster: &[u8; 16],
    listener: TcpListener,
    token: Token,
    shutdown: impl Future<Output = ()> + Send,
) {
    let service = wire::service(cluster, store.drive());
    fabric::serve_tcp(listener, token, &service, Arc::new(Door { store }), wire::limits(), shutdown).await;
}

/// As [`serve_drive_tcp`], to processes of this user and of the superuser.
pub async fn serve_drive_unix(
    store: Arc<ChunkStore>,
    cluster: &[u8; 16],
    listener: UnixListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let service = wire::service(cluster, store.drive());
    fabric::serve_unix(listener, &service, Arc::new(Door { store }), wire::limits(), shutdown).await;
}

struct Door {
    store: Arc<ChunkStore>,
}

impl Handler<Ask, Tell> for Door {
    async fn handle(&self, _: &Peer, ask: Ask, payload: Bytes) -> (Tell, Bytes) {
        let outcome = match wire::join_request(ask, payload) {
            Ok(request) => self.store.call(request).await,
            Err(error) => Err(error),
        };
        wire::split_reply(outcome)
    }
}
