//! A way to a peer: connected when it is needed, and again after it has ended.

use crate::client::Answer;
use crate::{Client, FabricError, Limits, Message, Query, Token};
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);

/// Where a peer listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port, with the token that it knows.
    Tcp(SocketAddr, Token),
}

impl Address {
    /// Connects for `service`.
    ///
    /// # Errors
    /// When nobody listens, or the peer refuses.
    pub async fn connect<Q: Query, A: Message>(
        &self,
        service: &str,
        limits: Limits,
    ) -> Result<Client<Q, A>, FabricError> {
        match self {
            Address::Unix(path) => Client::connect_unix(path, service, limits).await,
            Address::Tcp(address, token) => Client::connect_tcp(*address, token, service, limits).await,
        }
    }
}

/// Calls one service of one peer, over one connection at a time.
pub struct Link<Q, A> {
    /// `None` where there is only one connection, and never another.
    address: Option<Address>,
    service: String,
    limits: Limits,
    state: Mutex<State<Q, A>>,
}

struct State<Q, A> {
    client: Option<Client<Q, A>>,
    /// When the last try to connect failed.
    failed: Option<Instant>,
}

impl<Q: Query, A: Message> Link<Q, A> {
    /// To what listens at `address` for `service`; nothing is connected yet.
    #[must_use]
    pub fn new(address: Address, service: String, limits: Limits) -> Link<Q, A> {
        let state = Mutex::new(State { client: None, failed: None });
        Link { address: Some(address), service, limits, state }
    }

    /// Over a connection that there is.
    #[must_use]
    pub fn over(client: Client<Q, A>) -> Link<Q, A> {
        let state = Mutex::new(State { client: Some(client), failed: None });
        Link { address: None, service: String::new(), limits: Limits::default(), state }
    }

    /// As [`Client::call`], over the present connection or a new one.
    ///
    /// # Errors
    /// Those of [`Client::call`], and of connecting: then the request was not carried out.
    pub async fn call(&self, query: Q, payload: Bytes, deadline: Option<Duration>) -> Answer<A> {
        self.client().await?.call(query, payload, deadline).await
    }

    /// The present connection, or a new one.
    ///
    /// # Errors
    /// When nobody listens, or the peer refuses.
    pub async fn client(&self) -> Result<Client<Q, A>, FabricError> {
        let called = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(client) = state.client.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        state.client = None;
        let Some(address) = &self.address else { return Err(FabricError::Closed) };
        // Whoever has waited for a try of another's has its outcome.
        if state.failed.is_some_and(|failed| failed >= called) {
            return Err(FabricError::Closed);
        }
        let connecting = address.connect(&self.service, self.limits.clone());
        let connected = timeout(CONNECT, connecting).await.unwrap_or(Err(FabricError::TimedOut));
        match connected {
            Ok(client) => {
                state.client = Some(client.clone());
                Ok(client)
            }
            Err(error) => {
                state.failed = Some(Instant::now());
                Err(error)
            }
        }
    }
}
