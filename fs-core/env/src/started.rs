//! Work that begins on the thread that asks for it, and becomes a task only when it has waited.

use parking_lot::Mutex;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use tokio::runtime::Handle;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls `work` here; what is not done with that becomes a task of `runtime` when it is woken. So work that has
/// nothing to wait for wakes no other thread, and what waits wakes one, once. As with a task, a panic ends only the
/// work itself.
pub fn start_here(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
    let _entered = runtime.enter();
    let waiting = Arc::new(Waiting { runtime: runtime.clone(), state: Mutex::new(State::Begun) });
    let waker = Waker::from(waiting.clone());
    let mut work: Work = Box::pin(work);
    let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(&waker))));
    if let Ok(Poll::Pending) = polled {
        waiting.wait(work);
    }
}

struct Waiting {
    runtime: Handle,
    state: Mutex<State>,
}

enum State {
    Begun,
    /// Woken before it was known that there is something to wake.
    Woken,
    Waits(Work),
    /// A task of its own, or done.
    Gone,
}

impl Waiting {
    fn wait(&self, work: Work) {
        let mut state = self.state.lock();
        match *state {
            State::Begun => *state = State::Waits(work),
            _ => {
                *state = State::Gone;
                drop(state);
                self.runtime.spawn(work);
            }
        }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Begun => *state = State::Woken,
            State::Woken => *state = State::Woken,
            State::Waits(work) => {
                drop(state);
                self.runtime.spawn(work);
            }
            State::Gone => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use std::thread;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_need_not_wait_is_done_here() {
        let (done, is_done) = oneshot::channel();
        let here = thread::current().id();
        start_here(&Handle::current(), async move {
            assert_eq!(thread::current().id(), here);
            done.send(()).unwrap();
        });
        is_done.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_waits_goes_on_when_it_is_woken_whenever_that_is() {
        for round in 0..2000 {
            let (go, gone) = oneshot::channel::<()>();
            let (done, is_done) = oneshot::channel();
            let waker = tokio::spawn(async move {
                if round % 2 == 0 {
                    yield_now().await;
                }
                go.send(()).unwrap();
            });
            start_here(&Handle::current(), async move {
                gone.await.unwrap();
                // Woken within its own poll.
                yield_now().await;
                done.send(()).unwrap();
            });
            is_done.await.unwrap();
            waker.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_panic_ends_only_the_work() {
        let (dropped, is_dropped) = oneshot::channel::<()>();
        start_here(&Handle::current(), async move {
            let _dropped = dropped;
            panic!("as planned");
        });
        assert!(is_dropped.await.is_err());
    }
}
