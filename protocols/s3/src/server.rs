//! From connections to requests, and back.

use crate::account::Accounts;
use crate::answers;
use crate::budget::Budget;
use crate::cors;
use crate::crowd::{Crowd, Use, Watched};
use crate::events::{self, Events, WebhookState};
use crate::forms;
use crate::hasher::Hasher;
use crate::head::{Head, Inner, KEY_LOCKS, Origin, S3Config};
use crate::tls::Certificates;
use env::{Clock, Random};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config as WireConfig, StaticConfigProvider};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, S3Error, S3Result, s3_error};
use serve::{Limits, Shutdown};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use vfs::Vfs;

/// Largest body of a request that is read as a whole: XML of a thousand keys.
pub(crate) const XML_BYTES_MAX: usize = 4 << 20;
/// Largest file of a form, which is held in memory.
const FORM_BYTES_MAX: u64 = 16 << 20;
/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long a connection waits for one to end that has to make way for it.
const WAIT: Duration = Duration::from_secs(1);

/// Serves a file system as S3.
pub struct Server<V> {
    head: Head<V>,
    service: S3Service,
}

impl<V> Clone for Server<V> {
    fn clone(&self) -> Server<V> {
        Server { head: self.head.clone(), service: self.service.clone() }
    }
}

impl<V: Vfs> Server<V> {
    /// On this file system, for these accounts.
    #[must_use]
    pub fn new(
        vfs: Arc<V>,
        config: S3Config,
        accounts: Accounts,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Server<V> {
        let domains = config.domains.clone();
        let events = Events::new(config.webhooks.clone());
        let inner = Inner {
            vfs,
            config,
            accounts: accounts.clone(),
            clock,
            random,
            events,
            budget: Budget::default(),
            hasher: Hasher::default(),
            buckets: parking_lot::Mutex::default(),
            guards: parking_lot::Mutex::default(),
            keys: (0..KEY_LOCKS).map(|_| tokio::sync::Mutex::default()).collect(),
        };
        let head = Head(Arc::new(inner));
        let mut wire = WireConfig::default();
        wire.xml_max_body_size = XML_BYTES_MAX;
        wire.post_object_max_file_size = FORM_BYTES_MAX;
        wire.form_max_fields_size = forms::FIELDS_BYTES_MAX;
        let mut builder = S3ServiceBuilder::new(head.clone());
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(wire))));
        builder.set_auth(Secrets(accounts));
        builder.set_access(Open);
        builder.set_host(Domains(domains));
        Server { head, service: builder.build() }
    }

    /// Does what lifecycle rules say, and forgets what removed buckets have left, until `shutdown`.
    pub async fn keep_house(self, shutdown: Shutdown) {
        crate::lifecycle::run(self.head, shutdown).await;
    }

    /// Sends events to their targets, until `shutdown`.
    pub async fn send_events(self, shutdown: Shutdown) {
        events::run(self.head, shutdown).await;
    }

    /// How the targets of events are doing.
    #[must_use]
    pub fn webhooks(&self) -> Vec<WebhookState> {
        self.head.0.events.states()
    }

    /// Serves HTTP until `shutdown`; requests under way come to their end.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) {
        self.listen(listener, None, shutdown).await;
    }

    /// Serves HTTPS until `shutdown`, as [`Self::serve`].
    pub async fn serve_tls(self, listener: TcpListener, certificates: Certificates, shutdown: Shutdown) {
        self.listen(listener, Some(certificates), shutdown).await;
    }

    async fn listen(self, listener: TcpListener, tls: Option<Certificates>, shutdown: Shutdown) {
        let most = self.head.0.config.connections;
        // Who is asked to go is still there for a moment.
        let connections = most + (most / 8).max(16);
        let limits = Limits { connections, wait: WAIT, ..Limits::default() };
        let crowd = Crowd::new(most);
        let signal = shutdown.clone();
        serve::run(listener, limits, shutdown, move |stream, peer| {
            let (this, tls, signal) = (self.clone(), tls.clone(), signal.clone());
            let member = crowd.enter();
            async move {
                let of = member.use_of();
                let stream = Watched::new(stream, of.clone(), this.head.0.config.patience);
                let serving = async {
                    match tls {
                        None => this.connection(stream, (peer, false), of, signal).await,
                        Some(tls) => this.handshake(stream, &tls, peer, of, signal).await,
                    }
                };
                tokio::select! {
                    () = serving => {}
                    () = member.asked_to_go() => tracing::debug!(%peer, "a connection made way for another"),
                }
            }
        })
        .await;
    }

    async fn handshake(
        self,
        stream: Watched<TcpStream>,
        tls: &Certificates,
        peer: SocketAddr,
        of: Use,
        mut shutdown: Shutdown,
    ) {
        let accepting = tokio::time::timeout(self.head.0.config.patience, tls.acceptor().accept(stream));
        let accepted = tokio::select! {
            accepted = accepting => accepted,
            () = shutdown.fired() => return,
        };
        match accepted {
            Ok(Ok(stream)) => self.connection(stream, (peer, true), of, shutdown).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
            Err(_) => tracing::debug!(%peer, "a client took too long to begin with TLS"),
        }
    }

    async fn connection<T>(
        self,
        stream: T,
        (peer, secure): (SocketAddr, bool),
        of: Use,
        mut shutdown: Shutdown,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let patience = self.head.0.config.patience;
        let service = hyper::service::service_fn(move |request| {
            of.asked();
            self.clone().answer(request, peer, secure)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_buf_size(HEAD_BYTES_MAX.max(8192))
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.fired() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }

    async fn answer(
        self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        secure: bool,
    ) -> Result<Response<Body>, HttpError> {
        let uri = request.uri().clone();
        let id = format!("{:016X}", self.head.random());
        request.extensions_mut().insert(Origin { address: peer, uri: uri.clone(), id: id.clone(), secure });
        let asks = cors::Asked::of(&request);
        let method = request.method().clone();
        let form = request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form =
            method == Method::POST && form.is_some_and(|form| form.starts_with("multipart/form-data"));
        let waits = request.headers().contains_key(http::header::EXPECT);
        let is_empty = request.body().is_end_stream();
        let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        let by_host = host.and_then(|host| bucket_in(&self.head.0.config.domains, host)).is_some();
        let refused = answers::refused(&request, by_host, self.head.now().seconds);
        let mut response = match (&asks, refused) {
            (Some(asks), _) if method == Method::OPTIONS => cors::preflight(&self.head, asks, &request).await,
            (_, Some(error)) => answers::said(error),
            _ if !answers::may_last(&uri) => answers::lasts_too_long(),
            _ => self.service.call(with_body(request, is_form)).await?,
        };
        if let Some(asks) = asks.filter(|_| method != Method::OPTIONS) {
            cors::decorate(&self.head, &asks, &method, &mut response).await;
        }
        if method == Method::GET && asks_for_attributes(&uri) && response.status().is_success() {
            answers::bare_etag(&mut response).await;
        }
        answers::complete(&mut response, &method, &id, is_form).await;
        let bodiless = matches!(response.status(), StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT);
        if bodiless || method == Method::HEAD && !response.status().is_success() {
            let headers = response.headers_mut();
            headers.remove(http::header::CONTENT_TYPE);
            headers.remove(http::header::CONTENT_LENGTH);
            *response.body_mut() = Body::empty();
        }
        if waits && (is_empty || !response.status().is_success()) {
            // The body may never have been asked for, and clients differ in what they then do with the connection;
            // one without bytes never is, and botocore takes the status of this answer for the next one's.
            response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(HeaderName::from_static("x-amz-request-id"), id);
        }
        Ok(response)
    }
}

/// The request as the wire takes it. Of a form it is noted what only passes by there.
fn with_body(mut request: Request<Incoming>, is_form: bool) -> Request<Body> {
    let Some(seen) = Some(request.headers()).filter(|_| is_form).and_then(forms::Seen::new) else {
        return request.map(Body::from);
    };
    request.extensions_mut().insert(seen.clone());
    request.map(|body| {
        Body::http_body(body.map_frame(move |frame| {
            frame.data_ref().inspect(|data| seen.take(data));
            frame
        }))
    })
}

fn asks_for_attributes(uri: &http::Uri) -> bool {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| pair.split('=').next() == Some("attributes"))
}

/// The secrets of access keys.
struct Secrets(Accounts);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let key = self.0.key(access_key).ok_or_else(|| {
            s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records.")
        })?;
        Ok(SecretKey::from(key.secret))
    }
}

/// Each operation decides for itself, also about requests without a key.
struct Open;

#[async_trait::async_trait]
impl s3s::access::S3Access for Open {
    async fn check(&self, _: &mut s3s::access::S3AccessContext<'_>) -> S3Result<()> {
        Ok(())
    }
}

/// Domains below which hosts name buckets.
struct Domains(Vec<String>);

/// The bucket in a host, below one of these domains.
pub(crate) fn bucket_in<'a>(domains: &[String], host: &'a str) -> Option<&'a str> {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    domains.iter().find_map(|domain| bare.strip_suffix(domain.as_str())?.strip_suffix('.'))
}

impl S3Host for Domains {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> Result<VirtualHost<'a>, S3Error> {
        let own = VirtualHost::new(host);
        Ok(match bucket_in(&self.0, host) {
            Some(bucket) => own.with_bucket(bucket),
            None => own,
        })
    }
}
