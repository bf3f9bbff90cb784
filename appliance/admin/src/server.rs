//! The doors: a Unix socket in the data folder, and a TCP address behind the token.

use crate::bounded::Bounded;
use crate::control::{Control, ControlError, ErrorKind};
use crate::routes::router;
use crate::socket::short_path;
use crate::token::Token;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

/// Connections that each door holds at once.
const CONNECTIONS_MAX: usize = 128;
/// How long requests under way have at the end.
const DRAIN: Duration = Duration::from_secs(2);

/// Why the interface cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The TCP address cannot be had.
    #[error("admin.listen = {address}: {source}; another program may have the port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The socket or the token in the data folder cannot be made.
    #[error("the administration socket in the data folder: {0}")]
    Folder(#[from] io::Error),
}

/// Both doors, open but not yet served.
pub struct AdminDoors {
    unix: UnixListener,
    tcp: TcpListener,
    token: Token,
}

impl AdminDoors {
    /// Opens both doors. The caller holds the lock of the data folder: a socket that is there is stale.
    ///
    /// # Errors
    /// When a door cannot be opened.
    pub async fn open(data: &Path, listen: SocketAddr) -> Result<AdminDoors, AdminError> {
        let token = Token::of(data)?;
        let (path, _folder) = short_path(data)?;
        match std::fs::remove_file(&path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err.into()),
            _ => {}
        }
        let unix = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        let tcp = TcpListener::bind(listen)
            .await
            .map_err(|source| AdminError::Listen { address: listen, source })?;
        Ok(AdminDoors { unix, tcp, token })
    }

    /// The TCP address, with the port that was taken.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop` is ready and the requests under way are answered, or have had two
    /// seconds for it: a client that never finishes its request does not keep the daemon.
    ///
    /// # Errors
    /// Those of the sockets.
    pub async fn serve<C: Control>(
        self,
        control: Arc<C>,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let routes = router(control);
        let guarded = routes.clone().layer(from_fn_with_state(self.token, guard));
        let (ended, end) = watch::channel(());
        let unix = axum::serve(Bounded::new(self.unix, CONNECTIONS_MAX), routes)
            .with_graceful_shutdown(closed(end.clone()));
        let tcp =
            axum::serve(Bounded::new(self.tcp, CONNECTIONS_MAX), guarded).with_graceful_shutdown(closed(end));
        let stopped = async move {
            stop.await;
            drop(ended);
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            (unix, tcp) = async { tokio::join!(unix.into_future(), tcp.into_future()) } => unix.and(tcp),
            () = stopped => Ok(()),
        }
    }
}

/// Ready when the sender is gone.
async fn closed(mut end: watch::Receiver<()>) {
    while end.changed().await.is_ok() {}
}

async fn guard(State(token): State<Token>, request: Request, next: Next) -> Response {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token.opens(header) {
        return next.run(request).await;
    }
    let message = "this address wants the token in the data folder (admin.token) as a bearer";
    ControlError::new(ErrorKind::Denied, message).into_response()
}
