//! The calling end.

use crate::frame::{Failure, Frame, Hello, Kind};
use crate::outbox::{Outbox, Sink, widen};
use crate::{FabricError, Handler, Limits, Message, Peer, Query, Token, Who};
use bytes::Bytes;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

/// How long the first words may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A reply and its payload.
pub type Answer<A> = Result<(A, Bytes), FabricError>;
type Local<Q, A> = dyn Fn(Q, Bytes) -> Pin<Box<dyn Future<Output = (A, Bytes)> + Send>> + Send + Sync;

/// Calls a peer. Clones share the connection, which ends with the last of them.
pub struct Client<Q, A> {
    way: Arc<Way<Q, A>>,
    room: Arc<Semaphore>,
}

impl<Q, A> Clone for Client<Q, A> {
    fn clone(&self) -> Self {
        Client { way: self.way.clone(), room: self.room.clone() }
    }
}

enum Way<Q, A> {
    InProcess(Box<Local<Q, A>>),
    Wire(Wire<A>),
}

struct Wire<A> {
    frames: Outbox,
    pending: Arc<Pending<A>>,
    next: AtomicU64,
    limits: Limits,
    /// Tells the reading task that nobody is left.
    _alive: watch::Sender<()>,
    /// Ends with the reading task.
    open: watch::Receiver<()>,
}

/// Calls without a reply yet; `None` once the connection has ended.
struct Pending<A>(Mutex<Option<HashMap<u64, oneshot::Sender<Answer<A>>>>>);

impl<A> Pending<A> {
    fn table(&self) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer<A>>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, id: u64) -> Option<oneshot::Sender<Answer<A>>> {
        self.table().as_mut()?.remove(&id)
    }

    /// Ends every call.
    fn close(&self) {
        for (_, waiter) in self.table().take().into_iter().flatten() {
            // A caller that has gone does not mind.
            let _ = waiter.send(Err(FabricError::Closed));
        }
    }
}

impl<Q: Query, A: Message> Client<Q, A> {
    /// Calls a handler in this process; values move without being written down.
    pub fn in_process<H: Handler<Q, A>>(handler: Arc<H>, limits: &Limits) -> Client<Q, A> {
        let peer = Peer::new(Who::InProcess);
        let local = move |query: Q, payload| -> Pin<Box<dyn Future<Output = (A, Bytes)> + Send>> {
            let (handler, peer) = (handler.clone(), peer.clone());
            Box::pin(async move { handler.handle(&peer, query, payload).await })
        };
        let room = Arc::new(Semaphore::new(limits.in_flight));
        Client { way: Arc::new(Way::InProcess(Box::new(local))), room }
    }

    /// Connects to the Unix socket at `path` for `service`.
    ///
    /// # Errors
    /// When nobody listens, or the peer refuses.
    pub async fn connect_unix(path: &Path, service: &str, limits: Limits) -> Result<Self, FabricError> {
        let stream = UnixStream::connect(path).await?;
        widen(&stream);
        let (from, to) = stream.into_split();
        Self::greet(from, to, Hello { service: service.to_owned(), token: None }, limits).await
    }

