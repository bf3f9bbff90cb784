//! One connection: records in, requests side by side, replies out (RFC 5531 section 11).

use crate::compound::{self, Caller};
use crate::line::Line;
use crate::server::Shared;
use crate::session::REQUEST_BYTES_MAX;
use bytes::{Bytes, BytesMut};
use serve::Shutdown;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use vfs::Vfs;
use xdr::record::FragmentHeader;
use xdr::rpc::{AuthStat, Call, CallError, Credential, ReplyStatus};
use xdr::{Decoder, Encoder};

/// Requests of one connection at a time.
const REQUESTS_MAX: usize = 64;
/// Bytes of a record: the largest request of a session and its RPC header.
const RECORD_BYTES_MAX: usize = REQUEST_BYTES_MAX as usize + 4096;
/// Fragments of a record: no client needs more than one.
const FRAGMENTS_MAX: usize = 64;
/// Memory for a record is set aside in steps of at least this, as its bytes come in. One that is larger counts as a request
/// from here on; who announces one and sends nothing keeps nobody from anything.
const READ_STEP_BYTES: usize = 16 * 1024;
/// A peer that has begun a record, or is to take a reply, has to make progress within this.
const STALL: Duration = Duration::from_secs(30);
/// From its first byte to its last a record takes at most this.
const RECORD_LIMIT: Duration = Duration::from_secs(120);

/// A reply on its way out, or a call; the permits of a reply are given back when it is gone.
pub(crate) struct Outgoing {
    pieces: Vec<Bytes>,
    _permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Outgoing {
    /// A call to the client.
    pub(crate) fn call(pieces: Vec<Bytes>) -> Outgoing {
        Outgoing { pieces, _permits: None }
    }
}

/// Ends the connection when a request panics, so that the client asks again instead of waiting for ever.
struct Alarm(Arc<Notify>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

/// Serves the connection until the peer leaves, breaks the rules, or `shutdown` fires.
pub(crate) async fn run<V: Vfs>(
    shared: Arc<Shared<V>>,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: Shutdown,
) {
    let (reader, writer) = stream.into_split();
    let (replies, queue) = mpsc::channel(REQUESTS_MAX);
    let write = tokio::spawn(send_replies(writer, queue));
    let mut stop = shutdown;
    let broken = Arc::new(Notify::new());
    let line = Line::new(&replies);
    let reading = read_requests(&shared, reader, (peer, &line), replies, &broken);
    let result = tokio::select! {
        result = reading => result,
        () = broken.notified() => Err(io::Error::other("a request failed without a reply")),
        () = stop.fired() => Ok(()),
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ends");
    }
    line.end();
    // The running requests hold the other ends of the queue; the writer ends after the last of them.
    match write.await {
        Ok(Err(error)) => tracing::debug!(%peer, %error, "replies could not be sent"),
        Err(error) => tracing::error!(%peer, %error, "writer failed"),
        Ok(Ok(())) => {}
    }
}

async fn read_requests<V: Vfs>(
    shared: &Arc<Shared<V>>,
    mut reader: OwnedReadHalf,
    (peer, line): (SocketAddr, &Arc<Line>),
    replies: mpsc::Sender<Outgoing>,
    broken: &Arc<Notify>,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
        let Some(header) = read_header(&mut reader, shared.config.idle).await? else { return Ok(()) };
        let record = read_record(&mut reader, header, &shared.requests);
        let (record, request) = timeout(RECORD_LIMIT, record).await??;
        if line.take(&record) {
            continue;
        }
        let shared = Arc::clone(shared);
        let line = Arc::clone(line);
        let replies = replies.clone();
        // The request goes on when the connection breaks: its reply is for the slot, too.
        let alarm = Alarm(Arc::clone(broken));
        tokio::spawn(async move {
            let _alarm = alarm;
            if let Some(pieces) = answer(&shared, (peer, line), record).await {
                // Nobody is there any more when the writer has ended.
                let _ = replies.send(Outgoing { pieces, _permits: Some((slot, request)) }).await;
            }
        });
    }
}

/// The next record's first header; `None` when the peer has left or has been idle for too long.
async fn read_header(reader: &mut OwnedReadHalf, idle: Duration) -> io::Result<Option<FragmentHeader>> {
    let mut header = [0; 4];
    match timeout(idle, reader.read_exact(&mut header)).await {
        Err(_) => Ok(None),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) => Ok(Some(FragmentHeader::parse(header))),
    }
}

