//! Bytes on their way from a client into a file. Never an object as a whole.

use crate::budget::{Budget, Room, SMALL_STEP};
use crate::error::{custom, from_fs};
use crate::files::{FILE_MODE, Files, Held};
use crate::hasher::{Awaited, Hasher};
use crate::md5::Md5;
use crate::sums::{Claimed, Sum, Summing, decode, encode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, StdError, TrailingHeaders, s3_error};
use std::time::Duration;
use types::limits::{INLINE_FILE_BYTES_MAX, IO_BYTES_MAX};
use types::{FileId, FsError};
use vfs::{Durability, PutSource, Vfs, Write, WriteOffset};

/// Largest object of one request (AWS: 5 GiB).
pub(crate) const PUT_BYTES_MAX: u64 = 5 << 30;

/// What is known of a body before it comes.
pub(crate) struct Expected {
    pub(crate) length: Option<i64>,
    /// In base 64.
    pub(crate) md5: Option<String>,
    pub(crate) claimed: Claimed,
    /// To compute whether it is claimed or not.
    pub(crate) algorithm: Option<crate::sums::Algorithm>,
    pub(crate) trailers: Option<TrailingHeaders>,
    pub(crate) patience: Duration,
    pub(crate) budget: Budget,
    pub(crate) hasher: Hasher,
}

/// What has come: durable, but nowhere to be seen.
pub(crate) struct Received<V: Vfs> {
    content: Content<V>,
    pub(crate) size: u64,
    pub(crate) md5: [u8; 16],
    pub(crate) sums: Vec<Sum>,
}

enum Content<V: Vfs> {
    /// Few enough for the command that names them, with the room that they take.
    Small {
        data: Bytes,
        _room: Option<Room>,
    },
    Staged(Box<Held<V>>),
}

impl<V: Vfs> Received<V> {
    /// For a put; the file lives as long as this.
    pub(crate) fn source(&self) -> PutSource {
        match &self.content {
            Content::Small { data, .. } => PutSource::Content { data: data.clone(), mode: FILE_MODE },
            Content::Staged(held) => PutSource::Staged(held.file),
        }
    }

    /// What is here as a whole.
    pub(crate) fn small(content: &[u8], md5: [u8; 16], sums: Vec<Sum>) -> Received<V> {
        let size = content.len() as u64;
        Received {
            content: Content::Small { data: Bytes::copy_from_slice(content), _room: None },
            size,
            md5,
            sums,
        }
    }

    /// As the content of a directory, which is kept with its record.
    ///
    /// # Errors
    /// `EntityTooLarge`: it is over 4 KiB.
    pub(crate) fn of_directory(&self) -> S3Result<Vec<u8>> {
        match &self.content {
            Content::Small { data, .. } if data.len() <= INLINE_FILE_BYTES_MAX => Ok(data.to_vec()),
            _ => Err(s3_error!(
                EntityTooLarge,
                "What a key with a slash at its end names has at most 4096 bytes of content here."
            )),
        }
    }

    /// What is already a file.
    pub(crate) fn staged(held: Held<V>, size: u64, md5: [u8; 16], sums: Vec<Sum>) -> Received<V> {
        Received { content: Content::Staged(Box::new(held)), size, md5, sums }
    }
}

