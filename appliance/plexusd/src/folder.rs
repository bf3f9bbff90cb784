//! The data folder: whose it is, how often it was started, and that only one daemon uses it.

use env::durable::{self, FileLock};
use env::{Random, durable::lock};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

/// What the folder remembers; the file `cluster`. Format: docs/formats/folder.md.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u32,
    /// The cluster, 32 hexadecimal digits.
    cluster: String,
    /// Number of drives that the cluster was made with.
    pub(crate) drives: u16,
    /// Data chunks of a stripe.
    pub(crate) data_chunks: u8,
    /// Parity chunks of a stripe.
    pub(crate) parity_chunks: u8,
    /// Starts so far, this one included; the epoch of everything that this life writes.
    pub(crate) starts: u64,
    /// All drives have been made: one that is not there from now on is missing.
    pub(crate) complete: bool,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("{0}: another plexusd is running on this data folder")]
    InUse(PathBuf),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: not a state file of this version: {why}")]
    Damaged { path: PathBuf, why: String },
    #[error("{path}: was made with {was}, not with {wanted}; give the same, or another --data folder")]
    Other { path: PathBuf, was: String, wanted: String },
}

/// The folder, locked.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) state: State,
    _lock: FileLock,
}

impl Folder {
    /// Takes the folder, making it when it is not there, and counts the start durably.
    pub(crate) fn open(
        path: &Path,
        shape: (u16, u8, u8),
        random: &dyn Random,
    ) -> Result<Folder, FolderError> {
        let io = |error| FolderError::Io { path: path.into(), error };
        std::fs::create_dir_all(path).map_err(io)?;
        let lock = lock(&path.join("lock")).map_err(io)?.ok_or_else(|| FolderError::InUse(path.into()))?;
        // A file system that is full must not keep the daemon from what frees space.
        crate::headrooms::make_way(path).map_err(io)?;
        let file = path.join("cluster");
        let mut state = match std::fs::read_to_string(&file) {
            Ok(text) => parse(&file, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut id = [0; 16];
                random.fill(&mut id);
                let (drives, data_chunks, parity_chunks) = shape;
                let cluster = drive::directory::hex(&id);
                State {
                    version: VERSION,
                    cluster,
                    drives,
                    data_chunks,
                    parity_chunks,
                    starts: 0,
                    complete: false,
                }
            }
            Err(error) => return Err(FolderError::Io { path: file, error }),
        };
        let was = (state.drives, state.data_chunks, state.parity_chunks);
        if was != shape {
            return Err(FolderError::Other {
                path: path.into(),
                was: describe(was),
                wanted: describe(shape),
            });
        }
        state.starts += 1;
        let folder = Folder { path: path.into(), state, _lock: lock };
        folder.save()?;
        Ok(folder)
    }

    /// All drives have been made.
    pub(crate) fn complete(&mut self) -> Result<(), FolderError> {
        self.state.complete = true;
        self.save()
    }

    fn save(&self) -> Result<(), FolderError> {
        let path = self.path.join("cluster");
        let text = toml::to_string(&self.state)
            .map_err(|e| FolderError::Damaged { path: path.clone(), why: e.to_string() })?;
        durable::replace(&path, text.as_bytes()).map_err(|error| FolderError::Io { path, error })
    }

    /// The cluster's identity.
    pub(crate) fn cluster(&self) -> [u8; 16] {
        let mut id = [0; 16];
        for (byte, digits) in id.iter_mut().zip(self.state.cluster.as_bytes().chunks(2)) {
            // Checked when the file was read.
            *byte =
                std::str::from_utf8(digits).ok().and_then(|d| u8::from_str_radix(d, 16).ok()).unwrap_or(0);
        }
        id
    }
}

fn parse(file: &Path, text: &str) -> Result<State, FolderError> {
    let damaged = |why: String| FolderError::Damaged { path: file.into(), why };
    let state: State = toml::from_str(text).map_err(|e| damaged(e.message().to_owned()))?;
    if state.version != VERSION {
        return Err(damaged(format!("version {}", state.version)));
    }
    if state.cluster.len() != 32 || !state.cluster.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(damaged("the cluster's identity is not 32 hexadecimal digits".into()));
    }
    Ok(state)
}

fn describe((drives, data, parity): (u16, u8, u8)) -> String {
    format!("{drives} drives and protection {data}+{parity}")
}
