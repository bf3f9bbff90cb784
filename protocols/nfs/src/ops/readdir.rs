//! READDIR (RFC 8881 section 18.23).

use crate::attrs;
use crate::compound::{Compound, FileRef, OrStatus, Place};
use crate::exports::{PseudoEntry, PseudoId};
use nfs_wire::{Bitmap, DirEntry, DirList, ReaddirArgs, ReaddirOk, Status, attr};
use types::{Cookie, Name, limits};
use vfs::{ReadDir, StatFs, Vfs};
use xdr::Opaque;

/// Cookies never become invalid, so the verifier never changes.
const COOKIE_VERIFIER: [u8; 8] = [0; 8];
/// Verifier, end of the list, end of the directory.
const REPLY_BYTES: usize = 8 + 4 + 4;
/// What an entry with attributes takes about, to ask for neither too many nor too few at a time.
const ENTRY_BYTES: usize = 200;
/// Attributes of an entry that cost nothing to know.
const WITHOUT_ATTR: Bitmap = Bitmap::of(&[attr::FILEID, attr::TYPE, attr::RDATTR_ERROR, attr::FILEHANDLE]);

/// The part of the reply that has been filled.
struct Page {
    entries: Vec<DirEntry>,
    left: usize,
}

impl Page {
    /// Whether the entry still fitted.
    fn push(&mut self, entry: DirEntry) -> bool {
        let bytes = entry.wire_bytes();
        if bytes > self.left {
            return false;
        }
        self.left -= bytes;
        self.entries.push(entry);
        true
    }
}

pub(super) async fn readdir<V: Vfs>(c: &mut Compound<'_, V>, args: ReaddirArgs) -> Result<ReaddirOk, Status> {
    let place = c.place()?.clone();
    let wanted = attrs::readable(&args.request, c.minor)?;
    // 1 and 2 are of "." and "..", which are not listed (RFC 8881 section 18.23.3).
    if args.cookie != 0 && !(Cookie::FIRST.0..=Cookie::LAST.0).contains(&args.cookie) {
        return Err(Status::BadCookie);
    }
    if args.cookie != 0 && args.cookieverf != COOKIE_VERIFIER {
        return Err(Status::NotSame);
    }
    let limit = (args.maxcount as usize).min(c.room.saturating_sub(8));
    let left = limit.checked_sub(REPLY_BYTES).ok_or(Status::TooSmall)?;
    let mut page = Page { entries: Vec::new(), left };
    let eof = match &place {
        Place::Pseudo(id) => list_pseudo(c, *id, args.cookie, &wanted, &mut page).await?,
        Place::File(dir) => list(c, dir, args.cookie, &wanted, &mut page).await?,
    };
    if page.entries.is_empty() && !eof {
        return Err(Status::TooSmall);
    }
    Ok(ReaddirOk { cookieverf: COOKIE_VERIFIER, list: DirList { entries: page.entries, eof } })
}

/// Fills the page; says whether the directory ends with it.
async fn list<V: Vfs>(
    c: &Compound<'_, V>,
    dir: &FileRef,
    cookie: u64,
    wanted: &Bitmap,
    page: &mut Page,
) -> Result<bool, Status> {
    let ctx = c.ctx(dir)?;
    let lease = c.shared.config.lease;
    let statfs = if attrs::wants_statfs(wanted) {
        Some(c.vfs().statfs(&ctx, StatFs { fs: dir.file.fs }).await.or_status()?)
    } else {
        None
    };
    let with_attrs = !wanted.is_subset(&WITHOUT_ATTR);
    let mut after = Cookie(cookie);
    loop {
        let limit = (page.left / ENTRY_BYTES + 1).min(limits::READDIR_ENTRIES_MAX) as u32;
        let request = ReadDir { dir: dir.file, after, limit, attrs: with_attrs };
        let reply = c.vfs().readdir(&ctx, request).await.or_status()?;
        let Some(last) = reply.entries.last() else { return Ok(reply.end) };
        after = last.cookie;
        for entry in reply.entries {
            let file = dir.sibling(entry.file);
            let attributes = match &entry.attr {
                Some(attr) => attrs::of_file(&file, attr, statfs.as_ref(), c.minor, lease),
                None => nfs_wire::Attributes {
                    file_type: Some(attrs::file_type(entry.kind)),
                    fileid: Some(entry.file.ino.0),
                    rdattr_error: Some(Status::Ok),
                    filehandle: Some(Opaque(file.handle().encode())),
                    ..nfs_wire::Attributes::default()
                },
            };
            let fitted = page.push(DirEntry {
                cookie: entry.cookie.0,
                name: Opaque(entry.name.into()),
                attrs: attributes.to_fattr(wanted),
            });
            if !fitted {
                return Ok(false);
            }
        }
        if reply.end {
            return Ok(true);
        }
    }
}

/// The cookie of an entry is its place in the order of names.
async fn list_pseudo<V: Vfs>(
    c: &Compound<'_, V>,
    id: PseudoId,
    cookie: u64,
    wanted: &Bitmap,
    page: &mut Page,
) -> Result<bool, Status> {
    let exports = c.shared.exports();
    let seen = cookie.saturating_sub(Cookie::FIRST.0 - 1);
    let entries = exports.entries(id, c.caller.peer.ip());
    for (place, (name, entry)) in (Cookie::FIRST.0..).zip(entries).skip(seen as usize) {
        let attributes = pseudo_entry(c, &name, entry).await;
        if !page.push(DirEntry {
            cookie: place,
            name: Opaque(name.into()),
            attrs: attributes.to_fattr(wanted),
        }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An export that cannot be entered is listed with the reason alone.
async fn pseudo_entry<V: Vfs>(c: &Compound<'_, V>, name: &Name, entry: PseudoEntry) -> nfs_wire::Attributes {
    let lease = c.shared.config.lease;
    let attributes = match entry {
        PseudoEntry::Directory(id) => {
            let look = c.shared.exports().look(id, c.caller.peer.ip());
            Ok(attrs::of_pseudo(id, look, c.minor, lease))
        }
        PseudoEntry::Export(export) => export_attributes(c, &export).await,
    };
    attributes.unwrap_or_else(|status| {
        tracing::debug!(%name, ?status, "an export cannot be entered");
        nfs_wire::Attributes { rdattr_error: Some(status), ..nfs_wire::Attributes::default() }
    })
}

async fn export_attributes<V: Vfs>(
    c: &Compound<'_, V>,
    export: &std::sync::Arc<crate::exports::Exported>,
) -> Result<nfs_wire::Attributes, Status> {
    let Place::File(root) = c.enter_export(export).await? else { return Err(Status::Stale) };
    let ctx = c.ctx(&root)?;
    let attr = c.vfs().getattr(&ctx, vfs::GetAttr { file: root.file }).await.or_status()?.attr;
    Ok(attrs::of_file(&root, &attr, None, c.minor, c.shared.config.lease))
}