/// Takes a body in, near a directory, and checks it.
///
/// # Errors
/// `BadDigest`, `InvalidDigest`, `IncompleteBody`, `RequestTimeout`, `EntityTooLarge` and those of the file system.
pub(crate) async fn receive<V: Vfs>(
    files: &Files<V>,
    near: FileId,
    body: Option<StreamingBlob>,
    expected: Expected,
) -> S3Result<Received<V>> {
    expected.claimed.check_form()?;
    let md5 = match expected.md5.as_deref().map(decode) {
        Some(Some(bytes)) if bytes.len() == 16 => Some(bytes),
        Some(_) => return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")),
        None => None,
    };
    if expected.length.is_some_and(|length| u64::try_from(length).is_ok_and(|length| length > PUT_BYTES_MAX))
    {
        return Err(too_large());
    }
    let wanted = expected.claimed.0.iter().map(|(algorithm, _)| *algorithm);
    let mut summing = Summing::new(wanted.chain(expected.algorithm));
    let mut intake = Intake {
        files,
        near,
        budget: expected.budget,
        room: None,
        waiting: BytesMut::new(),
        staged: None,
        size: 0,
        hasher: expected.hasher,
        digest: Digest::Here(Md5::default()),
    };
    if let Some(mut body) = body {
        loop {
            let next = tokio::time::timeout(expected.patience, body.next()).await;
            let next = next.map_err(|_| s3_error!(RequestTimeout, "The client sends nothing."))?;
            let Some(data) = next else { break };
            let data = data.map_err(|error| of_body(&error))?;
            summing.update(&data);
            intake.take(data).await?;
        }
    }
    // A body in chunks has its length beside.
    let length = expected.length.and_then(|length| u64::try_from(length).ok());
    if length.is_some_and(|length| length != intake.size) {
        return Err(s3_error!(
            IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length HTTP header"
        ));
    }
    let sums = summing.finish();
    let mut claimed = expected.claimed;
    let of_trailers = |algorithm: crate::sums::Algorithm| {
        let value =
            expected.trailers.as_ref()?.read(|headers| headers.get(algorithm.header()).cloned())??;
        Some((algorithm, value.to_str().ok()?.to_owned()))
    };
    claimed.0.extend(crate::sums::Algorithm::ALL.into_iter().filter_map(of_trailers));
    for (algorithm, value) in &claimed.0 {
        let own = sums.iter().find(|sum| sum.algorithm == *algorithm);
        if own.is_none_or(|own| decode(value).map(|bytes| encode(&bytes)) != Some(own.value.clone())) {
            return Err(bad_digest("The checksum you specified did not match the calculated checksum."));
        }
    }
    let (content, size, computed) = intake.finish().await?;
    if md5.is_some_and(|md5| md5 != computed) {
        return Err(bad_digest("The Content-MD5 you specified did not match what we received."));
    }
    Ok(Received { content, size, md5: computed, sums })
}

fn bad_digest(message: &'static str) -> S3Error {
    s3_error!(BadDigest, "{}", message)
}

pub(crate) fn too_large() -> S3Error {
    s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size")
}

/// What is wrong with a body, by the words of who reads it.
fn of_body(error: &StdError) -> S3Error {
    let text = error.to_string();
    tracing::debug!(%text, "a body cannot be read");
    if text.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch, "The signature of a chunk does not match.")
    } else if text.contains("Sha256Mismatch") {
        let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        custom("XAmzContentSHA256Mismatch", http::StatusCode::BAD_REQUEST, message)
    } else if text.contains("FormatError") || text.contains("TooLarge") || text.contains("TooMany") {
        s3_error!(InvalidRequest, "The chunks of the body are not well formed.")
    } else {
        s3_error!(IncompleteBody, "The request body terminated unexpectedly")
    }
}

/// Where bytes go: into memory while they are few, then into a file that has no name.
struct Intake<'a, V: Vfs> {
    files: &'a Files<V>,
    near: FileId,
    budget: Budget,
    /// For a large step in `waiting`.
    room: Option<Room>,
    waiting: BytesMut,
    staged: Option<Held<V>>,
    size: u64,
    hasher: Hasher,
    digest: Digest,
}

/// The MD5 of what has left `waiting`.
enum Digest {
    Here(Md5),
    /// A part of the body is being hashed.
    Away(Awaited),
}

