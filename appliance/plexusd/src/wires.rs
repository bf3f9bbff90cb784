//! How the roles of this daemon reach each other: as calls, or all through TCP on this machine.

use config::Transport;
use data::{ChunkPeer, RemoteDrive};
use drive::ChunkStore;
use env::Random;
use fabric::{Address, Token};
use metadata::{Anywhere, Member, RemoteShard, serve_shard_tcp};
use parking_lot::Mutex;
use serve::{Shutdown, Trigger};
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use types::ShardId;

/// Where the kernel chooses the port.
const ANY_PORT: &str = "127.0.0.1:0";

/// How roles reach each other.
#[derive(Clone)]
pub(crate) enum Wires {
    Local,
    /// Behind a secret of this life of the daemon.
    Tcp(Token),
}

impl Wires {
    pub(crate) fn new(transport: Transport, random: &dyn Random) -> Wires {
        match transport {
            Transport::Local => Wires::Local,
            Transport::Tcp => {
                let mut secret = [0; 32];
                random.fill(&mut secret);
                Wires::Tcp(Token::new(secret))
            }
        }
    }

    /// A port of this machine, and the secret; `None` where roles call each other.
    pub(crate) async fn listen(&self) -> io::Result<Option<(TcpListener, Token)>> {
        match self {
            Wires::Local => Ok(None),
            Wires::Tcp(token) => Ok(Some((TcpListener::bind(ANY_PORT).await?, token.clone()))),
        }
    }

    /// The way to a drive of `cluster`, and its server where there is one.
    pub(crate) async fn drive(
        &self,
        chunks: &Arc<ChunkStore>,
        cluster: &[u8; 16],
    ) -> io::Result<(Arc<dyn ChunkPeer>, Served)> {
        let Some((listener, token)) = self.listen().await? else {
            return Ok((Arc::new(chunks.clone()), Served::nothing()));
        };
        let address = Address::Tcp(listener.local_addr()?, token.clone());
        let peer = RemoteDrive::new(address, cluster, chunks.drive());
        let (chunks, cluster) = (chunks.clone(), *cluster);
        let served = Served::run(|mut stopped| async move {
            data::serve_drive_tcp(chunks, &cluster, listener, token, stopped.fired()).await;
        });
        Ok((Arc::new(peer), served))
    }

    /// The way to a shard of `cluster`, and its server where there is one.
    pub(crate) async fn shard<M: Member + Clone>(
        &self,
        here: M,
        cluster: &[u8; 16],
        id: ShardId,
    ) -> io::Result<(Anywhere<M>, Served)> {
        let Some((listener, token)) = self.listen().await? else {
            return Ok((Anywhere::Here(here), Served::nothing()));
        };
        let address = Address::Tcp(listener.local_addr()?, token.clone());
        let there = RemoteShard::new(&address, cluster, id);
        let cluster = *cluster;
        let served = Served::run(|mut stopped| async move {
            serve_shard_tcp(here, (&cluster, id), listener, token, stopped.fired()).await;
        });
        Ok((Anywhere::There(there), served))
    }
}

/// Something that is served until this is dropped.
pub(crate) struct Served(Mutex<Option<(Trigger, JoinHandle<()>)>>);

impl Served {
    fn nothing() -> Served {
        Served(Mutex::new(None))
    }

    fn run<F: Future<Output = ()> + Send + 'static>(server: impl FnOnce(Shutdown) -> F) -> Served {
        let (stop, stopped) = serve::shutdown();
        Served(Mutex::new(Some((stop, tokio::spawn(server(stopped))))))
    }

    /// Ends the server and its connections; what it has received is still finished.
    pub(crate) async fn stop(&self) {
        let running = self.0.lock().take();
        let Some((stop, server)) = running else { return };
        stop.fire();
        if let Err(error) = server.await {
            tracing::error!(%error, "a server of a role ended badly");
        }
    }
}