    /// Connects to `address` for `service` with the token that the listener knows.
    ///
    /// # Errors
    /// When nobody listens, or the peer refuses.
    pub async fn connect_tcp(
        address: SocketAddr,
        token: &Token,
        service: &str,
        limits: Limits,
    ) -> Result<Self, FabricError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (from, to) = stream.into_split();
        let hello = Hello { service: service.to_owned(), token: Some(*token.bytes()) };
        Self::greet(from, to, hello, limits).await
    }

    async fn greet<R, W>(from: R, mut to: W, hello: Hello, limits: Limits) -> Result<Self, FabricError>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Sink + Unpin,
    {
        let mut from = BufReader::with_capacity(64 * 1024, from);
        let welcome = async {
            Frame::new(Kind::Hello, 0, &hello, Bytes::new(), &limits)?.write(&mut to).await?;
            match Frame::read(&mut from, &limits).await? {
                Some(frame) if frame.kind == Kind::Welcome => Ok(()),
                Some(frame) if frame.kind == Kind::Refuse => {
                    Err(FabricError::Refused(postcard::from_bytes(&frame.meta)?))
                }
                Some(_) => Err(FabricError::Protocol("no welcome")),
                None => Err(FabricError::Closed),
            }
        };
        timeout(HANDSHAKE, welcome).await.map_err(|_| FabricError::TimedOut)??;
        let pending = Arc::new(Pending(Mutex::new(Some(HashMap::new()))));
        let frames = Outbox::new(to, limits.in_flight);
        let (alive, gone) = watch::channel(());
        let pending_end = pending.clone();
        let (reading, open) = watch::channel(());
        tokio::spawn(frames.clone().run());
        let reader = read_all(from, pending.clone(), gone, limits.clone());
        let ending = frames.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = reader => {}
                () = ending.closed() => {}
            }
            pending_end.close();
            ending.close();
            drop(reading);
        });
        let room = Arc::new(Semaphore::new(limits.in_flight));
        let wire = Wire { frames, pending, next: AtomicU64::new(1), limits, _alive: alive, open };
        Ok(Client { way: Arc::new(Way::Wire(wire)), room })
    }

    /// Sends a request and waits for its reply, at most for `deadline`.
    ///
    /// # Errors
    /// [`FabricError::Closed`] and [`FabricError::TimedOut`] leave open whether the request was
    /// carried out; the others say that it was not.
    pub async fn call(&self, query: Q, payload: Bytes, deadline: Option<Duration>) -> Answer<A> {
        match deadline {
            None => self.call_now(query, payload).await,
            Some(deadline) => {
                timeout(deadline, self.call_now(query, payload)).await.map_err(|_| FabricError::TimedOut)?
            }
        }
    }

    async fn call_now(&self, query: Q, payload: Bytes) -> Answer<A> {
        let waits = query.waits();
        let permit = if waits {
            None
        } else {
            Some(self.room.clone().acquire_owned().await.map_err(|_| FabricError::Closed)?)
        };
        match &*self.way {
            Way::InProcess(local) if waits => Ok(local(query, payload).await),
            Way::InProcess(local) => {
                // As over a wire: what was sent is carried out, though the caller may go away.
                let work = local(query, payload);
                let task = tokio::spawn(async move {
                    let answer = work.await;
                    drop(permit);
                    answer
                });
                task.await.map_err(|_| FabricError::Protocol("the peer has dropped the request"))
            }
            Way::Wire(wire) => wire.call(&query, waits, payload).await,
        }
    }

    /// Whether both use one connection.
    #[must_use]
    pub fn is_same(&self, other: &Client<Q, A>) -> bool {
        Arc::ptr_eq(&self.way, &other.way)
    }

    /// Waits until the connection has ended; for ever in this process.
    pub async fn closed(&self) {
        match &*self.way {
            Way::InProcess(_) => std::future::pending().await,
            Way::Wire(wire) => {
                // The reading task keeps the sender until the connection ends.
                let mut open = wire.open.clone();
                while open.changed().await.is_ok() {}
            }
        }
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &*self.way {
            Way::InProcess(_) => false,
            Way::Wire(wire) => wire.pending.table().is_none(),
        }
    }
}

impl<A: Message> Wire<A> {
    async fn call<Q: Query>(&self, query: &Q, waits: bool, payload: Bytes) -> Answer<A> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = Frame::new(Kind::Request, id, query, payload, &self.limits)?;
        let (answer, answered) = oneshot::channel();
        match &mut *self.pending.table() {
            Some(table) => table.insert(id, answer),
            None => return Err(FabricError::Closed),
        };
        let mut guard = Guard { wire: self, id, cancel: false };
        self.frames.send(frame).await?;
        guard.cancel = waits;
        let answer = answered.await;
        guard.cancel = false;
        answer.unwrap_or(Err(FabricError::Closed))
    }
}

/// Forgets a call whose caller has gone, and tells the peer when that stops the work.
struct Guard<'a, A> {
    wire: &'a Wire<A>,
    id: u64,
    cancel: bool,
}

impl<A> Drop for Guard<'_, A> {
    fn drop(&mut self) {
        self.wire.pending.take(self.id);
        if self.cancel {
            let (frames, frame) = (self.wire.frames.clone(), Frame::bare(Kind::Cancel, self.id));
            if let Err(Some(frame)) = frames.offer(frame) {
                // Only from a task of a runtime; elsewhere nobody is left to wait for room.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move { frames.send(frame).await });
                }
            }
        }
    }
}

async fn read_all<R: AsyncRead + Unpin, A: Message>(
    mut from: BufReader<R>,
    pending: Arc<Pending<A>>,
    mut gone: watch::Receiver<()>,
    limits: Limits,
) {
    loop {
        let frame = tokio::select! {
            frame = Frame::read(&mut from, &limits) => frame,
            _ = gone.changed() => break,
        };
        match frame {
            Ok(Some(frame)) => {
                let Some(waiter) = pending.take(frame.id) else { continue };
                // A caller that has gone does not mind.
                let _ = waiter.send(open(frame));
            }
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "a connection breaks");
                break;
            }
        }
    }
}

fn open<A: Message>(frame: Frame) -> Answer<A> {
    match frame.kind {
        Kind::Reply => Ok((postcard::from_bytes(&frame.meta)?, frame.payload)),
        Kind::Failure => Err(match postcard::from_bytes(&frame.meta)? {
            Failure::Busy => FabricError::Busy,
            Failure::Form => FabricError::Protocol("the peer does not understand the request"),
            Failure::TooLarge => FabricError::Protocol("the reply is over the peer's limits"),
            Failure::Lost => FabricError::Protocol("the peer has dropped the request"),
        }),
        _ => Err(FabricError::Protocol("not a reply")),
    }
}
