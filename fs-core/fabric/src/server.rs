//! The answering end.

use crate::frame::{Failure, Frame, Hello, Kind};
use crate::outbox::{Outbox, Sink, widen};
use crate::{FabricError, Handler, Limits, Message, Query, Token};
use bytes::Bytes;
use env::start_here;
use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// How long the first words may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to leave a listener alone that has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// Requests with a larger payload are not begun by the task that reads the next ones.
const LIGHT_BYTES: usize = 64 << 10;

/// Who calls, through which connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which connection: a number of its own among all of this process.
    pub connection: u64,
    /// Who is at its other end.
    pub who: Who,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub enum Who {
    /// This process.
    InProcess,
    /// A process of this machine.
    Unix {
        /// Its user.
        uid: u32,
    },
    /// Somebody who knows the token.
    Tcp(SocketAddr),
}

impl Peer {
    /// A connection within this process, for who gives a handler requests himself.
    #[must_use]
    pub fn of_this_process() -> Peer {
        Peer::new(Who::InProcess)
    }

    pub(crate) fn new(who: Who) -> Peer {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Peer { connection: NEXT.fetch_add(1, Ordering::Relaxed), who }
    }
}

/// Tells the handler when a connection has ended, however it has.
struct Gone<'a, Q: Query, A: Message, H: Handler<Q, A>> {
    handler: &'a H,
    peer: &'a Peer,
    form: PhantomData<(Q, A)>,
}

impl<Q: Query, A: Message, H: Handler<Q, A>> Drop for Gone<'_, Q, A, H> {
    fn drop(&mut self) {
        self.handler.gone(self.peer);
    }
}

/// Serves `service` to processes of this user and of the superuser until `shutdown`; then connections end.
pub async fn serve_unix<Q: Query, A: Message, H: Handler<Q, A>>(
    listener: UnixListener,
    service: &str,
    handler: Arc<H>,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let own = rustix::process::geteuid().as_raw();
    let mut house = House::new(service, None, handler, limits);
    let mut shutdown = pin!(shutdown);
    loop {
        let permit = house.room().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(credentials) = stream.peer_cred() else { continue };
        let uid = credentials.uid();
        widen(&stream);
        let (from, to) = stream.into_split();
        let refusal = (uid != own && uid != 0).then(|| format!("user {uid} may not use this socket"));
        house.take(Peer::new(Who::Unix { uid }), from, to, refusal, permit);
    }
}

/// Serves `service` to whoever knows `token` until `shutdown`; then connections end.
pub async fn serve_tcp<Q: Query, A: Message, H: Handler<Q, A>>(
    listener: TcpListener,
    token: Token,
    service: &str,
    handler: Arc<H>,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut house = House::new(service, Some(token), handler, limits);
    let mut shutdown = pin!(shutdown);
    loop {
        let permit = house.room().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(PAUSE).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "replies to this peer may be slow");
        }
        let (from, to) = stream.into_split();
        house.take(Peer::new(Who::Tcp(address)), from, to, None, permit);
    }
}

/// A listener's connections; they end with it.
struct House<H> {
    door: Arc<Door<H>>,
    connections: JoinSet<()>,
    room: Arc<Semaphore>,
}

struct Door<H> {
    service: String,
    token: Option<Token>,
    handler: Arc<H>,
    limits: Limits,
}

impl<H> House<H> {
    fn new(service: &str, token: Option<Token>, handler: Arc<H>, limits: Limits) -> House<H> {
        let room = Arc::new(Semaphore::new(limits.connections.max(1)));
        let door = Arc::new(Door { service: service.to_owned(), token, handler, limits });
        House { door, connections: JoinSet::new(), room }
    }

    /// Waits for room for one more connection.
    async fn room(&mut self) -> Option<OwnedSemaphorePermit> {
        while self.connections.try_join_next().is_some() {}
        self.room.clone().acquire_owned().await.ok()
    }

    fn take<Q, A, R, W>(
        &mut self,
        peer: Peer,
        from: R,
        to: W,
        refusal: Option<String>,
        permit: Option<OwnedSemaphorePermit>,
    ) where
        Q: Query,
        A: Message,
        H: Handler<Q, A>,
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Sink + Unpin,
    {
        let door = self.door.clone();
        self.connections.spawn(async move {
            if let Err(error) = door.connection(&peer, from, to, refusal).await {
                tracing::debug!(%error, ?peer, "a connection breaks");
            }
            drop(permit);
        });
    }
}

impl<H> Door<H> {
    async fn connection<Q, A, R, W>(
        &self,
        peer: &Peer,
        from: R,
        mut to: W,
        refusal: Option<String>,
    ) -> Result<(), FabricError>
    where
        Q: Query,
        A: Message,
        H: Handler<Q, A>,
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Sink + Unpin,
    {
        let mut from = BufReader::with_capacity(64 * 1024, from);
        let greeting = timeout(HANDSHAKE, self.greet(&mut from)).await.map_err(|_| FabricError::TimedOut)?;
        if let Some(reason) = refusal.or(greeting.err()) {
            Frame::new(Kind::Refuse, 0, &reason, Bytes::new(), &self.limits)?.write(&mut to).await?;
            return Err(FabricError::Refused(reason));
        }
        let _gone = Gone { handler: &*self.handler, peer, form: PhantomData::<(Q, A)> };
        Frame::bare(Kind::Welcome, 0).write(&mut to).await?;
        // Closed and dropped with this function: the stream, its writer and handlers that wait end together.
        let replies = Closing(Outbox::new(to, self.limits.in_flight));
        let mut tasks = JoinSet::new();
        tasks.spawn(replies.0.clone().run());
        self.requests::<Q, A>(peer, from, &replies.0, &mut tasks).await
    }

