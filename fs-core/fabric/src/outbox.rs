//! The outgoing side of a connection: who sends writes, as far as the connection takes it; a task writes the rest.

use crate::FabricError;
use crate::frame::{Frame, HEADER_BYTES};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{UnixStream, tcp, unix};
use tokio::sync::Notify;

/// The writing half of a stream, which ends the stream when it is dropped.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Writes what goes in at once.
    fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Waits until something goes in.
    fn writable(&self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>>;
}

macro_rules! sinks {
    ($($half:ty),*) => { $(impl Sink for $half {
        fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
            self.try_write_vectored(parts)
        }
        fn writable(&self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> {
            Box::pin(<$half>::writable(self))
        }
    })* };
}

sinks!(unix::OwnedWriteHalf, tcp::OwnedWriteHalf);

/// Bytes that a Unix socket takes before somebody reads them: several of the largest payloads, each of which would else go
/// in pieces, with a change of processes for each.
const SOCKET_BYTES: usize = 4 << 20;

/// Lets the socket take as much as it should, or as much as this process may have it take.
pub(crate) fn widen(socket: &UnixStream) {
    use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};
    // Only the superuser may go beyond the limit of the system.
    let widened = set_socket_send_buffer_size_force(socket, SOCKET_BYTES)
        .or_else(|_| set_socket_send_buffer_size(socket, SOCKET_BYTES));
    if let Err(error) = widened {
        tracing::debug!(%error, "a socket stays as it is");
    }
}

/// A frame of which some has been written.
struct Rest {
    header: [u8; HEADER_BYTES],
    meta: Bytes,
    payload: Bytes,
    written: usize,
}

impl Rest {
    fn of(frame: Frame) -> Rest {
        Rest { header: frame.header(), meta: frame.meta, payload: frame.payload, written: 0 }
    }

    fn is_written(&self) -> bool {
        self.written == HEADER_BYTES + self.meta.len() + self.payload.len()
    }

    /// Writes until all of it is written or no more goes in; whether all is.
    fn write(&mut self, sink: &dyn Sink) -> io::Result<bool> {
        while !self.is_written() {
            let mut skip = self.written;
            let parts = [&self.header[..], &self.meta, &self.payload].map(|part| {
                let from = skip.min(part.len());
                skip -= from;
                IoSlice::new(&part[from..])
            });
            match sink.try_write(&parts) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Clones are of the same connection.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    most: usize,
    /// There is something to write, or the end.
    work: Notify,
    /// There is room in the queue, or the end.
    room: Notify,
    end: Notify,
}

struct State {
    /// `None` at the end.
    sink: Option<Arc<dyn Sink>>,
    queue: VecDeque<Rest>,
    /// The task is about to write what it has taken from the queue.
    busy: bool,
}

impl Outbox {
    /// Over `sink`; at most so many frames wait. [`Outbox::run`] must run.
    pub(crate) fn new(sink: impl Sink, most: usize) -> Outbox {
        let state = State { sink: Some(Arc::new(sink)), queue: VecDeque::new(), busy: false };
        let (work, room, end) = Default::default();
        Outbox(Arc::new(Inner { state: Mutex::new(state), most: most.max(1), work, room, end }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends, or waits for room to. A frame of which something was written is written to its end.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), FabricError> {
        let mut frame = frame;
        loop {
            let room = self.0.room.notified();
            match self.offer(frame) {
                Ok(()) => return Ok(()),
                Err(None) => return Err(FabricError::Closed),
                Err(Some(back)) => frame = back,
            }
            room.await;
        }
    }

    /// Sends; gives the frame back where there is no room, and nothing at the end.
    pub(crate) fn offer(&self, frame: Frame) -> Result<(), Option<Frame>> {
        let mut state = self.state();
        let Some(sink) = state.sink.clone() else { return Err(None) };
        if state.queue.len() >= self.0.most {
            return Err(Some(frame));
        }
        let mut rest = Rest::of(frame);
        let others = state.busy || !state.queue.is_empty();
        match if others { Ok(false) } else { rest.write(&*sink) } {
            Ok(true) => return Ok(()),
            Ok(false) => state.queue.push_back(rest),
            Err(error) => {
                drop(state);
                tracing::debug!(%error, "cannot send");
                self.close();
                return Err(None);
            }
        }
        if !others {
            self.0.work.notify_one();
        }
        Ok(())
    }

    /// Writes what did not go in at once, until the end.
    pub(crate) async fn run(self) {
        loop {
            let work = self.0.work.notified();
            let (sink, next) = {
                let mut state = self.state();
                let Some(sink) = state.sink.clone() else { return };
                let next = state.queue.pop_front();
                state.busy = next.is_some();
                (sink, next)
            };
            let Some(mut rest) = next else {
                drop(sink);
                work.await;
                continue;
            };
            self.0.room.notify_waiters();
            let written = loop {
                match rest.write(&*sink) {
                    Ok(true) => break Ok(()),
                    Ok(false) => {}
                    Err(error) => break Err(error),
                }
                tokio::select! {
                    waited = sink.writable() => if let Err(error) = waited { break Err(error) },
                    () = self.closed() => return,
                }
            };
            if let Err(error) = written {
                tracing::debug!(%error, "cannot send");
                return self.close();
            }
        }
    }

    /// Nothing more is sent; the stream ends.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        (state.sink, state.queue) = (None, VecDeque::new());
        drop(state);
        self.0.work.notify_one();
        self.0.room.notify_waiters();
        self.0.end.notify_waiters();
    }

    /// Waits until nothing more can be sent.
    pub(crate) async fn closed(&self) {
        loop {
            let end = self.0.end.notified();
            if self.state().sink.is_none() {
                return;
            }
            end.await;
        }
    }
}
