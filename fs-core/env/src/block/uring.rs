//! The main engine: one OS thread per file owns an io_uring; requests come over a bounded queue.

use super::{BlockError, BlockFile, IoFuture, QUEUE_DEPTH, check_range, check_transfer};
use crate::AlignedBuf;
use io_uring::{IoUring, opcode, squeue, types};
use parking_lot::Mutex;
use rustix::event::EventfdFlags;
use rustix::fs::FallocateFlags;
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Completions that carry this mark say "the queue has something".
const WAKE: u64 = u64::MAX;

enum Work {
    Read {
        offset: u64,
        data: AlignedBuf,
    },
    Write {
        offset: u64,
        data: AlignedBuf,
    },
    /// A write, and then a sync in its place.
    WriteSynced {
        offset: u64,
        data: AlignedBuf,
    },
    Sync,
    Discard {
        offset: u64,
        length: u64,
    },
}

struct Request {
    work: Work,
    /// Bytes already transferred: the kernel may do less than asked.
    done: usize,
    reply: oneshot::Sender<Result<Option<AlignedBuf>, BlockError>>,
    /// Held until completion: bounds queue and ring together.
    _permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: OwnedFd,
}

impl Shared {
    fn wake(&self) {
        // Fails only when the counter would overflow: then the thread is being woken anyway.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

pub(super) struct UringFile {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    length: u64,
    thread: Option<JoinHandle<()>>,
}

impl UringFile {
    pub(super) fn new(file: File, length: u64) -> Result<UringFile, BlockError> {
        let entries = u32::try_from(QUEUE_DEPTH * 2).unwrap_or(512);
        let ring =
            IoUring::builder().dontfork().build(entries).map_err(|e| BlockError::io("io_uring_setup", &e))?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC)
            .map_err(|e| BlockError::io("eventfd", &e.into()))?;
        let shared = Arc::new(Shared { queue: Mutex::default(), wake });
        let engine = EngineThread {
            ring,
            file,
            shared: shared.clone(),
            slots: Vec::new(),
            free: Vec::new(),
            wake_count: Box::new(0),
        };
        let thread = std::thread::Builder::new()
            .name("drive-io".into())
            .spawn(move || engine.run())
            .map_err(|e| BlockError::io("thread", &e))?;
        Ok(UringFile { shared, permits: Arc::new(Semaphore::new(QUEUE_DEPTH)), length, thread: Some(thread) })
    }

    fn submit(
        &self,
        check: Result<(), BlockError>,
        work: impl FnOnce() -> Work + Send + 'static,
    ) -> IoFuture<Option<AlignedBuf>> {
        let (shared, permits) = (self.shared.clone(), self.permits.clone());
        Box::pin(async move {
            check?;
            let permit = permits.acquire_owned().await.map_err(|_| BlockError::Gone)?;
            let (reply, answer) = oneshot::channel();
            let request = Request { work: work(), done: 0, reply, _permit: permit };
            let first = {
                let mut queue = shared.queue.lock();
                if queue.closed {
                    return Err(BlockError::Gone);
                }
                queue.waiting.push_back(request);
                queue.waiting.len() == 1
            };
            if first {
                shared.wake();
            }
            answer.await.map_err(|_| BlockError::Gone)?
        })
    }
}

impl Drop for UringFile {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake();
        // What has begun must end before the drive's lock is given back.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a drive's I/O thread panicked");
        }
    }
}

impl BlockFile for UringFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, length: usize) -> IoFuture<AlignedBuf> {
        let read = self.submit(check_transfer(self.length, offset, length), move || Work::Read {
            offset,
            data: AlignedBuf::used(length),
        });
        Box::pin(async move { read.await?.ok_or(BlockError::Gone) })
    }

    fn write_at(&self, offset: u64, data: AlignedBuf) -> IoFuture<()> {
        let write = self
            .submit(check_transfer(self.length, offset, data.len()), move || Work::Write { offset, data });
        Box::pin(async move { write.await.map(|_| ()) })
    }

    fn sync(&self) -> IoFuture<()> {
        let sync = self.submit(Ok(()), || Work::Sync);
        Box::pin(async move { sync.await.map(|_| ()) })
    }

    fn write_synced(&self, offset: u64, data: AlignedBuf) -> IoFuture<()> {
        let check = check_transfer(self.length, offset, data.len());
        let write = self.submit(check, move || Work::WriteSynced { offset, data });
        Box::pin(async move { write.await.map(|_| ()) })
    }

    fn discard(&self, offset: u64, length: u64) -> IoFuture<()> {
        let discard =
            self.submit(check_range(self.length, offset, length), move || Work::Discard { offset, length });
        Box::pin(async move { discard.await.map(|_| ()) })
    }
}

struct EngineThread {
    ring: IoUring,
    file: File,
    shared: Arc<Shared>,
    /// Requests in the ring; their memory belongs to the kernel until they complete.
    slots: Vec<Option<Request>>,
    free: Vec<usize>,
    wake_count: Box<u64>,
}

