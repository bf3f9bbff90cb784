//! MD5 of bodies, of several at a time: what comes while others are hashed is hashed together with them.

use crate::budget::Room;
use crate::md5::{LANES, Md5, update};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OnceCell, mpsc, oneshot};

/// Bytes of each body that are hashed before others have their turn.
const SLICE: usize = 32 * 1024;
/// Bodies that wait for their turn; more wait to be allowed to.
const QUEUE: usize = 256;
/// Processors for each that hashes.
const PROCESSORS: usize = 4;

/// Hashes bodies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hasher(Arc<Inner>);

struct Inner {
    lines: Vec<OnceCell<mpsc::Sender<Job>>>,
    next: AtomicUsize,
}

/// A part of a body to be hashed.
struct Job {
    md5: Md5,
    data: Bytes,
    done: oneshot::Sender<Md5>,
    /// For the part, as long as it is in memory.
    _room: Option<Room>,
}

/// A digest that waits for a part of its body.
pub(crate) struct Awaited(oneshot::Receiver<Md5>);

impl Awaited {
    /// With the part; `None` when the process ends.
    pub(crate) async fn end(self) -> Option<Md5> {
        self.0.await.ok()
    }
}

impl Default for Hasher {
    fn default() -> Hasher {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let lines = (0..processors.div_ceil(PROCESSORS)).map(|_| OnceCell::new()).collect();
        Hasher(Arc::new(Inner { lines, next: AtomicUsize::default() }))
    }
}

impl Hasher {
    /// Takes another part of a body.
    pub(crate) async fn begin(&self, md5: Md5, data: Bytes, room: Option<Room>) -> Awaited {
        let (done, hashed) = oneshot::channel();
        let line = &self.0.lines[self.0.next.fetch_add(1, Ordering::Relaxed) % self.0.lines.len()];
        let begun = || async {
            let (sender, jobs) = mpsc::channel(QUEUE);
            tokio::spawn(run(jobs));
            sender
        };
        // What cannot be sent is told by its answer that does not come.
        let _ = line.get_or_init(begun).await.send(Job { md5, data, done, _room: room }).await;
        Awaited(hashed)
    }
}

/// Hashes what comes until nobody is left who could send something.
async fn run(mut jobs: mpsc::Receiver<Job>) {
    let mut lanes: Vec<Job> = Vec::with_capacity(LANES);
    loop {
        if lanes.is_empty() {
            let Some(job) = jobs.recv().await else { return };
            lanes.push(job);
        }
        while lanes.len() < LANES
            && let Ok(job) = jobs.try_recv()
        {
            lanes.push(job);
        }
        advance(&mut lanes);
        for job in lanes.extract_if(.., |job| job.data.is_empty()) {
            // Who asked may have gone.
            let _ = job.done.send(job.md5);
        }
        tokio::task::yield_now().await;
    }
}

/// Takes a slice of each, as long as the shortest of what is left of them.
fn advance(lanes: &mut [Job]) {
    let length = lanes.iter().map(|job| job.data.len()).min().unwrap_or(0).min(SLICE);
    let parts: Vec<Bytes> = lanes.iter_mut().map(|job| job.data.split_to(length)).collect();
    match (lanes, &parts[..]) {
        ([a], [w]) => update([(&mut a.md5, w)]),
        ([a, b], [w, x]) => update([(&mut a.md5, w), (&mut b.md5, x)]),
        ([a, b, c], [w, x, y]) => update([(&mut a.md5, w), (&mut b.md5, x), (&mut c.md5, y)]),
        ([a, b, c, d], [w, x, y, z]) => {
            update([(&mut a.md5, w), (&mut b.md5, x), (&mut c.md5, y), (&mut d.md5, z)]);
        }
        (lanes, parts) => lanes.iter_mut().zip(parts).for_each(|(job, part)| job.md5.update(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3s::crypto::Checksum as _;

    #[tokio::test]
    async fn bodies_that_come_together_each_have_their_digest() {
        let hasher = Hasher::default();
        let body = |number: usize| -> Vec<u8> {
            (0..number * 20_011).map(|i| ((i + number) * 31 % 251) as u8).collect()
        };
        let bodies = (0..20).map(|number| {
            let (hasher, body) = (hasher.clone(), body(number));
            tokio::spawn(async move {
                let mut md5 = Md5::default();
                for part in body.chunks(65_537) {
                    md5 = hasher.begin(md5, Bytes::copy_from_slice(part), None).await.end().await.unwrap();
                }
                md5.finish()
            })
        });
        for (number, digest) in bodies.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(digest.await.unwrap(), s3s::crypto::Md5::checksum(&body(number)), "{number}");
        }
    }
}
