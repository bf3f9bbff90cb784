//! What is delegated, in a file that outlives the process: the next life of the daemon keeps others away until holders have claimed
//! what they had, or can no more.
//!
//! Records are appended and not synced: they outlive the process, not the machine's memory. After a power cut it is known only that something may
//! have been delegated. The format is in `docs/formats/folder.md`.

use crate::former::off_runtime;
use env::durable;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use tokio::sync::Mutex as AsyncMutex;
use types::{Delegation, DelegationId, FileId, FsId, InodeId};
use vfs::ClientId;

const MAGIC: &str = "plexus-delegated 1 ";
/// In the place of a boot, while it is not known what was delegated.
const NO_BOOT: &str = "-";
/// Number, kind, client, filesystem, inode.
const RECORD_BYTES: usize = 8 + 1 + 16 + 4 + 8;
const READ: u8 = 1;
const WRITE: u8 = 2;
const GONE: u8 = 3;
/// Records of what is gone that are kept at least.
const SPARE: usize = 8192;

type Held = locking::Delegated<ClientId>;

/// What a former life has left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// Nothing was delegated.
    Nothing,
    /// This.
    Known(Vec<Held>),
    /// Something may have been: the machine has lost its memory since.
    Unknown,
}

/// The file.
pub struct DelegatedFile {
    path: PathBuf,
    boot: String,
    left: Left,
    /// Whether it is there: made before the first delegation, durably.
    there: AsyncMutex<bool>,
    writing: Mutex<Option<Writing>>,
}

struct Writing {
    file: File,
    records: usize,
}

impl DelegatedFile {
    /// Looks at `path`; the file itself is made when something is delegated. `boot` names this start of the machine.
    ///
    /// # Errors
    /// That it cannot be read, or is of an unknown version.
    pub fn open(path: PathBuf, boot: &str) -> io::Result<DelegatedFile> {
        let left = match fs::read(&path) {
            Ok(bytes) => parse(&bytes, boot)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Left::Nothing,
            Err(error) => return Err(error),
        };
        let there = AsyncMutex::new(left != Left::Nothing);
        Ok(DelegatedFile { path, boot: boot.to_owned(), left, there, writing: Mutex::new(None) })
    }

    pub(crate) fn left(&self) -> &Left {
        &self.left
    }

    /// Writes down what there is in this life; `None`: that it is not known yet. Durable when this returns.
    pub(crate) fn begin(&self, all: Option<&[Held]>) -> io::Result<()> {
        let mut writing = self.writing.lock();
        durable::replace(&self.path, &content(all.map_or(NO_BOOT, |_| &self.boot), all.unwrap_or_default()))?;
        // What is not known is not written down: the next life would take it for all there is.
        *writing = match all {
            Some(all) => Some(Writing { file: append(&self.path)?, records: all.len() }),
            None => None,
        };
        Ok(())
    }

    /// Before the first delegation of this life.
    pub(crate) async fn prepare(self: &std::sync::Arc<Self>) -> io::Result<()> {
        let mut there = self.there.lock().await;
        if !*there {
            let this = self.clone();
            off_runtime(move || this.begin(Some(&[]))).await?;
            *there = true;
        }
        Ok(())
    }

    /// Something is about to be delegated; `all` says what is, with it.
    pub(crate) fn given(&self, held: &Held, all: impl FnOnce() -> Vec<Held>) -> io::Result<()> {
        let mut at = self.writing.lock();
        let Some(writing) = &mut *at else { return Ok(()) };
        writing.file.write_all(&record(held.id, Some(held)))?;
        writing.records += 1;
        if writing.records > SPARE {
            let all = all();
            if writing.records > SPARE + 2 * all.len() {
                let mut staged = self.path.clone().into_os_string();
                staged.push(".new");
                fs::write(&staged, content(&self.boot, &all))?;
                fs::rename(&staged, &self.path)?;
                *writing = Writing { file: append(&self.path)?, records: all.len() };
            }
        }
        Ok(())
    }

    /// Something is delegated no more.
    pub(crate) fn gone(&self, id: DelegationId) {
        if let Some(writing) = &mut *self.writing.lock() {
            writing.records += 1;
            if let Err(error) = writing.file.write_all(&record(id, None)) {
                tracing::warn!(%error, "the next life will wait for a delegation that is gone");
            }
        }
    }

    /// Nothing is delegated at the end of this life.
    pub(crate) async fn clear(&self) -> io::Result<()> {
        let mut there = self.there.lock().await;
        if *there {
            *self.writing.lock() = None;
            let path = self.path.clone();
            off_runtime(move || fs::remove_file(path)).await?;
            *there = false;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options().append(true).open(path)
}

fn content(boot: &str, all: &[Held]) -> Vec<u8> {
    let mut bytes = format!("{MAGIC}{boot}\n").into_bytes();
    all.iter().for_each(|held| bytes.extend(record(held.id, Some(held))));
    bytes
}

/// Big end first; a record of what is gone has nothing but its number.
fn record(id: DelegationId, held: Option<&Held>) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..8].copy_from_slice(&id.0.to_be_bytes());
    bytes[8] = GONE;
    if let Some(held) = held {
        bytes[8] = if held.kind == Delegation::Write { WRITE } else { READ };
        bytes[9..25].copy_from_slice(&held.client.0.to_be_bytes());
        bytes[25..29].copy_from_slice(&held.file.fs.0.to_be_bytes());
        bytes[29..].copy_from_slice(&held.file.ino.0.to_be_bytes());
    }
    bytes
}

