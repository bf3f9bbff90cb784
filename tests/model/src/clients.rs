//! Who is remembered over restarts, and what is owed to whom after one.

use crate::state::State;
use bytes::Bytes;
use std::collections::BTreeMap;
use types::limits::CLIENT_RECORD_BYTES_MAX;
use types::{FileKind, FsError, InodeId};
use vfs::{ClientId, FsResult, Head, KeepClient, KeptClients, KeptClientsReply, OpenAccess};

/// Records of one listing.
const LISTED_MAX: usize = 16;
const NOTHING: OpenAccess = OpenAccess { read: false, write: false };

/// What a client may have had at any time since it came.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Had {
    pub(crate) opens: bool,
    pub(crate) denies: bool,
    pub(crate) locks: bool,
}

#[derive(Default)]
struct Remembered {
    had: Had,
    kept: Option<(Head, Bytes)>,
}

#[derive(Default)]
pub(crate) struct Clients {
    remembered: BTreeMap<ClientId, Remembered>,
    /// Who may claim what it had before the last restart.
    owed: BTreeMap<ClientId, Had>,
}

impl Clients {
    /// Before a client gets something for the first time.
    pub(crate) fn note(&mut self, client: ClientId, gets: Had) {
        if client != ClientId(0) {
            let had = &mut self.remembered.entry(client).or_default().had;
            had.opens |= gets.opens;
            had.denies |= gets.denies;
            had.locks |= gets.locks;
        }
    }

    pub(crate) fn keep(&mut self, request: &KeepClient) -> FsResult<()> {
        if request.data.len() > CLIENT_RECORD_BYTES_MAX {
            return Err(FsError::Invalid);
        }
        self.remembered.entry(request.client).or_default().kept = Some((request.head, request.data.clone()));
        Ok(())
    }

    pub(crate) fn list(&self, request: &KeptClients) -> KeptClientsReply {
        let after = request.after.map_or(0, |client| client.0 + 1);
        let of_head = |(client, remembered): (&ClientId, &Remembered)| match &remembered.kept {
            Some((head, data)) if *head == request.head => Some((*client, data.clone())),
            _ => None,
        };
        let all: Vec<_> = self.remembered.range(ClientId(after)..).filter_map(of_head).collect();
        let end = all.len() <= LISTED_MAX;
        KeptClientsReply { clients: all.into_iter().take(LISTED_MAX).collect(), end }
    }

    pub(crate) fn restart(&mut self) {
        let had = self.remembered.iter().map(|(client, remembered)| (*client, remembered.had));
        self.owed = had.filter(|(_, had)| *had != Had::default()).collect();
    }

    pub(crate) fn owes(&self, client: ClientId) -> bool {
        self.owed.contains_key(&client)
    }

    pub(crate) fn owes_any(&self) -> bool {
        !self.owed.is_empty()
    }

    pub(crate) fn settle(&mut self, client: ClientId) {
        self.owed.remove(&client);
    }

    fn any_owed(&self, what: impl Fn(&Had) -> bool) -> bool {
        self.owed.values().any(what)
    }
}

impl State {
    /// A claim has to be of somebody who is owed something; everything else must not be in a claim's way.
    pub(crate) fn demand_open(&self, client: ClientId, reclaim: bool, deny: OpenAccess) -> FsResult<()> {
        match reclaim {
            true if self.clients.owes(client) => Ok(()),
            true => Err(FsError::NoGrace),
            false if self.clients.any_owed(|had| had.denies || had.opens && deny != NOTHING) => {
                Err(FsError::Grace)
            }
            false => Ok(()),
        }
    }

    pub(crate) fn demand_lock(&self, client: ClientId, reclaim: bool) -> FsResult<()> {
        match reclaim {
            true if self.clients.owes(client) => Ok(()),
            true => Err(FsError::NoGrace),
            false if self.clients.any_owed(|had| had.locks) => Err(FsError::Grace),
            false => Ok(()),
        }
    }

    /// For the use of data without an open.
    pub(crate) fn demand_use(&self, client: ClientId) -> FsResult<()> {
        let waits = !self.clients.owes(client) && self.clients.any_owed(|had| had.denies);
        if waits { Err(FsError::Grace) } else { Ok(()) }
    }

    /// Whether somebody might claim an open of it.
    pub(crate) fn may_be_claimed(&self, ino: InodeId) -> bool {
        let is_file = self.inodes.get(&ino).is_some_and(|inode| inode.kind == FileKind::File);
        is_file && self.clients.any_owed(|had| had.opens)
    }

    pub(crate) fn settle(&mut self, client: ClientId) {
        self.clients.settle(client);
        self.free_orphans();
    }

    /// Who has not come back has nothing any more.
    pub(crate) fn end_grace(&mut self) {
        for client in std::mem::take(&mut self.clients.owed).into_keys() {
            let has =
                self.opens.table.values().any(|open| open.client == client) || self.locks.has_any(client);
            if let Some(remembered) = self.clients.remembered.get_mut(&client)
                && !has
            {
                remembered.had = Had::default();
            }
        }
        self.free_orphans();
    }

    pub(crate) fn free_orphans(&mut self) {
        let orphans: Vec<InodeId> =
            self.inodes.iter().filter(|(_, inode)| inode.links == 0).map(|(ino, _)| *ino).collect();
        for ino in orphans {
            self.free_if_unused(ino);
        }
    }

    pub(crate) fn end_client(&mut self, client: ClientId) {
        self.close_client(client);
        self.locks.forget_client(client);
        self.replay.forget(client.0, &(0..=u32::MAX));
        self.clients.remembered.remove(&client);
        self.settle(client);
    }
}
