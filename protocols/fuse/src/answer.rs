//! Answers at once where the file system has one, through the runtime where it must wait.

use crate::head::UNTIL_DONE;
use crate::status;
use crate::waiters::Waiters;
use env::start_here;
use fuser::Errno;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use vfs::FsResult;

/// A reply that can carry an error instead.
pub(crate) trait Fail: Send + 'static {
    fn fail(self, errno: Errno);
}

macro_rules! fails {
    ($($reply:ident),*) => { $(impl Fail for fuser::$reply {
        fn fail(self, errno: Errno) { self.error(errno); }
    })* };
}

fails!(
    ReplyEmpty,
    ReplyData,
    ReplyEntry,
    ReplyAttr,
    ReplyOpen,
    ReplyWrite,
    ReplyStatfs,
    ReplyCreate,
    ReplyLock,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyXattr,
    ReplyLseek
);

/// Where answers that wait are worked out.
pub(crate) struct Desk {
    runtime: Handle,
    room: Arc<Semaphore>,
    waiters: Waiters,
}

impl Desk {
    pub(crate) fn new(runtime: Handle, in_flight: usize) -> Desk {
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Desk { runtime, room: Arc::new(Semaphore::new(in_flight)), waiters: Waiters::default() }
    }

    /// Works and replies. Called on a thread of the session, never on one of the runtime.
    pub(crate) fn answer<T: Send + 'static, R: Fail>(
        &self,
        caller: u32,
        reply: R,
        work: impl Future<Output = FsResult<T>> + Send + 'static,
        done: impl FnOnce(R, T) + Send + 'static,
    ) {
        let permit = match self.room.clone().try_acquire_owned() {
            Ok(permit) => Ok(permit),
            // No room: this thread waits, and the kernel keeps what it would have read.
            Err(_) => self.runtime.block_on(self.room.clone().acquire_owned()),
        };
        let waiters = self.waiters.clone();
        start_here(&self.runtime, async move {
            let mut work = pin!(work);
            let result = match at_once(work.as_mut()).await {
                Some(result) => result,
                None if caller == UNTIL_DONE => work.await,
                None => return until_killed(&waiters, caller, reply, work, done, permit).await,
            };
            finish(reply, result, done);
        });
    }

    /// As [`Desk::answer`] for what may wait for other requests, and so takes no room from them.
    pub(crate) fn answer_at_leisure<T: Send + 'static, R: Fail>(
        &self,
        reply: R,
        work: impl Future<Output = FsResult<T>> + Send + 'static,
        done: impl FnOnce(R, T) + Send + 'static,
    ) {
        start_here(&self.runtime, async move { finish(reply, work.await, done) });
    }
}

/// What comes of `work` when it is polled once.
async fn at_once<F: Future>(mut work: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Works and replies; a caller that is killed meanwhile is sent away, since the kernel holds it until then. What has
/// been begun is brought to its end all the same.
async fn until_killed<T, R: Fail>(
    waiters: &Waiters,
    caller: u32,
    reply: R,
    work: Pin<&mut impl Future<Output = FsResult<T>>>,
    done: impl FnOnce(R, T),
    _permit: impl Sized,
) {
    let reply = Arc::new(Mutex::new(Some(reply)));
    let _waits = waiters.enter(caller, reply.clone());
    let result = work.await;
    let reply = reply.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(reply) = reply {
        finish(reply, result, done);
    }
}

fn finish<T, R: Fail>(reply: R, result: FsResult<T>, done: impl FnOnce(R, T)) {
    match result {
        Ok(value) => done(reply, value),
        Err(error) => reply.fail(status::errno(error)),
    }
}