impl EngineThread {
    fn run(mut self) {
        let mut armed = false;
        loop {
            if !armed {
                let entry = opcode::Read::new(
                    types::Fd(self.shared.wake.as_raw_fd()),
                    (&raw mut *self.wake_count).cast(),
                    8,
                )
                .build()
                .user_data(WAKE);
                self.push(&entry);
                armed = true;
            }
            let (new, closed) = {
                let mut queue = self.shared.queue.lock();
                (std::mem::take(&mut queue.waiting), queue.closed)
            };
            for request in new {
                self.start(request);
            }
            if closed && self.slots.len() == self.free.len() {
                // The armed read of the eventfd would outlive its memory: leave that to the kernel.
                Box::leak(std::mem::take(&mut self.wake_count));
                return;
            }
            if let Err(error) = self.ring.submit_and_wait(1) {
                let again = [rustix::io::Errno::INTR, rustix::io::Errno::AGAIN, rustix::io::Errno::BUSY];
                if !again.iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) {
                    tracing::error!(%error, "io_uring failed: the drive's file is closed");
                    self.abandon();
                    return;
                }
            }
            let ended: Vec<(u64, i32)> =
                self.ring.completion().map(|c| (c.user_data(), c.result())).collect();
            for (mark, result) in ended {
                if mark == WAKE {
                    armed = false;
                } else {
                    self.complete(mark as usize, result);
                }
            }
        }
    }

    fn start(&mut self, request: Request) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(request);
        self.issue(slot);
    }

    fn issue(&mut self, slot: usize) {
        let fd = types::Fd(self.file.as_raw_fd());
        let Some(request) = self.slots[slot].as_mut() else { return };
        let done = request.done;
        let entry = match &mut request.work {
            Work::Read { offset, data } => {
                let rest = &mut data[done..];
                opcode::Read::new(fd, rest.as_mut_ptr(), rest.len() as u32)
                    .offset(*offset + done as u64)
                    .build()
            }
            Work::Write { offset, data } | Work::WriteSynced { offset, data } => {
                let rest = &data[done..];
                opcode::Write::new(fd, rest.as_ptr(), rest.len() as u32).offset(*offset + done as u64).build()
            }
            Work::Sync => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
            Work::Discard { offset, length } => {
                let mode = (FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE).bits();
                opcode::Fallocate::new(fd, *length).offset(*offset).mode(mode as i32).build()
            }
        };
        self.push(&entry.user_data(slot as u64));
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // The ring has twice as many entries as there are permits, so that one submission always helps.
        // SAFETY: the memory the entry names is owned by `slots` (or `wake_count`), stays where it is
        // on the heap, and is given up only after the completion was seen (or leaked).
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            if let Err(error) = self.ring.submit() {
                tracing::warn!(%error, "io_uring submission");
                std::thread::yield_now();
            }
        }
    }

    fn complete(&mut self, slot: usize, result: i32) {
        let Some(mut request) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        let (operation, length) = match &request.work {
            Work::Read { data, .. } => ("read", data.len()),
            Work::Write { data, .. } | Work::WriteSynced { data, .. } => ("write", data.len()),
            Work::Sync => ("fdatasync", 0),
            Work::Discard { .. } => ("discard", 0),
        };
        let errno = |e: rustix::io::Errno| result == -e.raw_os_error();
        let again = errno(rustix::io::Errno::INTR) || errno(rustix::io::Errno::AGAIN);
        let outcome = if again || (result > 0 && request.done + (result as usize) < length) {
            request.done += usize::try_from(result).unwrap_or(0);
            self.slots[slot] = Some(request);
            self.issue(slot);
            return;
        } else if result > 0 && matches!(request.work, Work::WriteSynced { .. }) {
            // What was written is the kernel's no more.
            self.slots[slot] = Some(Request { work: Work::Sync, done: 0, ..request });
            self.issue(slot);
            return;
        } else if errno(rustix::io::Errno::OPNOTSUPP) && operation == "discard" {
            // Advice only: where the file system cannot, nothing is lost.
            Ok(())
        } else if result < 0 {
            Err(BlockError::io(operation, &std::io::Error::from_raw_os_error(-result)))
        } else if result == 0 && length > 0 {
            Err(BlockError::Io { operation, code: 0, message: "the file is shorter than it was".into() })
        } else {
            Ok(())
        };
        self.free.push(slot);
        let data = match request.work {
            Work::Read { data, .. } => Some(data),
            _ => None,
        };
        // The asker may have gone: then nobody wants the answer.
        let _ = request.reply.send(outcome.map(|()| data));
    }

    /// After a failure of the ring itself: nobody is left waiting, and memory that the kernel may
    /// still write to is never reused.
    fn abandon(mut self) {
        Box::leak(std::mem::take(&mut self.wake_count));
        for request in self.slots.drain(..).flatten() {
            let Request { work, reply, .. } = request;
            std::mem::forget(work);
            let _ = reply.send(Err(BlockError::Gone));
        }
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        queue.waiting.clear();
    }
}
