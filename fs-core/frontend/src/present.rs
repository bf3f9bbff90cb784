//! The present of a file: what the map says, with what waits laid over it.

use crate::look::Stop;
use crate::nodes::{Node, State};
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode::{attr_of, inode};
use namespace::records::Inode;
use std::sync::atomic::Ordering;
use types::{Attr, FileId, FsError};

/// Looks before a caller is asked to come again.
const LOOKS_MAX: usize = 1000;

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// The inode as the map has it.
    pub(crate) async fn seen_inode(&self, file: FileId) -> Result<Inode, Stop> {
        self.look(|map| inode(map, file)).await
    }

    /// The inode as the map has it, when no transaction holds it.
    pub(crate) async fn inode(&self, file: FileId) -> Result<Inode, FsError> {
        self.unlocked(|| self.seen_inode(file)).await
    }

    /// The attributes now, when no transaction holds them.
    pub(crate) async fn attr(&self, file: FileId) -> Result<Attr, FsError> {
        self.unlocked(|| self.seen_attr(file)).await
    }

    async fn seen_attr(&self, file: FileId) -> Result<Attr, Stop> {
        // The node first: data that leave it are in the map that is viewed afterwards.
        let node = self.0.nodes.find(file);
        match node {
            Some(node) => self.attr_with(&node).await,
            None => Ok(attr_of(file, &self.seen_inode(file).await?)),
        }
    }

    async fn attr_with(&self, node: &Node) -> Result<Attr, Stop> {
        let present = |inode: Inode, state: &mut State| {
            let mut attr = attr_of(node.file, &inode);
            lay_over(&mut attr, state);
            Ok(attr)
        };
        self.look_with(node, State::turn, |map, _| inode(map, node.file), present).await
    }

    /// The same attributes with what waits laid over them. What was read before may have been written back
    /// meanwhile: [`Self::steady`] looks again then.
    pub(crate) fn laid_over(&self, mut attr: Attr) -> Attr {
        if let Some(node) = self.0.nodes.find(attr.file) {
            lay_over(&mut attr, &node.state.lock());
        }
        attr
    }

    /// Looks until no write-back has ended during the look, so that data are seen in the map or in
    /// memory, and never in neither; and until no transaction holds what is looked at.
    pub(crate) async fn steady<T, F>(&self, look: impl Fn() -> F) -> Result<T, FsError>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        self.unlocked(|| self.steady_now(&look)).await
    }

    async fn steady_now<T, F>(&self, look: impl Fn() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        for _ in 0..LOOKS_MAX {
            let before = self.0.written_back.load(Ordering::Acquire);
            let found = look().await?;
            if self.0.written_back.load(Ordering::Acquire) == before {
                return Ok(found);
            }
        }
        Err(FsError::Delay.into())
    }

    /// The inode was changed in the map.
    pub(crate) fn note_change(&self, file: FileId) {
        if let Some(node) = self.0.nodes.find(file) {
            node.state.lock().note_change();
        }
    }
}

/// Sizes, times and change only grow here, so that it does not matter whether the write-back that is under
/// way has reached the map already.
pub(crate) fn lay_over(attr: &mut Attr, state: &State) {
    attr.size = attr.size.max(state.end());
    attr.change = attr.change.max(state.change_seen);
    let in_flight = state.in_flight.as_ref().and_then(|dirty| dirty.written);
    if let Some(written) = state.dirty.written.or(in_flight) {
        attr.mtime = written;
        attr.ctime = attr.ctime.max(written);
        attr.content = attr.change;
    }
    attr.used = attr.used.max(state.dirty.bytes());
}