/// The record behind its first header, as one of all requests of the server.
async fn read_record(
    reader: &mut OwnedReadHalf,
    first: FragmentHeader,
    requests: &Arc<Semaphore>,
) -> io::Result<(Bytes, OwnedSemaphorePermit)> {
    let request = || async { Arc::clone(requests).acquire_owned().await.map_err(io::Error::other) };
    let (mut record, mut permit) = (BytesMut::new(), None);
    let mut header = first;
    for _ in 0..FRAGMENTS_MAX {
        let end = record.len() + header.length as usize;
        if end > RECORD_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "record is too large"));
        }
        while record.len() < end {
            if record.len() >= READ_STEP_BYTES && permit.is_none() {
                permit = Some(request().await?);
            }
            let missing = end - record.len();
            record.reserve(missing.min(READ_STEP_BYTES.max(record.len())));
            let mut part = (&mut *reader).take(missing as u64);
            if timeout(STALL, part.read_buf(&mut record)).await?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if header.last {
            let permit = match permit {
                Some(permit) => permit,
                None => request().await?,
            };
            return Ok((record.freeze(), permit));
        }
        let mut next = [0; 4];
        timeout(STALL, reader.read_exact(&mut next)).await??;
        header = FragmentHeader::parse(next);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "record has too many fragments"))
}

/// The reply to a record, ready to be sent; `None` when it is none to be answered.
async fn answer<V: Vfs>(
    shared: &Arc<Shared<V>>,
    from: (SocketAddr, Arc<Line>),
    record: Bytes,
) -> Option<Vec<Bytes>> {
    let mut arguments = Decoder::new(record);
    let (xid, status, body) = match Call::decode(&mut arguments) {
        Err(CallError::NotACall) => return None,
        Err(CallError::Refused { xid, why }) => (xid, why, Encoder::new()),
        Ok(call) => {
            let xid = call.xid;
            match dispatch(shared, from, call, arguments).await {
                Ok(body) => (xid, ReplyStatus::Success, body),
                Err(status) => (xid, status, Encoder::new()),
            }
        }
    };
    let mut reply = Encoder::new();
    status.encode(xid, &mut reply);
    reply.append(body);
    let header = FragmentHeader::whole(reply.len())?;
    let mut pieces = vec![Bytes::copy_from_slice(&header)];
    pieces.extend(reply.into_pieces());
    Some(pieces)
}

async fn dispatch<V: Vfs>(
    shared: &Arc<Shared<V>>,
    (peer, line): (SocketAddr, Arc<Line>),
    call: Call,
    arguments: Decoder,
) -> Result<Encoder, ReplyStatus> {
    if call.program != nfs_wire::PROGRAM {
        return Err(ReplyStatus::ProgramUnavailable);
    }
    if call.version != nfs_wire::VERSION {
        return Err(ReplyStatus::ProgramMismatch { low: nfs_wire::VERSION, high: nfs_wire::VERSION });
    }
    if matches!(call.credential, Credential::Other(_)) {
        return Err(ReplyStatus::Denied(AuthStat::TooWeak));
    }
    match call.procedure {
        nfs_wire::PROC_NULL => Ok(Encoder::new()),
        nfs_wire::PROC_COMPOUND => {
            let caller = Caller { credential: call.credential, peer, line };
            compound::run(shared, caller, arguments).await
        }
        _ => Err(ReplyStatus::ProcedureUnavailable),
    }
}

async fn send_replies(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Outgoing>) -> io::Result<()> {
    while let Some(outgoing) = queue.recv().await {
        write_pieces(&mut writer, &outgoing.pieces).await?;
    }
    writer.shutdown().await
}

async fn write_pieces(writer: &mut OwnedWriteHalf, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written = timeout(STALL, writer.write_vectored(rest)).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}
