//! Who waits for an answer: those that are killed meanwhile are sent away.

use crate::answer::Fail;
use crate::caller::is_killed;
use fuser::Errno;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How often to look whether a caller that waits has been killed, and how long it must have waited.
const LOOK: Duration = Duration::from_millis(500);

/// Clones are of the same callers. A thread looks after them for as long as there is one of them.
#[derive(Clone, Default)]
pub(crate) struct Waiters(Arc<Table>);

#[derive(Default)]
struct Table(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, Waiter>,
    looking: Looking,
}

#[derive(Default)]
enum Looking {
    #[default]
    NotYet,
    /// The thread sleeps until there is somebody.
    Asleep(Thread),
    Awake,
}

struct Waiter {
    caller: u32,
    since: Instant,
    reply: Arc<dyn Leave>,
}

/// A reply that somebody else may take.
trait Leave: Send + Sync {
    fn leave(&self);
}

impl<R: Fail> Leave for Mutex<Option<R>> {
    fn leave(&self) {
        let reply = self.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            reply.fail(Errno::EINTR);
        }
    }
}

/// Waits until this is dropped.
pub(crate) struct Waits<'a> {
    table: &'a Table,
    number: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.table.state().waiting.remove(&self.number);
    }
}

impl Table {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiters {
    /// The process `caller` waits; when it is killed its reply is taken, and it is told so.
    pub(crate) fn enter<R: Fail>(&self, caller: u32, reply: Arc<Mutex<Option<R>>>) -> Waits<'_> {
        let mut state = self.0.state();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, Waiter { caller, since: Instant::now(), reply });
        match std::mem::replace(&mut state.looking, Looking::Awake) {
            Looking::Awake => {}
            Looking::Asleep(thread) => thread.unpark(),
            Looking::NotYet => {
                let table = Arc::downgrade(&self.0);
                let looking = move || {
                    while let Some(table) = table.upgrade() {
                        let somebody = look(&table);
                        drop(table);
                        if somebody { thread::sleep(LOOK) } else { thread::park_timeout(LOOK * 20) }
                    }
                };
                if let Err(error) = thread::Builder::new().name("fuse-waiters".to_owned()).spawn(looking) {
                    tracing::warn!(%error, "callers that are killed wait for their answers");
                    state.looking = Looking::NotYet;
                }
            }
        }
        Waits { table: &self.0, number }
    }
}

/// Sends those away that have been killed; whether anybody waits.
fn look(table: &Table) -> bool {
    let mut state = table.state();
    if state.waiting.is_empty() {
        state.looking = Looking::Asleep(thread::current());
        return false;
    }
    let old = state.waiting.values().filter(|waiter| waiter.since.elapsed() >= LOOK);
    let old: Vec<(u32, Arc<dyn Leave>)> = old.map(|waiter| (waiter.caller, waiter.reply.clone())).collect();
    drop(state);
    for (_, reply) in old.into_iter().filter(|(caller, _)| is_killed(*caller)) {
        reply.leave();
    }
    true
}
