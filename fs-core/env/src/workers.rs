//! Who runs what must not stand in the way of others: threads of the system, or in a simulation the caller's
//! runtime, where a seed decides how long everything takes.

use crate::Random;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The longest that blocking work takes in a simulation.
const WORK_MAX: Duration = Duration::from_millis(3);

/// Where shards, logs and copies of maps work.
#[derive(Clone, Default)]
pub struct Workers(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    Threads,
    /// All of it is tasks of the caller's runtime.
    Here(Arc<dyn Random>),
}

impl Workers {
    /// For simulations: everything is a task of the runtime that asks for it, and ends with that.
    pub(crate) fn here(random: Arc<dyn Random>) -> Workers {
        Workers(Kind::Here(random))
    }

    /// Runs `task` on a thread of its own. Where the system has no runtime for it, it is dropped.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) -> io::Result<Running> {
        let (ending, ended) = watch::channel(());
        if let Kind::Here(_) = self.0 {
            tokio::spawn(async move {
                // Moved in, so that it goes when the task ends, however it does.
                let _ending = ending;
                task.await;
            });
            return Ok(Running(ended));
        }
        let run = move || {
            // It goes after the runtime, which holds what the task has spawned.
            let _ending = ending;
            match tokio::runtime::Builder::new_current_thread().enable_time().build() {
                Ok(runtime) => runtime.block_on(task),
                Err(error) => tracing::error!(%error, "no runtime for a thread"),
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Running(ended))
    }

    /// Runs work that blocks on a disk, also when nobody waits for it.
    pub fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match &self.0 {
            Kind::Threads => tokio::task::spawn_blocking(work),
            Kind::Here(random) => {
                let takes = Duration::from_micros(random.below(WORK_MAX.as_micros() as u64));
                tokio::spawn(async move {
                    tokio::time::sleep(takes).await;
                    work()
                })
            }
        }
    }
}

/// A task that was started. Letting go of this does not end it.
#[derive(Clone, Debug)]
pub struct Running(watch::Receiver<()>);

impl Running {
    /// Waits until the task has ended, however it did, and on a thread of its own also all that it has spawned.
    pub async fn ended(mut self) {
        // It never has a value; its other end goes with the worker.
        while self.0.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRandom;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn threads_are_threads() {
        let workers = Workers::default();
        let (sender, receiver) = oneshot::channel();
        let task = async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = sender.send(std::thread::current().name().map(str::to_owned));
        };
        let running = workers.start("worker", task).unwrap();
        assert_eq!(receiver.await.unwrap().as_deref(), Some("worker"));
        running.ended().await;
        let here = std::thread::current().id();
        assert_ne!(workers.blocking(|| std::thread::current().id()).await.unwrap(), here);
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulation_has_one_thread_and_takes_its_time() {
        let workers = crate::sim::workers(Arc::new(SeededRandom::new(3)));
        let (here, began) = (std::thread::current().id(), tokio::time::Instant::now());
        let (sender, receiver) = oneshot::channel();
        workers.start("worker", async move { sender.send(std::thread::current().id()).unwrap() }).unwrap();
        assert_eq!(receiver.await.unwrap(), here);
        assert_eq!(workers.blocking(|| std::thread::current().id()).await.unwrap(), here);
        assert!(began.elapsed() > Duration::ZERO && began.elapsed() <= WORK_MAX);
    }
}
