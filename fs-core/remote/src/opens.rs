//! Opens as callers know them, and what they are in the daemon's present life.

use parking_lot::Mutex;
use std::collections::HashMap;
use types::{FileId, FsError};
use vfs::{ClientId, FsResult, OpenAccess, OpenId, Request};

#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: FileId,
    pub(crate) client: ClientId,
    pub(crate) access: OpenAccess,
    pub(crate) deny: OpenAccess,
    /// The daemon's name for it; `None` when a restart has cost it, or what was written through it.
    pub(crate) there: Option<OpenId>,
}

/// The table of a mount's opens.
#[derive(Default)]
pub(crate) struct Opens {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    opens: HashMap<OpenId, OpenFile>,
}

impl Opens {
    pub(crate) fn add(&self, open: OpenFile) -> OpenId {
        let mut table = self.table.lock();
        table.next += 1;
        let id = OpenId(table.next);
        table.opens.insert(id, open);
        id
    }

    pub(crate) fn remove(&self, id: OpenId) -> FsResult<OpenFile> {
        self.table.lock().opens.remove(&id).ok_or(FsError::BadOpen)
    }

    pub(crate) fn change(&self, id: OpenId, access: OpenAccess, deny: OpenAccess) {
        if let Some(open) = self.table.lock().opens.get_mut(&id) {
            (open.access, open.deny) = (access, deny);
        }
    }

    pub(crate) fn all(&self) -> Vec<(OpenId, OpenFile)> {
        self.table.lock().opens.iter().map(|(id, open)| (*id, open.clone())).collect()
    }

    /// Gives the present name of an open; `false` when it has been closed meanwhile.
    pub(crate) fn settle(&self, id: OpenId, there: Option<OpenId>) -> bool {
        match self.table.lock().opens.get_mut(&id) {
            Some(open) => {
                open.there = there;
                true
            }
            None => false,
        }
    }

    /// Every later use of the file through these opens fails: something acknowledged is gone.
    pub(crate) fn lose(&self, file: FileId) {
        for open in self.table.lock().opens.values_mut().filter(|open| open.file == file) {
            open.there = None;
        }
    }

    pub(crate) fn forget_client(&self, client: ClientId) {
        self.table.lock().opens.retain(|_, open| open.client != client);
    }

    fn there(&self, id: &mut OpenId) -> FsResult<()> {
        let table = self.table.lock();
        let open = table.opens.get(id).ok_or(FsError::BadOpen)?;
        *id = open.there.ok_or(FsError::Io)?;
        Ok(())
    }

    /// Puts the daemon's present names into a request.
    pub(crate) fn translate(&self, request: &mut Request) -> FsResult<()> {
        let mut opens: [Option<&mut OpenId>; 2] = [None, None];
        match request {
            Request::SetAttrOf(request) => opens[0] = request.open.as_mut(),
            Request::Read(request) => opens[0] = request.open.as_mut(),
            Request::Write(request) => opens[0] = request.open.as_mut(),
            Request::Allocate(request) => opens[0] = request.open.as_mut(),
            Request::Lock(request) => opens[0] = request.open.as_mut(),
            Request::Reopen(request) => opens[0] = Some(&mut request.open),
            Request::CloneRange(request) => {
                opens = [request.from_open.as_mut(), request.to_open.as_mut()];
            }
            _ => {}
        }
        opens.into_iter().flatten().try_for_each(|open| self.there(open))
    }
}
