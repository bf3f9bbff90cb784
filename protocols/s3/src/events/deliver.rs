//! Sending events to their targets: one task for each, several events at a time, again and again until they are taken.

use super::queue::Target;
use super::record::EventRecord;
use crate::files::Files;
use crate::head::Head;
use crate::records::decode;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::uri::Scheme;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use s3s::S3Result;
use serve::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use types::{Cred, FileId, FsError, Name};
use vfs::Vfs;

/// Events that are looked at together.
const PAGE: u32 = 100;
/// Events that are on their way to a target at a time.
const AT_ONCE: usize = 8;
/// After so many failures the rest of a page waits, too.
const FAILURES_MAX: u64 = 8;
/// How long a target may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer, which nobody reads.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// From the first pause after a failure to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Sends events to all targets until `shutdown`.
pub(crate) async fn run<V: Vfs>(head: Head<V>, mut shutdown: Shutdown) {
    let mut tasks = tokio::task::JoinSet::new();
    for name in head.0.events.names() {
        tasks.spawn(one(head.clone(), name.clone()));
    }
    tokio::select! {
        () = shutdown.fired() => {}
        () = async { while tasks.join_next().await.is_some() {} } => {}
    }
}

/// Sends events to one target.
async fn one<V: Vfs>(head: Head<V>, name: String) {
    let Some(target) = head.0.events.target(&name) else { return };
    let courier = Courier { target, idle: Mutex::default() };
    let mut pause = PAUSES.0;
    let mut counted = false;
    loop {
        match pass(&head, &courier, &mut counted).await {
            Ok(true) => {
                pause = PAUSES.0;
                target.news.notified().await;
                continue;
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(target = name, %error, "events are looked for later"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Tries all that waits once; whether all was taken.
async fn pass<V: Vfs>(head: &Head<V>, courier: &Courier<'_>, counted: &mut bool) -> S3Result<bool> {
    let root = head.files(Cred::root());
    let dir = head.events_dir(&root, &courier.target.webhook.name).await?;
    if !*counted {
        let mut from: Option<Name> = None;
        let mut left_over = 0;
        loop {
            let page = head.page_of_events(&root, dir, from.as_ref(), 1000).await?;
            left_over += page.entries.len() as u64;
            from = page.entries.last().map(|entry| entry.name.clone());
            if page.end {
                break;
            }
        }
        // What has come since the start is counted by both; it is few, and the next start puts it right.
        courier.target.waiting.fetch_max(left_over, Ordering::Relaxed);
        *counted = true;
    }
    let failures = AtomicU64::new(0);
    let mut from: Option<Name> = None;
    loop {
        let page = head.page_of_events(&root, dir, from.as_ref(), PAGE).await?;
        from = page.entries.last().map(|entry| entry.name.clone());
        let sending = stream::iter(page.entries).for_each_concurrent(AT_ONCE, |entry| {
            let event = entry.value.and_then(|value| decode::<EventRecord>(&value.value));
            let (root, failures) = (&root, &failures);
            async move {
                if failures.load(Ordering::Relaxed) >= FAILURES_MAX {
                    return;
                }
                let Some(event) = event else {
                    tracing::error!(event = %entry.name, "an event cannot be read, and is given up");
                    return forget(root, dir, &entry.name, courier.target).await;
                };
                match courier.send(&event, &head.0.config.region).await {
                    Ok(()) => {
                        courier.target.delivered.fetch_add(1, Ordering::Relaxed);
                        forget(root, dir, &entry.name, courier.target).await;
                    }
                    Err(error) => {
                        failures.fetch_add(1, Ordering::Relaxed);
                        courier.target.failed.fetch_add(1, Ordering::Relaxed);
                        let target = &courier.target.webhook.name;
                        tracing::warn!(target, %error, "an event was not taken; it is sent again later");
                    }
                }
            }
        });
        sending.await;
        let failed = failures.load(Ordering::Relaxed);
        if page.end || failed >= FAILURES_MAX {
            return Ok(failed == 0);
        }
    }
}

/// An event was taken. Where it cannot be removed it is sent again, which targets have to bear.
async fn forget<V: Vfs>(root: &Files<V>, dir: FileId, name: &Name, target: &Target) {
    match root.unlink(dir, name).await {
        Ok(()) | Err(FsError::NotFound) => {
            let less = |waiting: u64| Some(waiting.saturating_sub(1));
            let _ = target.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        Err(error) => tracing::warn!(%error, "an event that was taken cannot be removed"),
    }
}

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it took over {} s", PATIENCE.as_secs())]
    Late,
    #[error("it answered {0}")]
    Status(http::StatusCode),
    #[error("its address is no URL of HTTP, or nobody is named who could vouch for it")]
    Address,
}

/// Who brings events to a target, with the connections that are idle.
struct Courier<'a> {
    target: &'a Target,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Courier<'_> {
    async fn send(&self, event: &EventRecord, region: &str) -> Result<(), NotTaken> {
        let body = Bytes::from(event.message(region).to_string());
        match tokio::time::timeout(PATIENCE, self.post(body)).await {
            Ok(sent) => sent,
            Err(_) => Err(NotTaken::Late),
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), NotTaken> {
        let mut connection = self.connection().await?;
        let response = connection.send_request(self.request(body)?).await?;
        let status = response.status();
        // A connection is good for the next only when the answer was read.
        let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.is_ok();
        if read && connection.ready().await.is_ok() {
            self.idle.lock().push(connection);
        }
        if status.is_success() { Ok(()) } else { Err(NotTaken::Status(status)) }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, NotTaken> {
        let url = &self.target.webhook.url;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let authority = url.authority().ok_or(NotTaken::Address)?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path.parse::<Uri>().map_err(|_| NotTaken::Address)?)
            .header(HOST, authority.as_str())
            .header(CONTENT_TYPE, "application/json");
        if !self.target.webhook.token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.target.webhook.token));
        }
        request.body(Full::new(body)).map_err(|_| NotTaken::Address)
    }

    /// One that is idle, or a new one.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, NotTaken> {
        loop {
            let idle = self.idle.lock().pop();
            match idle {
                Some(connection) if connection.is_closed() => {}
                Some(connection) => return Ok(connection),
                None => break,
            }
        }
        let url = &self.target.webhook.url;
        let host = url.host().ok_or(NotTaken::Address)?.trim_matches(['[', ']']);
        let secure = url.scheme() == Some(&Scheme::HTTPS);
        let stream =
            TcpStream::connect((host, url.port_u16().unwrap_or(if secure { 443 } else { 80 }))).await?;
        stream.set_nodelay(true)?;
        if !secure {
            return speak(stream).await;
        }
        let authorities = self.target.webhook.authorities.as_ref().ok_or(NotTaken::Address)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| NotTaken::Address)?;
        speak(authorities.connector().connect(name, stream).await?).await
    }
}

/// Begins to speak HTTP.
async fn speak<T>(stream: T) -> Result<SendRequest<Full<Bytes>>, NotTaken>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a webhook ended");
        }
    });
    Ok(sender)
}
