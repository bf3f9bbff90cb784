//! What buckets have left behind that another head has removed: versions and uploads that belong to nobody.

use crate::error::from_fs;
use crate::files::Files;
use crate::head::Head;
use s3s::S3Result;
use types::{Cred, FileId, FileKind, FsError, InodeId, Name};
use vfs::{List, Vfs};

/// Entries looked at together.
const PAGE: u32 = 256;

/// Removes what is kept of buckets that are not there any more.
pub(crate) async fn sweep<V: Vfs>(head: &Head<V>) -> S3Result<()> {
    let root = head.files(Cred::root());
    let Some(&top) = head.way_to_buckets().await?.first() else { return Ok(()) };
    let system = root.vfs.system(&root.ctx, vfs::System { fs: top.fs }).await.map_err(from_fs)?.dir;
    let Ok(name) = Name::new("s3") else { return Ok(()) };
    let Some(kept) = root.find(system, &name).await? else { return Ok(()) };
    let (mut from, mut past) = (bytes::Bytes::new(), false);
    loop {
        let request = List { dir: kept.file, from: from.clone(), past, limit: PAGE, value: None };
        let page = root.list(request).await.map_err(from_fs)?;
        for entry in page.entries {
            (from, past) = (listed(&entry.name, entry.attr.kind), true);
            let number = std::str::from_utf8(entry.name.as_bytes()).ok();
            let Some(ino) = number.and_then(|text| u64::from_str_radix(text, 16).ok()) else { continue };
            match root.kept(FileId { fs: top.fs, ino: InodeId(ino) }).await {
                Ok(_) => continue,
                Err(FsError::Stale) => {}
                Err(error) => return Err(from_fs(error)),
            }
            tracing::info!(bucket = %entry.name, "a bucket was removed by another head; what was kept of it goes");
            remove(&root, kept.file, entry.name, entry.attr.file).await?;
        }
        if page.end {
            return Ok(());
        }
    }
}

/// As it stands in listings.
fn listed(name: &Name, kind: FileKind) -> bytes::Bytes {
    let slash: &[u8] = if kind == FileKind::Directory { b"/" } else { b"" };
    [name.as_bytes(), slash].concat().into()
}

/// A directory that is being removed with all that is in it, and how far.
struct Frame {
    parent: FileId,
    name: Name,
    dir: FileId,
    from: bytes::Bytes,
}

/// Removes a directory with all that is in it, but for what is retained.
async fn remove<V: Vfs>(root: &Files<V>, parent: FileId, name: Name, dir: FileId) -> S3Result<()> {
    let mut way = vec![Frame { parent, name, dir, from: bytes::Bytes::new() }];
    while let Some(frame) = way.last_mut() {
        let past = !frame.from.is_empty();
        let request = List { dir: frame.dir, from: frame.from.clone(), past, limit: PAGE, value: None };
        let page = root.list(request).await.map_err(from_fs)?;
        let mut below = None;
        for entry in page.entries.iter() {
            frame.from = listed(&entry.name, entry.attr.kind);
            if entry.attr.kind == FileKind::Directory {
                let (parent, name, dir) = (frame.dir, entry.name.clone(), entry.attr.file);
                below = Some(Frame { parent, name, dir, from: bytes::Bytes::new() });
                break;
            }
            match root.unlink(frame.dir, &entry.name).await {
                Ok(()) | Err(FsError::NotFound) => {}
                Err(FsError::NotPermitted) => tracing::debug!(file = %entry.attr.file, "retained; it stays"),
                Err(error) => return Err(from_fs(error)),
            }
        }
        if let Some(below) = below {
            way.push(below);
        } else if page.end {
            match root.rmdir(frame.parent, &frame.name).await {
                Ok(()) | Err(FsError::NotFound | FsError::NotEmpty | FsError::NotPermitted) => {}
                Err(error) => return Err(from_fs(error)),
            }
            way.pop();
        }
    }
    Ok(())
}
