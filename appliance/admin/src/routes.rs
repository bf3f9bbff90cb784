//! The routes, under `/v1`.

use crate::control::{Control, ControlError, ErrorKind};
use crate::report::{CreateFilesystem, CreateS3Key, DeleteFilesystem, SetExport};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Largest body of a request.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match self.kind {
            ErrorKind::NotYet => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self)).into_response()
    }
}

fn reply<T: Serialize>(result: Result<T, ControlError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(err) => err.into_response(),
    }
}

/// A body, or one sentence on what is wrong with it.
fn body<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(bytes)
        .map_err(|err| ControlError::new(ErrorKind::Invalid, format!("the request is not understood: {err}")))
}

/// Whether something is done that others would notice.
#[derive(Deserialize)]
struct How {
    #[serde(default)]
    force: bool,
    #[serde(default)]
    retained: bool,
}

#[derive(Deserialize)]
struct OfPath {
    path: String,
}

type Shared<C> = State<Arc<C>>;

/// All routes, without any check of who asks.
pub(crate) fn router<C: Control>(control: Arc<C>) -> Router {
    Router::new()
        .route("/v1/status", get(async |State(c): Shared<C>| reply(c.status().await)))
        .route("/v1/drives", get(async |State(c): Shared<C>| reply(c.drives().await)))
        .route(
            "/v1/drives/{id}/fail",
            post(async |State(c): Shared<C>, Path(id): Path<u32>| reply(c.drive_fail(id).await)),
        )
        .route(
            "/v1/drives/{id}/replace",
            post(async |State(c): Shared<C>, Path(id): Path<u32>| reply(c.drive_replace(id).await)),
        )
        .route("/v1/fsck", post(async |State(c): Shared<C>| reply(c.fsck().await)))
        .route(
            "/v1/placement",
            get(async |State(c): Shared<C>, Query(of): Query<OfPath>| reply(c.placement(of.path).await)),
        )
        .route(
            "/v1/filesystems",
            get(async |State(c): Shared<C>| reply(c.filesystems().await)).post(
                async |State(c): Shared<C>, bytes: axum::body::Bytes| match body::<CreateFilesystem>(&bytes) {
                    Ok(request) => reply(c.filesystem_create(request).await),
                    Err(err) => err.into_response(),
                },
            ),
        )
        .route(
            "/v1/filesystems/{name}",
            delete(async |State(c): Shared<C>, Path(name): Path<String>, Query(how): Query<How>| {
                reply(
                    c.filesystem_delete(DeleteFilesystem { name, force: how.force, retained: how.retained })
                        .await,
                )
            }),
        )
        .route(
            "/v1/exports",
            get(async |State(c): Shared<C>| reply(c.exports().await))
                .put(async |State(c): Shared<C>, bytes: axum::body::Bytes| match body::<SetExport>(&bytes) {
                    Ok(export) => reply(c.export_set(export).await),
                    Err(err) => err.into_response(),
                })
                .delete(async |State(c): Shared<C>, Query(of): Query<OfPath>| {
                    reply(c.export_remove(of.path).await)
                }),
        )
        .route(
            "/v1/s3/keys",
            get(async |State(c): Shared<C>| reply(c.s3_keys().await)).post(
                async |State(c): Shared<C>, bytes: axum::body::Bytes| match body::<CreateS3Key>(&bytes) {
                    Ok(request) => reply(c.s3_key_create(request).await),
                    Err(err) => err.into_response(),
                },
            ),
        )
        .route(
            "/v1/s3/keys/{access_key}",
            delete(async |State(c): Shared<C>, Path(key): Path<String>| reply(c.s3_key_delete(key).await)),
        )
        .fallback(async || ControlError::new(ErrorKind::NotFound, "there is no such route"))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(control)
}