    async fn greet(&self, from: &mut (impl AsyncRead + Unpin)) -> Result<(), String> {
        let limits = Limits { meta_bytes: 1024, payload_bytes: 0, ..self.limits.clone() };
        let frame = match Frame::read(from, &limits).await {
            Ok(Some(frame)) if frame.kind == Kind::Hello => frame,
            Ok(_) => return Err("no greeting".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let hello: Hello = postcard::from_bytes(&frame.meta).map_err(|error| error.to_string())?;
        if hello.service != self.service {
            return Err(format!("this is {}", self.service));
        }
        match (&self.token, &hello.token) {
            (None, _) => Ok(()),
            (Some(token), Some(shown)) if token.matches(shown) => Ok(()),
            (Some(_), _) => Err("wrong token".to_owned()),
        }
    }

    async fn requests<Q: Query, A: Message>(
        &self,
        peer: &Peer,
        mut from: BufReader<impl AsyncRead + Unpin>,
        replies: &Outbox,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), FabricError>
    where
        H: Handler<Q, A>,
    {
        let room = Arc::new(Semaphore::new(self.limits.in_flight.max(1)));
        let waiting = Arc::new(Semaphore::new(self.limits.waiting));
        let mut cancellable: HashMap<u64, AbortHandle> = HashMap::new();
        loop {
            let frame = tokio::select! {
                frame = Frame::read(&mut from, &self.limits) => frame?,
                // The writer ends before us only when nobody reads any more.
                () = replies.closed() => None,
            };
            let Some(frame) = frame else { return Ok(()) };
            while tasks.try_join_next().is_some() {}
            match frame.kind {
                Kind::Request => {}
                Kind::Cancel => {
                    if let Some(task) = cancellable.remove(&frame.id) {
                        task.abort();
                    }
                    continue;
                }
                _ => return Err(FabricError::Protocol("not a request")),
            }
            let id = frame.id;
            let is_light = from.buffer().is_empty() && frame.payload.len() <= LIGHT_BYTES;
            let Ok(query) = postcard::from_bytes::<Q>(&frame.meta) else {
                fail(replies, id, &Failure::Form, &self.limits).await?;
                continue;
            };
            let waits = query.waits();
            let permit = if waits {
                match waiting.clone().try_acquire_owned() {
                    Ok(permit) => permit,
                    Err(_) => {
                        fail(replies, id, &Failure::Busy, &self.limits).await?;
                        continue;
                    }
                }
            } else {
                // No room: nothing more is read, and the peer feels it.
                room.clone().acquire_owned().await.map_err(|_| FabricError::Closed)?
            };
            let (handler, peer, replies, limits) =
                (self.handler.clone(), peer.clone(), replies.clone(), self.limits.clone());
            let work = async move {
                let mut lost = Lost { replies: Some((replies.clone(), limits.clone())), id };
                let (answer, payload) = handler.handle(&peer, query, frame.payload).await;
                let sent = match Frame::new(Kind::Reply, id, &answer, payload, &limits) {
                    Ok(frame) => replies.send(frame).await,
                    Err(error) => {
                        tracing::warn!(%error, "a reply cannot be sent");
                        fail(&replies, id, &Failure::TooLarge, &limits).await
                    }
                };
                if sent.is_err() {
                    tracing::debug!("nobody waits for a reply any more");
                }
                lost.replies = None;
                drop(permit);
            };
            if waits {
                cancellable.retain(|_, task| !task.is_finished());
                cancellable.insert(id, tasks.spawn(work));
            } else if is_light {
                // What was received is carried out, also when the connection ends. Nobody else is kept waiting.
                start_here(&Handle::current(), work);
            } else {
                tokio::spawn(work);
            }
        }
    }
}

/// Ends what is sent with the connection.
struct Closing(Outbox);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Tells the caller when a handler goes down without an answer.
struct Lost {
    replies: Option<(Outbox, Limits)>,
    id: u64,
}

impl Drop for Lost {
    fn drop(&mut self) {
        let (Some((replies, limits)), Ok(runtime)) = (self.replies.take(), Handle::try_current()) else {
            return;
        };
        let id = self.id;
        runtime.spawn(async move { fail(&replies, id, &Failure::Lost, &limits).await });
    }
}

async fn fail(replies: &Outbox, id: u64, failure: &Failure, limits: &Limits) -> Result<(), FabricError> {
    let frame = Frame::new(Kind::Failure, id, failure, Bytes::new(), limits)?;
    replies.send(frame).await
}
