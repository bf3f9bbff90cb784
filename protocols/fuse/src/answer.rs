//! Answers at once where the file system has one, through the runtime where it must wait.

use crate::caller::is_killed;
use crate::head::UNTIL_DONE;
use crate::status;
use fuser::Errno;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use vfs::FsResult;

/// How often to look whether a caller that waits has been killed.
const LOOK: Duration = Duration::from_millis(500);

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
}

impl Desk {
    pub(crate) fn new(runtime: Handle, in_flight: usize) -> Desk {
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Desk { runtime, room: Arc::new(Semaphore::new(in_flight)) }
    }

    /// Works and replies. Called on a thread of the session, never on one of the runtime.
    pub(crate) fn answer<T: Send + 'static, R: Fail>(
        &self,
        caller: u32,
        reply: R,
        work: impl Future<Output = FsResult<T>> + Send + 'static,
        done: impl FnOnce(R, T) + Send + 'static,
    ) {
        if let Some((work, reply, done)) = self.at_once(reply, work, done) {
            // No room: this thread waits, and the kernel keeps what it would have read.
            let permit = self.runtime.block_on(self.room.clone().acquire_owned());
            self.runtime.spawn(async move {
                until_killed(caller, reply, work, done).await;
                drop(permit);
            });
        }
    }

    /// As [`Desk::answer`] for what may wait for other requests, and so takes no room from them.
    pub(crate) fn answer_at_leisure<T: Send + 'static, R: Fail>(
        &self,
        reply: R,
        work: impl Future<Output = FsResult<T>> + Send + 'static,
        done: impl FnOnce(R, T) + Send + 'static,
    ) {
        if let Some((work, reply, done)) = self.at_once(reply, work, done) {
            self.runtime.spawn(async move { finish(reply, work.await, done) });
        }
    }

    /// Polls once on this thread; gives back what was given, with the work begun, when that is not enough.
    fn at_once<T, R: Fail, W, D>(&self, reply: R, work: W, done: D) -> Option<(Pin<Box<W>>, R, D)>
    where
        W: Future<Output = FsResult<T>> + Send + 'static,
        D: FnOnce(R, T),
    {
        let _entered = self.runtime.enter();
        let mut work = Box::pin(work);
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => {
                finish(reply, result, done);
                None
            }
            Poll::Pending => Some((work, reply, done)),
        }
    }
}

/// Works and replies; a caller that is killed meanwhile is sent away, since the kernel holds it until then.
async fn until_killed<T, R: Fail>(
    caller: u32,
    reply: R,
    mut work: Pin<Box<impl Future<Output = FsResult<T>>>>,
    done: impl FnOnce(R, T),
) {
    if caller == UNTIL_DONE {
        return finish(reply, work.await, done);
    }
    loop {
        match timeout(LOOK, work.as_mut()).await {
            Ok(result) => return finish(reply, result, done),
            Err(_) if is_killed(caller) => {
                reply.fail(Errno::EINTR);
                // What has been begun is brought to its end; nobody asks how it ends.
                let _ = work.await;
                return;
            }
            Err(_) => {}
        }
    }
}

fn finish<T, R: Fail>(reply: R, result: FsResult<T>, done: impl FnOnce(R, T)) {
    match result {
        Ok(value) => done(reply, value),
        Err(error) => reply.fail(status::errno(error)),
    }
}
