//! Calls from the server to the client, over the client's own connection (RFC 8881 section 2.10.3.1).

use crate::connection::Outgoing;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use xdr::record::FragmentHeader;
use xdr::rpc::ReplyStatus;
use xdr::{Decoder, Encoder};

/// A client that takes longer to answer a call is taken for one that does not.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Calls at a time; each session has fewer slots than that.
const CALLS_MAX: usize = 64;

/// The way from the server to whoever is at the other end of a connection.
pub(crate) struct Line {
    out: mpsc::WeakSender<Outgoing>,
    next: AtomicU32,
    /// `None` after the end of the connection.
    waiting: Mutex<Option<HashMap<u32, oneshot::Sender<Bytes>>>>,
}

/// Takes a call back when nobody waits for its reply any more.
struct Call<'a> {
    line: &'a Line,
    xid: u32,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = &mut *self.line.waiting() {
            waiting.remove(&self.xid);
        }
    }
}

impl Line {
    pub(crate) fn new(out: &mpsc::Sender<Outgoing>) -> Arc<Line> {
        let waiting = Mutex::new(Some(HashMap::new()));
        Arc::new(Line { out: out.downgrade(), next: AtomicU32::new(1), waiting })
    }

    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<u32, oneshot::Sender<Bytes>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the connection is there.
    pub(crate) fn is_up(&self) -> bool {
        self.waiting().is_some()
    }

    /// The connection has ended.
    pub(crate) fn end(&self) {
        *self.waiting() = None;
    }

    /// Calls; `encode` makes the call with the number that it is given. `None` without an answer.
    pub(crate) async fn call(&self, encode: impl FnOnce(u32) -> Encoder) -> Option<Decoder> {
        let xid = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            let waiting = waiting.as_mut().filter(|waiting| waiting.len() < CALLS_MAX)?;
            waiting.insert(xid, sender);
        }
        let _call = Call { line: self, xid };
        let body = encode(xid);
        let header = FragmentHeader::whole(body.len())?;
        let mut pieces = vec![Bytes::copy_from_slice(&header)];
        pieces.extend(body.into_pieces());
        let answer = async {
            self.out.upgrade()?.send(Outgoing::call(pieces)).await.ok()?;
            receiver.await.ok()
        };
        let mut reply = Decoder::new(timeout(ANSWERS_WITHIN, answer).await.ok()??);
        matches!(ReplyStatus::decode_success(&mut reply), Ok((_, true))).then_some(reply)
    }

    /// Takes a record that is a reply; says whether it was one.
    pub(crate) fn take(&self, record: &Bytes) -> bool {
        const REPLY: u32 = 1;
        let mut head = Decoder::new(record.clone());
        let (Ok(xid), Ok(REPLY)) = (head.u32(), head.u32()) else { return false };
        let sender = self.waiting().as_mut().and_then(|waiting| waiting.remove(&xid));
        if let Some(sender) = sender {
            // Who called may have given up.
            let _ = sender.send(record.clone());
        }
        true
    }
}
