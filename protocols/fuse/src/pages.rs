//! Pages that the kernel keeps of open files and folders, where neither size nor time tells that they are old.
//!
//! The kernel asks for attributes before it answers from its pages, and lets go of them when the size or the time of the
//! last change is another one. Who writes through another door and sets the time back moves neither: only the change
//! attribute tells, which the kernel does not know.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
use types::{Attr, FileId, FileKind, Time};

/// Files whose pages wait to be let go.
const WAITING_MAX: usize = 256;

/// What the kernel has heard last of an open file.
#[derive(Default)]
struct Known {
    opens: u64,
    /// Nothing before a folder is listed.
    heard: Option<Heard>,
}

struct Heard {
    size: u64,
    modified: Time,
    /// Of when its pages are no older than; `None` where they may be.
    change: Option<u64>,
}

impl Heard {
    fn of(attr: &Attr) -> Heard {
        // The kernel does not look at the size of a folder.
        let size = if attr.kind == FileKind::Directory { 0 } else { attr.size };
        Heard { size, modified: attr.mtime, change: Some(attr.change) }
    }
}

type Order = (FileId, oneshot::Sender<()>);

/// The open files.
pub(crate) struct Pages {
    open: Mutex<HashMap<FileId, Known>>,
    orders: mpsc::Sender<Order>,
}

/// Where files come out whose pages are to go.
pub(crate) struct Orders(mpsc::Receiver<Order>);

impl Pages {
    pub(crate) fn new() -> (Pages, Orders) {
        let (orders, out) = mpsc::channel(WAITING_MAX);
        (Pages { open: Mutex::default(), orders }, Orders(out))
    }

    fn open(&self) -> MutexGuard<'_, HashMap<FileId, Known>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file is open: the kernel lets go of what it had.
    pub(crate) fn opened(&self, attr: &Attr) {
        let mut open = self.open();
        let known = open.entry(attr.file).or_default();
        known.opens += 1;
        known.heard = Some(Heard::of(attr));
    }

    /// A folder is open, of which nothing has been asked yet.
    pub(crate) fn opened_unheard(&self, dir: FileId) {
        self.open().entry(dir).or_default().opens += 1;
    }

    /// An open folder is listed: what the kernel keeps is not older than these attributes.
    pub(crate) fn listed(&self, attr: &Attr) {
        let mut open = self.open();
        if let Some(known) = open.get_mut(&attr.file) {
            known.heard.get_or_insert_with(|| Heard::of(attr));
        }
    }

    /// An open has ended.
    pub(crate) fn closed(&self, file: FileId) {
        let mut open = self.open();
        if let Entry::Occupied(mut known) = open.entry(file) {
            known.get_mut().opens -= 1;
            if known.get().opens == 0 {
                known.remove();
            }
        }
    }

    /// The kernel hears of these attributes, not because it wants to know whether its pages are old.
    pub(crate) fn told(&self, attr: &Attr) {
        self.is_hidden(attr, false);
    }

    /// The kernel has set attributes, and takes these for what has come of it: without letting go of pages, although they may also
    /// tell of what others have changed before.
    pub(crate) fn set(&self, attr: &Attr) {
        let mut open = self.open();
        if let Some(heard) = open.get_mut(&attr.file).and_then(|known| known.heard.as_mut()) {
            *heard = Heard { change: None, ..Heard::of(attr) };
        }
    }

    /// It does want to know: returns when it has no pages that are older than these attributes without its seeing that.
    pub(crate) async fn asked(&self, attr: &Attr) {
        if !self.is_hidden(attr, true) {
            return;
        }
        let (done, gone) = oneshot::channel();
        // Fails when the mount has ended, with all its pages.
        if self.orders.send((attr.file, done)).await.is_ok() {
            let _ = gone.await;
        }
    }

    /// Whether the file has changed and the kernel cannot see it.
    fn is_hidden(&self, attr: &Attr, to_be_shown: bool) -> bool {
        let mut open = self.open();
        let Some(heard) = open.get_mut(&attr.file).and_then(|known| known.heard.as_mut()) else {
            return false;
        };
        let now = Heard::of(attr);
        let seen = (heard.size, heard.modified) != (now.size, now.modified);
        let hidden = !seen && heard.change != now.change;
        if seen || to_be_shown {
            *heard = now;
        }
        hidden
    }
}

impl Orders {
    /// Has `let_go` do it until the mount ends. Blocks, and belongs on a thread of its own: the kernel lets go of a page only
    /// when nobody reads it, for which others of us may have to answer first.
    pub(crate) fn carry_out(mut self, let_go: impl Fn(FileId) -> io::Result<()>) {
        while let Some((file, done)) = self.0.blocking_recv() {
            match let_go(file) {
                // The kernel does not know it any more.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%file, %error, "pages of a changed file stay in the kernel");
                }
                _ => {}
            }
            let _ = done.send(());
        }
    }
}
