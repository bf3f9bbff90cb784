//! The other side: asks the daemon of a data folder through its Unix socket.

use crate::control::{ControlError, ErrorKind};
use crate::report::{
    ChunkPlaces, CreateFilesystem, CreateS3Key, DeleteFilesystem, Drives, Exports, FilesystemReport,
    Filesystems, FsckReport, Removal, S3KeyReport, S3Keys, SetExport, Status,
};
use crate::socket::{short_path, socket_path};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Largest reply that is taken.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no daemon answers at {}: {source}; is plexusd running on this data folder (--data, PLEXUS_DATA)?", path.display())]
    Absent {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] ControlError),
    /// The connection broke, or the reply is not one.
    #[error("the daemon's answer: {0}")]
    Broken(String),
}

/// A client of one daemon; each request is a connection.
#[derive(Clone, Debug)]
pub struct Client {
    data: PathBuf,
}

impl Client {
    /// For the daemon of a data folder.
    #[must_use]
    pub fn new(data: &Path) -> Client {
        Client { data: data.to_owned() }
    }

    /// Asks for the status.
    ///
    /// # Errors
    /// See [`ClientError`], as with all methods.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, "/v1/status", &()).await
    }

    /// Lists the drives.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn drives(&self) -> Result<Drives, ClientError> {
        self.ask(Method::GET, "/v1/drives", &()).await
    }

    /// Takes a drive out of service.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn drive_fail(&self, id: u32) -> Result<(), ClientError> {
        self.ask(Method::POST, &format!("/v1/drives/{id}/fail"), &()).await
    }

    /// Puts an empty drive in the place of a lost one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn drive_replace(&self, id: u32) -> Result<(), ClientError> {
        self.ask(Method::POST, &format!("/v1/drives/{id}/replace"), &()).await
    }

    /// Checks everything.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn fsck(&self) -> Result<FsckReport, ClientError> {
        self.ask(Method::POST, "/v1/fsck", &()).await
    }

    /// Asks where a file's chunks are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn placement(&self, path: &str) -> Result<ChunkPlaces, ClientError> {
        self.ask(Method::GET, &format!("/v1/placement?path={}", escaped(path)), &()).await
    }

    /// Lists the filesystems.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn filesystems(&self) -> Result<Filesystems, ClientError> {
        self.ask(Method::GET, "/v1/filesystems", &()).await
    }

    /// Makes a filesystem.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn filesystem_create(
        &self,
        request: &CreateFilesystem,
    ) -> Result<FilesystemReport, ClientError> {
        self.ask(Method::POST, "/v1/filesystems", request).await
    }

    /// Removes a filesystem; what it takes is given back in the background.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn filesystem_delete(&self, request: &DeleteFilesystem) -> Result<Removal, ClientError> {
        let DeleteFilesystem { name, force, retained } = request;
        let target = format!("/v1/filesystems/{}?force={force}&retained={retained}", escaped(name));
        self.ask(Method::DELETE, &target, &()).await
    }

    /// Lists the exports.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn exports(&self) -> Result<Exports, ClientError> {
        self.ask(Method::GET, "/v1/exports", &()).await
    }

    /// Adds or changes an export.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn export_set(&self, export: &SetExport) -> Result<(), ClientError> {
        self.ask(Method::PUT, "/v1/exports", export).await
    }

    /// Takes back what was set of an export.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn export_remove(&self, path: &str) -> Result<(), ClientError> {
        self.ask(Method::DELETE, &format!("/v1/exports?path={}", escaped(path)), &()).await
    }

    /// Lists the S3 access keys.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn s3_keys(&self) -> Result<S3Keys, ClientError> {
        self.ask(Method::GET, "/v1/s3/keys", &()).await
    }

    /// Makes an S3 access key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn s3_key_create(&self, request: &CreateS3Key) -> Result<S3KeyReport, ClientError> {
        self.ask(Method::POST, "/v1/s3/keys", request).await
    }

    /// Takes an S3 access key back.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn s3_key_delete(&self, access_key: &str) -> Result<(), ClientError> {
        self.ask(Method::DELETE, &format!("/v1/s3/keys/{}", escaped(access_key)), &()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let absent = |source| ClientError::Absent { path: socket_path(&self.data), source };
        let (path, _folder) = short_path(&self.data).map_err(absent)?;
        let stream = UnixStream::connect(&path).await.map_err(absent)?;
        let broken = |err: &dyn std::fmt::Display| ClientError::Broken(err.to_string());
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|err| broken(&err))?;
        let body = serde_json::to_vec(body).map_err(|err| broken(&err))?;
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "plexus")
            .body(Full::new(Bytes::from(body)))
            .map_err(|err| broken(&err))?;
        let exchange = async {
            let reply = sender.send_request(request).await.map_err(|err| broken(&err))?;
            let good = reply.status().is_success();
            let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX);
            let bytes = body.collect().await.map_err(|err| broken(&err))?.to_bytes();
            Ok::<(bool, Bytes), ClientError>((good, bytes))
        };
        let (good, bytes) = tokio::select! {
            done = exchange => done?,
            Err(err) = connection => return Err(broken(&err)),
        };
        if good {
            return serde_json::from_slice(&bytes).map_err(|err| broken(&err));
        }
        let error = serde_json::from_slice::<ControlError>(&bytes).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            ControlError::new(ErrorKind::Failed, text)
        });
        Err(error.into())
    }
}

/// Percent-encodes all but what RFC 3986 2.3 leaves as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
