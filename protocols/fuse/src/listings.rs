//! Listings that the kernel keeps of folders.
//!
//! The kernel keeps what it was told of a folder when it was opened so, and gives it to whoever opens the folder again with
//! leave to keep it. That leave rests on trust: no longer than the folder's attributes are trusted from before it
//! was listed, and until a change of them is told. Within that time the attributes that came along with the names are trusted
//! as well; a listing kept for longer would spare one request and cost a look-up of every name.

use std::collections::HashMap;
use std::time::Instant;
use types::{Attr, FileId};

/// Folders at once, at most; others are listed anew.
const LISTINGS_MAX: usize = 4096;

struct Listing {
    attr: Attr,
    until: Instant,
}

/// The folders whose listings in the kernel are known to be right.
#[derive(Default)]
pub(crate) struct Listings(HashMap<FileId, Listing>);

impl Listings {
    /// A folder with these attributes is being listed, and they are trusted until then.
    pub(crate) fn begin(&mut self, attr: &Attr, until: Instant) {
        if self.0.len() >= LISTINGS_MAX && !self.0.contains_key(&attr.file) {
            let now = Instant::now();
            self.0.retain(|_, listing| listing.until > now);
        }
        if self.0.len() < LISTINGS_MAX || self.0.contains_key(&attr.file) {
            self.0.insert(attr.file, Listing { attr: attr.clone(), until });
        }
    }

    /// The folder is about to change.
    pub(crate) fn end(&mut self, dir: FileId) {
        self.0.remove(&dir);
    }

    /// What the folder is, while what the kernel keeps of it is right.
    pub(crate) fn of(&self, dir: FileId) -> Option<&Attr> {
        let listing = self.0.get(&dir)?;
        (listing.until > Instant::now()).then_some(&listing.attr)
    }
}
