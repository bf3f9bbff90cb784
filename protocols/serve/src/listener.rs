//! Accepting connections within a budget, and draining them.

use crate::Shutdown;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Pause after a failure of accept, which is of the machine (no descriptors left) and not of a client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener may take up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; further ones are closed.
    pub connections: usize,
    /// How long a further one, and who comes after it, first waits for another to end.
    pub wait: Duration,
    /// How long connections may take to come to an end after the shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 4096, wait: Duration::ZERO, drain: Duration::from_secs(10) }
    }
}

/// Accepts connections and gives each to `handler` in a task of its own, until `shutdown` fires; then waits
/// for the handlers, which are expected to heed the same signal, and drops those that take too long.
pub async fn run<H, F>(listener: TcpListener, limits: Limits, mut shutdown: Shutdown, handler: H)
where
    H: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let budget = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut refused: u64 = 0;
    loop {
        tokio::select! {
            biased;
            () = shutdown.fired() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match place(&budget, limits.wait).await {
                    Some(permit) => {
                        // Replies go out whole; waiting for more to send would only delay them.
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%peer, %error, "no TCP_NODELAY");
                        }
                        let connection = handler(stream, peer);
                        connections.spawn(async move {
                            connection.await;
                            drop(permit);
                        });
                    }
                    None => {
                        refused += 1;
                        if refused.is_power_of_two() {
                            tracing::warn!(%peer, refused, limit = limits.connections, "connection budget is used up");
                        }
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained =
        tokio::time::timeout(limits.drain, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(left = connections.len(), "connections cut off after the drain time");
        connections.shutdown().await;
    }
}

/// Room for a connection.
async fn place(budget: &Arc<Semaphore>, wait: Duration) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(budget).try_acquire_owned() {
        return Some(permit);
    }
    if wait.is_zero() {
        return None;
    }
    tokio::time::timeout(wait, Arc::clone(budget).acquire_owned()).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn echo(mut stream: TcpStream, mut shutdown: Shutdown) {
        let mut byte = [0];
        loop {
            tokio::select! {
                () = shutdown.fired() => return,
                read = stream.read_exact(&mut byte) => {
                    if read.is_err() || stream.write_all(&byte).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn served(limits: Limits) -> (SocketAddr, crate::Trigger, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, signal) = crate::shutdown();
        let handlers = signal.clone();
        let server = run(listener, limits, signal, move |stream, _| echo(stream, handlers.clone()));
        (address, trigger, tokio::spawn(server))
    }

    async fn ask(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        stream.write_all(b"x").await.is_ok() && matches!(stream.read(&mut byte).await, Ok(1))
    }

    #[tokio::test]
    async fn connections_over_the_budget_are_closed_and_the_others_drained() {
        let limits = Limits { connections: 1, drain: Duration::from_secs(60), ..Limits::default() };
        let (address, trigger, server) = served(limits).await;

        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await);
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(!ask(&mut second).await);
        assert!(ask(&mut first).await);
        trigger.fire();
        server.await.unwrap();
        assert!(!ask(&mut first).await);
    }

    #[tokio::test]
    async fn where_connections_may_wait_one_is_served_as_soon_as_another_ends() {
        let limits = Limits { connections: 1, wait: Duration::from_secs(60), ..Limits::default() };
        let (address, trigger, server) = served(limits).await;

        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await);
        let mut second = TcpStream::connect(address).await.unwrap();
        let waiting = tokio::spawn(async move { ask(&mut second).await });
        assert!(ask(&mut first).await, "whoever is served goes on");
        drop(first);
        assert!(waiting.await.unwrap());
        trigger.fire();
        server.await.unwrap();
    }
}
