//! Connections, and who has to go when there are too many: whoever has been of no use for longest.
//!
//! A connection is of use when a request has come over it as a whole, and with every further [`USEFUL_BYTES`] either
//! way. So clients that trickle, however many there are, keep nobody out; nor does it help to say a byte now and then.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

/// Bytes that a client takes or gives to show that it goes on.
const USEFUL_BYTES: u64 = 64 * 1024;

/// All connections of a head.
pub(crate) struct Crowd {
    most: usize,
    begun: Instant,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    by_number: BTreeMap<u64, Arc<State>>,
    next: u64,
}

struct State {
    /// Milliseconds since the crowd began.
    useful: AtomicU64,
    moved: AtomicU64,
    go: Notify,
}

impl Crowd {
    /// With at most so many members that stay.
    pub(crate) fn new(most: usize) -> Arc<Crowd> {
        Arc::new(Crowd { most, begun: Instant::now(), members: Mutex::default() })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Another connection. Of too many one is asked to go.
    pub(crate) fn enter(self: &Arc<Crowd>) -> Member {
        let state =
            Arc::new(State { useful: self.now().into(), moved: AtomicU64::default(), go: Notify::new() });
        let mut members = self.members.lock();
        if members.by_number.len() >= self.most {
            let useful = |state: &Arc<State>| state.useful.load(Ordering::Relaxed);
            let idlest = members.by_number.iter().min_by_key(|(_, state)| useful(state));
            if let Some(number) = idlest.map(|(number, _)| *number)
                && let Some(idlest) = members.by_number.remove(&number)
            {
                idlest.go.notify_one();
            }
        }
        let number = members.next;
        members.next += 1;
        members.by_number.insert(number, state.clone());
        Member { crowd: self.clone(), number, state }
    }
}

/// A connection of the crowd; it leaves when it is dropped.
pub(crate) struct Member {
    crowd: Arc<Crowd>,
    number: u64,
    state: Arc<State>,
}

impl Member {
    /// What tells that the connection is of use.
    pub(crate) fn use_of(&self) -> Use {
        Use { crowd: self.crowd.clone(), state: self.state.clone() }
    }

    /// Comes when the connection has to go.
    pub(crate) async fn asked_to_go(&self) {
        self.state.go.notified().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.crowd.members.lock().by_number.remove(&self.number);
    }
}

/// A connection's way to say that it is of use.
#[derive(Clone)]
pub(crate) struct Use {
    crowd: Arc<Crowd>,
    state: Arc<State>,
}

impl Use {
    /// A request has come.
    pub(crate) fn asked(&self) {
        self.state.useful.store(self.crowd.now(), Ordering::Relaxed);
    }

    fn moved(&self, bytes: usize) {
        let before = self.state.moved.fetch_add(bytes as u64, Ordering::Relaxed);
        if before / USEFUL_BYTES != (before + bytes as u64) / USEFUL_BYTES {
            self.asked();
        }
    }
}

/// A stream whose client is waited for only so long when it takes nothing, and that tells what goes over it.
pub(crate) struct Watched<T> {
    stream: T,
    of: Use,
    patience: Duration,
    /// Since when nothing was taken; armed while something waits.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<T> Watched<T> {
    pub(crate) fn new(stream: T, of: Use, patience: Duration) -> Watched<T> {
        Watched { stream, of, patience, stuck: None }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(result) => {
                self.stuck = None;
                if let Ok(bytes) = &result {
                    self.of.moved(*bytes);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                let patience = self.patience;
                let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(stuck.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.of.moved(buffer.filled().len() - before);
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, data);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn goes(member: &Member) -> bool {
        let mut going = std::pin::pin!(member.asked_to_go());
        let mut context = Context::from_waker(std::task::Waker::noop());
        going.as_mut().poll(&mut context).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_of_no_use_for_longest_goes() {
        let crowd = Crowd::new(3);
        let mut members = Vec::new();
        for _ in 0..3 {
            members.push(crowd.enter());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The first asks something, the second only trickles.
        members[0].use_of().asked();
        members[1].use_of().moved(1000);
        let fourth = crowd.enter();
        assert_eq!(members.iter().map(goes).collect::<Vec<_>>(), [false, true, false]);
        // The third takes a large answer.
        tokio::time::advance(Duration::from_secs(1)).await;
        members[2].use_of().moved(100_000);
        let _fifth = crowd.enter();
        assert_eq!(members.iter().map(goes).collect::<Vec<_>>(), [true, false, false]);
        assert!(!goes(&fourth));
        members.clear();
        drop(fourth);
        assert_eq!(crowd.members.lock().by_number.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_not_waited_for() {
        let crowd = Crowd::new(3);
        let (near, mut far) = tokio::io::duplex(10);
        let mut near = Watched::new(near, crowd.enter().use_of(), Duration::from_secs(5));
        let writing = tokio::spawn(async move { near.write_all(&[0; 30]).await });
        tokio::time::sleep(Duration::from_secs(4)).await;
        far.read_exact(&mut [0; 10]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(!writing.is_finished(), "it goes on");
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
