//! Bytes on their way from a file to a client, read while the client takes what was read before. Never an object as a whole.

use crate::budget::{Budget, Room, SMALL_STEP};
use crate::files::Files;
use bytes::Bytes;
use futures_util::stream::FuturesOrdered;
use futures_util::{Stream, StreamExt};
use s3s::StdError;
use s3s::dto::StreamingBlob;
use s3s::stream::{ByteStream, RemainingLength};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use types::limits::IO_BYTES_MAX;
use types::{FileId, FsError};
use vfs::{FsResult, OpenId, Vfs};

/// Steps that are read side by side.
const READS: usize = 2;
/// Steps that wait for the client.
const AHEAD: usize = 1;

/// The bytes `offset..offset + length` of a file, read as the client takes them: all of the file that it is now, however it is
/// replaced meanwhile.
///
/// # Errors
/// Those of the file system; `Stale` when it has gone.
pub(crate) async fn send<V: Vfs>(
    files: Files<V>,
    file: FileId,
    offset: u64,
    length: u64,
    budget: Budget,
) -> FsResult<StreamingBlob> {
    if length <= IO_BYTES_MAX as u64 {
        // What one step reads needs nobody to hold it.
        let all = match length {
            0 => Bytes::new(),
            _ => Step::of(length, &budget).read(&files, (file, None), offset).await?,
        };
        if all.len() as u64 == length {
            let (_, receiver) = mpsc::channel(1);
            let first = Some(all).filter(|all| !all.is_empty());
            return Ok(StreamingBlob::new(Download { first, receiver, left: length }));
        }
    }
    let held = files.open(file).await?;
    // The first step tells of what cannot be read while there is an answer to tell it with.
    let first = Step::of(length, &budget).read(&files, held.as_opened(), offset).await?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (from, end) = (offset + first.len() as u64, offset + length);
    tokio::spawn(async move { pass_on(&files, held.as_opened(), from..end, &budget, sender).await });
    let first = Some(first).filter(|first| !first.is_empty());
    Ok(StreamingBlob::new(Download { first, receiver, left: length }))
}

/// Reads a part of a file to whoever listens, until it is all read, cannot be read, or nobody listens.
async fn pass_on<V: Vfs>(
    files: &Files<V>,
    opened: (FileId, Option<OpenId>),
    part: std::ops::Range<u64>,
    budget: &Budget,
    sender: mpsc::Sender<Result<Bytes, StdError>>,
) {
    let mut reading = FuturesOrdered::new();
    let (mut sent, mut asked) = (part.start, part.start);
    while sent < part.end {
        while reading.len() < READS && asked < part.end {
            let (step, at) = (Step::of(part.end - asked, budget), asked);
            asked += u64::from(step.bytes);
            reading
                .push_back(async move { (at + u64::from(step.bytes), step.read(files, opened, at).await) });
        }
        // As long as something is left, something is asked for.
        let Some((until, read)) = reading.next().await else { return };
        let data: Result<Bytes, StdError> = match read {
            Ok(data) if data.is_empty() => Err("the file was cut meanwhile".into()),
            Ok(data) => Ok(data),
            Err(error) => Err(Box::new(error)),
        };
        let (done, failed) = (data.as_ref().map_or(0, |data| data.len() as u64), data.is_err());
        sent += done;
        if sent < until {
            // What follows was asked for from beyond a gap.
            reading.clear();
            asked = sent;
        }
        if sender.send(data).await.is_err() || failed {
            return;
        }
    }
}

/// Bytes to be read at once, with the room that they take.
struct Step {
    bytes: u32,
    room: Option<Room>,
}

impl Step {
    /// The next of what is left.
    fn of(left: u64, budget: &Budget) -> Step {
        let (most, room) = if left > SMALL_STEP as u64 { budget.step() } else { (SMALL_STEP, None) };
        Step { bytes: u32::try_from(left.min(most as u64)).unwrap_or(u32::MAX), room }
    }

    async fn read<V: Vfs>(
        self,
        files: &Files<V>,
        opened: (FileId, Option<OpenId>),
        offset: u64,
    ) -> Result<Bytes, FsError> {
        let data = files.read_open(opened, offset, self.bytes).await?.data;
        Ok(match self.room {
            Some(room) => Bytes::from_owner(Taken { data, _room: room }),
            None => data,
        })
    }
}

/// Bytes of a file, with the room that they take.
struct Taken {
    data: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Taken {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// A body that is read while it is sent.
struct Download {
    first: Option<Bytes>,
    receiver: mpsc::Receiver<Result<Bytes, StdError>>,
    left: u64,
}

impl Stream for Download {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            self.left = self.left.saturating_sub(first.len() as u64);
            return Poll::Ready(Some(Ok(first)));
        }
        let next = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(Ok(data))) = &next {
            self.left = self.left.saturating_sub(data.len() as u64);
        }
        next
    }
}

impl ByteStream for Download {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(usize::try_from(self.left).unwrap_or(usize::MAX))
    }
}