fn parse(bytes: &[u8], boot: &str) -> io::Result<Left> {
    let other = || io::Error::new(ErrorKind::InvalidData, "not a list of delegations of a known version");
    // A power cut may have left nothing of its beginning, or a part.
    let head = &bytes[..bytes.len().min(MAGIC.len())];
    if head.contains(&0) || head.len() < MAGIC.len() && MAGIC.as_bytes().starts_with(head) {
        return Ok(Left::Unknown);
    }
    let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or_else(other)?;
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(Left::Unknown) };
    let (records, torn) = rest[end + 1..].as_chunks::<RECORD_BYTES>();
    if &rest[..end] != boot.as_bytes() || boot == NO_BOOT || !torn.is_empty() {
        return Ok(Left::Unknown);
    }
    let mut all = BTreeMap::new();
    for record in records {
        let (id, held) = read(record);
        match held {
            Some(held) => all.insert(id, held),
            None if record[8] == GONE => all.remove(&id),
            // The machine has lost the disk, and found it again with what had come to it.
            None if record[8] == 0 => return Ok(Left::Unknown),
            None => return Err(other()),
        };
    }
    Ok(if all.is_empty() { Left::Nothing } else { Left::Known(all.into_values().collect()) })
}

fn read(record: &[u8; RECORD_BYTES]) -> (DelegationId, Option<Held>) {
    let number = |from: usize, to: usize| {
        record[from..to].iter().fold(0u128, |all, byte| all << 8 | u128::from(*byte))
    };
    let id = DelegationId(number(0, 8) as u64);
    let kind = match record[8] {
        READ => Delegation::Read,
        WRITE => Delegation::Write,
        _ => return (id, None),
    };
    let file = FileId { fs: FsId(number(25, 29) as u32), ino: InodeId(number(29, 37) as u64) };
    (id, Some(Held { client: ClientId(number(9, 25)), file, id, kind }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn held(number: u64, kind: Delegation) -> Held {
        let file = FileId { fs: FsId(2), ino: InodeId(number << 40) };
        Held { client: ClientId(u128::MAX - 1), file, id: DelegationId(number), kind }
    }

    #[tokio::test]
    async fn the_next_life_knows_what_was_delegated_and_after_a_power_cut_that_something_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("delegated");
        let open = |boot: &str| DelegatedFile::open(path.clone(), boot).unwrap();
        let life = Arc::new(open("a"));
        assert_eq!((life.left(), path.exists()), (&Left::Nothing, false));
        life.prepare().await.unwrap();
        assert_eq!(open("a").left(), &Left::Nothing);
        let (one, two) = (held(1, Delegation::Read), held(2, Delegation::Write));
        for held in [one, two] {
            life.given(&held, Vec::new).unwrap();
        }
        assert_eq!(open("a").left(), &Left::Known(vec![one, two]));
        assert_eq!(open("b").left(), &Left::Unknown);
        life.gone(one.id);
        let next = Arc::new(open("a"));
        assert_eq!(next.left(), &Left::Known(vec![two]));

        next.begin(None).unwrap();
        next.given(&one, Vec::new).unwrap();
        assert_eq!(open("a").left(), &Left::Unknown, "this life did not know itself");
        next.begin(Some(&[two])).unwrap();
        for _ in 0..SPARE + 5 {
            next.given(&one, || vec![one, two]).unwrap();
            next.gone(one.id);
        }
        assert_eq!(open("a").left(), &Left::Known(vec![two]));
        assert!(fs::metadata(&path).unwrap().len() < 2 * (SPARE * RECORD_BYTES) as u64);
        next.clear().await.unwrap();
        assert_eq!((open("b").left(), path.exists()), (&Left::Nothing, false));
    }

    #[test]
    fn records_are_frozen_and_what_is_none_is_refused() {
        let bytes = b"plexus-delegated 1 boot\n\0\0\0\0\0\0\0\x07\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\
            \0\0\0\x02\0\0\x07\0\0\0\0\0";
        assert_eq!(content("boot", &[held(7, Delegation::Write)]), bytes);
        assert_eq!(parse(bytes, "boot").unwrap(), Left::Known(vec![held(7, Delegation::Write)]));
        for end in 0..bytes.len() {
            // Without its only record it is whole, too.
            let left = if end == 24 { Left::Nothing } else { Left::Unknown };
            assert_eq!(parse(&bytes[..end], "boot").unwrap(), left);
            // What a power cut takes may be in the midst, too.
            let mut torn = bytes.to_vec();
            torn[..end].fill(0);
            assert_eq!(
                parse(&torn, "boot").unwrap(),
                if end == 0 { parse(bytes, "boot").unwrap() } else { Left::Unknown }
            );
        }
        let lost = [&bytes[..24], &[0; 4096], &bytes[24..]].concat();
        assert_eq!(parse(&lost, "boot").unwrap(), Left::Unknown);
        assert!(parse(b"plexus-delegated 2 boot\n", "boot").is_err());
        let mut other = bytes.to_vec();
        other[32] = 9;
        assert!(parse(&other, "boot").is_err());
    }
}
