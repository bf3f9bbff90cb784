//! Clients of a former life of the server, until they come back.
//!
//! A client that comes back, as the same owner with the same verifier, gets another client id and goes on as what it was
//! on the other side of the contract: there it claims what it had. Its former sessions live only to answer requests that
//! took effect in the former life (RFC 8881 sections 2.10.6.5 and 8.4.2).

use super::record::Record;
use super::{Client, ClientState, Clients, Ended, Principal, SESSIONS_MAX, Table};
use crate::session::Session;
use crate::state::StateTable;
use bytes::Bytes;
use nfs_wire::{ClientOwner, Status};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use types::FsError;
use vfs::ClientId;

impl Clients {
    /// Takes in a client that a former life has kept.
    ///
    /// # Errors
    /// When the record is of an unknown version or damaged.
    pub(crate) fn recall(&self, vfs: ClientId, kept: Bytes, now: Instant) -> Result<(), FsError> {
        let record = Record::from_bytes(kept).map_err(|error| {
            tracing::error!(client = format!("{:032x}", vfs.0), %error, "the record of an NFS client cannot be used");
            FsError::Io
        })?;
        let sessions: Vec<_> = record.sessions.iter().map(|session| session.id).collect();
        let state = ClientState {
            next_ordinal: record.next_ordinal,
            former_sessions: sessions,
            confirmed: true,
            ..ClientState::new(StateTable::new(self.bounds.instance as u32, 0), now)
        };
        let client = Arc::new(Client {
            id: 0,
            vfs,
            owner: record.owner.0,
            verifier: record.verifier,
            principal: record.principal.first().copied(),
            recording: Arc::default(),
            state: Mutex::new(state),
        });
        let mut table = self.table();
        for kept in record.sessions.0 {
            let session = Session::former(kept.id, Arc::clone(&client), kept.ordinal, kept.fore);
            table.sessions.insert(kept.id, Arc::new(session));
        }
        if let Some(other) = table.former.insert(client.owner.clone(), client) {
            // A life that ended between writing down the new client and striking out the old one.
            tracing::warn!(client = format!("{:032x}", other.vfs.0), "two clients of one owner were kept");
            table.strays.push(other);
        }
        Ok(())
    }

    /// Former clients that others of the same owner have replaced.
    pub(crate) fn take_strays(&self) -> Ended {
        let mut table = self.table();
        let strays = std::mem::take(&mut table.strays);
        strays.iter().for_each(|stray| table.forget_former(stray));
        strays
    }
}

impl Table {
    /// The former client that comes back with this introduction. Another principal takes the name only of one whose
    /// lease has run out.
    pub(super) fn returning(
        &mut self,
        owner: &ClientOwner,
        principal: Principal,
        (now, lease): (Instant, Duration),
        ended: &mut Ended,
    ) -> Result<Option<Arc<Client>>, Status> {
        let Some(former) = self.former.get(&owner.ownerid.0).cloned() else { return Ok(None) };
        if former.principal == principal {
            return Ok(Some(former).filter(|former| former.verifier == owner.verifier));
        }
        if !former.state().lapsed(now, lease) {
            return Err(Status::ClidInUse);
        }
        self.end_former(&former.owner, ended);
        Ok(None)
    }

    /// The client is confirmed: what it was in a former life it takes over, what somebody else was ends.
    pub(super) fn succeed(&mut self, client: &Arc<Client>, ended: &mut Ended) {
        let Some(former) = self.former.get(&client.owner).cloned() else { return };
        if former.vfs != client.vfs {
            return self.end_former(&client.owner, ended);
        }
        self.former.remove(&client.owner);
        let mut sessions = std::mem::take(&mut former.state().former_sessions);
        // The oldest are those that nobody has asked for in several lives.
        let superfluous = sessions.len().saturating_sub(SESSIONS_MAX);
        for id in sessions.drain(..superfluous) {
            self.sessions.remove(&id);
        }
        for id in &sessions {
            if let Some(session) = self.sessions.get(id) {
                let moved = Session::former(*id, Arc::clone(client), session.ordinal, session.fore.clone());
                self.sessions.insert(*id, Arc::new(moved));
            }
        }
        client.state().former_sessions = sessions;
    }

    /// Takes a former client out.
    fn end_former(&mut self, owner: &Bytes, ended: &mut Ended) {
        let Some(former) = self.former.remove(owner) else { return };
        self.forget_former(&former);
        ended.push(former);
    }

    fn forget_former(&mut self, former: &Client) {
        let mut state = former.state();
        state.ended = true;
        for session in state.former_sessions.drain(..) {
            self.sessions.remove(&session);
        }
    }

    /// Takes out the former clients that have not come back.
    pub(super) fn expire_former(&mut self, now: Instant, after: Duration, ended: &mut Ended) {
        let silent = self.former.values().filter(|former| former.state().lapsed(now, after));
        let silent: Vec<Bytes> = silent.map(|former| former.owner.clone()).collect();
        for owner in silent {
            tracing::info!("a client of a former life has not come back");
            self.end_former(&owner, ended);
        }
    }
}