impl<V: Vfs> Intake<'_, V> {
    async fn take(&mut self, mut data: Bytes) -> S3Result<()> {
        self.size += data.len() as u64;
        if self.size > PUT_BYTES_MAX {
            return Err(too_large());
        }
        while !data.is_empty() {
            // A full step goes as it is, without a copy.
            if self.waiting.is_empty() && data.len() > IO_BYTES_MAX {
                let step = data.split_to(IO_BYTES_MAX);
                let end = self.size - data.len() as u64;
                self.leave(end - step.len() as u64, step).await?;
                continue;
            }
            let step = if self.room.is_some() { IO_BYTES_MAX } else { SMALL_STEP };
            if self.waiting.len() < step {
                let part = data.split_to((step - self.waiting.len()).min(data.len()));
                self.waiting.extend_from_slice(&part);
                continue;
            }
            // Only when more comes: what is one step as a whole is put as it is.
            if self.room.is_none()
                && let (step, Some(room)) = self.budget.step()
            {
                self.waiting.reserve(step - self.waiting.len());
                self.room = Some(room);
                continue;
            }
            let end = self.size - data.len() as u64;
            let step = self.waiting.split().freeze();
            self.leave(end - step.len() as u64, step).await?;
        }
        Ok(())
    }

    /// A step goes into the file, and is hashed meanwhile.
    async fn leave(&mut self, offset: u64, data: Bytes) -> S3Result<()> {
        let room = self.room.take();
        self.hash(data.clone(), room).await?;
        self.write(offset, data).await
    }

    async fn hash(&mut self, data: Bytes, room: Option<Room>) -> S3Result<()> {
        let mut md5 = self.md5().await?;
        if data.len() <= INLINE_FILE_BYTES_MAX {
            md5.update(&data);
            self.digest = Digest::Here(md5);
        } else {
            self.digest = Digest::Away(self.hasher.begin(md5, data, room).await);
        }
        Ok(())
    }

    async fn md5(&mut self) -> S3Result<Md5> {
        match std::mem::replace(&mut self.digest, Digest::Here(Md5::default())) {
            Digest::Here(md5) => Ok(md5),
            Digest::Away(digest) => {
                digest.end().await.ok_or_else(|| s3_error!(ServiceUnavailable, "The server ends."))
            }
        }
    }

    async fn write(&mut self, offset: u64, data: Bytes) -> S3Result<()> {
        if self.staged.is_none() {
            self.staged = Some(self.files.stage(self.near, FILE_MODE).await.map_err(from_fs)?);
        }
        let Some(held) = &self.staged else { return Err(from_fs(FsError::Io)) };
        write(self.files, held, offset, data).await
    }

    /// What has come as a whole, its size and its MD5.
    async fn finish(mut self) -> S3Result<(Content<V>, u64, [u8; 16])> {
        let size = self.size;
        let rest = self.waiting.split().freeze();
        if self.staged.is_none() {
            self.hash(rest.clone(), None).await?;
            let md5 = self.md5().await?.finish();
            return Ok((Content::Small { data: rest, _room: self.room }, size, md5));
        }
        if !rest.is_empty() {
            self.leave(size - rest.len() as u64, rest).await?;
        }
        let Some(held) = self.staged.take() else { return Err(from_fs(FsError::Io)) };
        self.files.commit(held.file).await.map_err(from_fs)?;
        let md5 = self.md5().await?.finish();
        Ok((Content::Staged(Box::new(held)), size, md5))
    }
}

/// Writes a step into a held file; durable with its commit.
pub(crate) async fn write<V: Vfs>(
    files: &Files<V>,
    held: &Held<V>,
    offset: u64,
    data: Bytes,
) -> S3Result<()> {
    let request = Write {
        file: held.file,
        open: Some(held.open),
        offset: WriteOffset::At(offset),
        data,
        durability: Durability::Unstable,
    };
    files.vfs.write(&files.ctx, request).await.map(drop).map_err(from_fs)
}

/// Copies bytes from one file to another in bounded steps.
pub(crate) async fn copy<V: Vfs>(
    files: &Files<V>,
    (from, mut from_offset): (&Held<V>, u64),
    (to, mut to_offset): (&Held<V>, u64),
    mut length: u64,
) -> S3Result<()> {
    while length > 0 {
        let step = u32::try_from(length.min(IO_BYTES_MAX as u64)).unwrap_or(u32::MAX);
        let data = files.read(from, from_offset, step).await.map_err(from_fs)?.data;
        if data.is_empty() {
            return Err(s3_error!(ConditionalRequestConflict, "The source was cut meanwhile."));
        }
        let done = data.len() as u64;
        write(files, to, to_offset, data).await?;
        (from_offset, to_offset, length) = (from_offset + done, to_offset + done, length - done);
    }
    Ok(())
}
