//! Clients, from EXCHANGE_ID to the end of their lease (RFC 8881 sections 2.4, 8.3 and 18.35).

mod former;
mod record;

use crate::backchannel::BackChannel;
use crate::line::Line;
use crate::session::{SLOTS_KEPT, Session, check_back, negotiate_fore};
use crate::state::StateTable;
use bytes::Bytes;
use nfs_wire::{ChannelAttrs, ClientOwner, CreateSessionArgs, CreateSessionOk, SessionId, Status, Verifier};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use vfs::ClientId;

/// CREATE_SESSION4_FLAG_PERSIST: replies survive a restart.
const PERSIST: u32 = 1;
/// CREATE_SESSION4_FLAG_CONN_BACK_CHAN: the connection is to carry calls to the client, too.
const BACK_CHANNEL: u32 = 2;
/// What SEQUENCE tells of (RFC 8881 section 18.46.3): that the client cannot be called, or not over this session, and that it
/// has lost a delegation.
const CB_PATH_DOWN: u32 = 1;
const RECALLABLE_STATE_REVOKED: u32 = 0x40;
const CB_PATH_DOWN_SESSION: u32 = 0x200;
/// Sessions of one client at a time.
const SESSIONS_MAX: usize = 16;

/// Who may speak for a client: the user id of AUTH_SYS, `None` for AUTH_NONE.
pub(crate) type Principal = Option<u32>;

/// A client that has said who it is.
pub(crate) struct Client {
    pub(crate) id: u64,
    /// As opens, locks and changes know it.
    pub(crate) vfs: ClientId,
    owner: Bytes,
    verifier: Verifier,
    principal: Principal,
    /// Held by who changes what is kept of it over restarts; one with who it was in a former life.
    pub(crate) recording: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<ClientState>,
}

pub(crate) struct ClientState {
    /// Its state is gone or going; nothing may be added.
    pub(crate) ended: bool,
    confirmed: bool,
    /// Requests that run now; none of them may lose its lease.
    running: u32,
    renewed: Instant,
    created: Option<CreateSessionOk>,
    create_sequence: u32,
    sessions: Vec<SessionId>,
    /// Of former lives, the oldest first.
    former_sessions: Vec<SessionId>,
    next_ordinal: u32,
    pub(crate) reclaimed: bool,
    pub(crate) table: StateTable,
}

/// Numbers that the table needs of the configuration.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) instance: u64,
    pub(crate) lease: Duration,
    pub(crate) clients: usize,
    pub(crate) states_per_client: usize,
    pub(crate) slots: usize,
}

/// All clients of the server.
pub(crate) struct Clients {
    bounds: Bounds,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next_client: u32,
    next_session: u64,
    clients: HashMap<u64, Arc<Client>>,
    owners: HashMap<Bytes, Records>,
    /// By what the contract knows confirmed clients as.
    by_vfs: HashMap<ClientId, Arc<Client>>,
    sessions: HashMap<SessionId, Arc<Session>>,
    slots: usize,
    /// Clients of a former life that have not come back, by owner.
    former: HashMap<Bytes, Arc<Client>>,
    strays: Ended,
}

/// What is known of an owner; the unconfirmed record takes the place of the other when it is confirmed.
#[derive(Default, Clone, Copy)]
struct Records {
    confirmed: Option<u64>,
    unconfirmed: Option<u64>,
}

/// Answer to EXCHANGE_ID.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) id: u64,
    pub(crate) sequence: u32,
    pub(crate) confirmed: bool,
}

/// A session that is to be created.
pub(crate) struct Plan {
    pub(crate) client: Arc<Client>,
    session: Arc<Session>,
    reply: CreateSessionOk,
    /// What is to be kept of the client from now on.
    pub(crate) record: Bytes,
}

/// What CREATE_SESSION comes to.
pub(crate) enum Planned {
    /// It was done before.
    Done(CreateSessionOk),
    /// It is to be done, and kept first.
    New(Box<Plan>),
}

/// Clients that are out of the table and whose state has to be given up.
pub(crate) type Ended = Vec<Arc<Client>>;

impl Client {
    pub(crate) fn state(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins: the lease is renewed and does not run out before its end.
    pub(crate) fn enter(&self, now: Instant) {
        let mut state = self.state();
        state.running += 1;
        state.renewed = now;
    }

    /// The client has been heard of.
    pub(crate) fn renew(&self, now: Instant) {
        self.state().renewed = now;
    }

    /// A request ends.
    pub(crate) fn leave(&self, now: Instant) {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        state.renewed = now;
    }
}

impl ClientState {
    fn new(table: StateTable, now: Instant) -> ClientState {
        ClientState {
            ended: false,
            confirmed: false,
            running: 0,
            renewed: now,
            created: None,
            create_sequence: 0,
            sessions: Vec::new(),
            former_sessions: Vec::new(),
            next_ordinal: 0,
            reclaimed: false,
            table,
        }
    }

    pub(crate) fn lapsed(&self, now: Instant, after: Duration) -> bool {
        self.running == 0 && now.saturating_duration_since(self.renewed) > after
    }

    fn expired(&self, now: Instant, after: Duration, lease: Duration) -> bool {
        self.lapsed(now, if self.confirmed { after } else { lease })
    }

    fn in_use(&self) -> bool {
        !self.sessions.is_empty() || !self.table.is_empty()
    }
}

impl Table {
    /// Takes a client out, with its sessions.
    fn end(&mut self, id: u64, ended: &mut Ended) {
        let Some(client) = self.clients.remove(&id) else { return };
        let mut state = client.state();
        state.ended = true;
        for session in state.sessions.drain(..) {
            if let Some(session) = self.sessions.remove(&session) {
                self.slots -= session.slot_count() as usize;
            }
        }
        for session in state.former_sessions.drain(..) {
            self.sessions.remove(&session);
        }
        let confirmed = state.confirmed;
        drop(state);
        if let Some(records) = self.owners.get_mut(&client.owner) {
            for record in [&mut records.confirmed, &mut records.unconfirmed] {
                if *record == Some(id) {
                    *record = None;
                }
            }
            if records.confirmed.is_none() && records.unconfirmed.is_none() {
                self.owners.remove(&client.owner);
            }
        }
        if confirmed {
            self.by_vfs.remove(&client.vfs);
            ended.push(client);
        }
    }

    fn record(&self, id: Option<u64>) -> Option<Arc<Client>> {
        id.and_then(|id| self.clients.get(&id)).cloned()
    }
}

impl Clients {
    pub(crate) fn new(bounds: Bounds) -> Clients {
        Clients { bounds, table: Mutex::new(Table::default()) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// EXCHANGE_ID (RFC 8881 section 18.35.4, whose cases are numbered there).
    pub(crate) fn exchange_id(
        &self,
        owner: &ClientOwner,
        principal: Principal,
        update: bool,
        now: Instant,
        ended: &mut Ended,
    ) -> Result<Known, Status> {
        let mut table = self.table();
        let records = table.owners.get(&owner.ownerid.0).copied().unwrap_or_default();
        let confirmed = table.record(records.confirmed);
        if update {
            let client = confirmed.ok_or(Status::NoEnt)?;
            if client.verifier != owner.verifier {
                return Err(Status::NotSame);
            }
            if client.principal != principal {
                return Err(Status::Perm);
            }
            return Ok(known(&client));
        }
        if let Some(client) = confirmed {
            if client.principal != principal {
                // Case 3: somebody else uses the name.
                let state = client.state();
                if state.in_use() && !state.lapsed(now, self.bounds.lease) {
                    return Err(Status::ClidInUse);
                }
                drop(state);
                table.end(client.id, ended);
            } else if client.verifier == owner.verifier {
                // Case 2: it asks again.
                client.state().renewed = now;
                return Ok(known(&client));
            }
            // Case 5, it has restarted: its state goes when the new record is confirmed.
        }
        let former = table.returning(owner, principal, (now, self.bounds.lease), ended)?;
        if let Some(old) = records.unconfirmed {
            table.end(old, ended);
        }
        // One that comes back takes its own place.
        if former.is_none() && table.clients.len() + table.former.len() >= self.bounds.clients {
            return Err(Status::Delay);
        }
        table.next_client += 1;
        let id = u64::from(self.bounds.instance as u32) << 32 | u64::from(table.next_client);
        let opened = StateTable::new(self.bounds.instance as u32, self.bounds.states_per_client);
        let mut state = ClientState::new(opened, now);
        state.next_ordinal = former.as_ref().map_or(0, |former| former.state().next_ordinal);
        let recording = former.as_ref().map(|former| Arc::clone(&former.recording)).unwrap_or_default();
        let fresh = ClientId(u128::from(self.bounds.instance) << 64 | u128::from(id));
        let client = Arc::new(Client {
            id,
            vfs: former.map_or(fresh, |former| former.vfs),
            owner: Bytes::copy_from_slice(&owner.ownerid),
            verifier: owner.verifier,
            principal,
            recording,
            state: Mutex::new(state),
        });
        table.owners.entry(client.owner.clone()).or_default().unconfirmed = Some(id);
        table.clients.insert(id, Arc::clone(&client));
        Ok(known(&client))
    }

    /// The client with this id.
    pub(crate) fn client(&self, id: u64) -> Result<Arc<Client>, Status> {
        self.table().clients.get(&id).cloned().ok_or(Status::StaleClientId)
    }

    /// CREATE_SESSION (RFC 8881 section 18.36.4), up to what has to be kept. To be called under the client's
    /// [`Client::recording`].
    pub(crate) fn plan_session(
        &self,
        client: Arc<Client>,
        args: &CreateSessionArgs,
        principal: Principal,
        (minor, line): (u32, &Arc<Line>),
    ) -> Result<Planned, Status> {
        let mut table = self.table();
        let mut state = client.state();
        if state.ended {
            return Err(Status::StaleClientId);
        }
        // Once confirmed, any principal of the client may add sessions: its state is not protected.
        if !state.confirmed && client.principal != principal {
            return Err(Status::ClidInUse);
        }
        if args.sequence == state.create_sequence
            && let Some(reply) = &state.created
        {
            return Ok(Planned::Done(reply.clone()));
        }
        if args.sequence != state.create_sequence.wrapping_add(1) {
            return Err(Status::SeqMisordered);
        }
        check_back(&args.back)?;
        let fore = negotiate_fore(&args.fore, self.slots_for(&table, state.confirmed))?;
        if state.sessions.len() >= SESSIONS_MAX {
            return Err(Status::Delay);
        }
        // After so many sessions the client has to introduce itself anew, for new identities of changes.
        let ordinal = state.next_ordinal;
        if ordinal > Session::ORDINAL_MAX {
            return Err(Status::StaleClientId);
        }
        state.next_ordinal += 1;
        drop(state);

        table.next_session += 1;
        let mut id = SessionId::default();
        id[..8].copy_from_slice(&self.bounds.instance.to_be_bytes());
        id[8..].copy_from_slice(&table.next_session.to_be_bytes());
        let back = ChannelAttrs { rdma_ird: xdr::List::default(), ..args.back.clone() };
        let channel = BackChannel::new(id, minor, &back, args.cb_program, &args.sec_parms);
        let is_bound = args.flags & BACK_CHANNEL != 0 && channel.bind(line);
        let flags = args.flags & PERSIST | if is_bound { BACK_CHANNEL } else { 0 };
        let reply = CreateSessionOk { session: id, sequence: args.sequence, flags, fore: fore.clone(), back };
        let session = Session::new(id, Arc::clone(&client), ordinal, (fore, channel), flags & PERSIST != 0);
        let session = Arc::new(session);
        let record = table.kept_of(&client, Some(&session));
        Ok(Planned::New(Box::new(Plan { client, session, reply, record })))
    }

    /// Slots that a new session may have: with few clients all that there are, with many not those of clients to come.
    fn slots_for(&self, table: &Table, confirmed: bool) -> usize {
        let left = self.bounds.slots.saturating_sub(table.slots);
        let here = table.by_vfs.len() + usize::from(!confirmed);
        let kept = SLOTS_KEPT * self.bounds.clients.saturating_sub(here);
        left.saturating_sub(kept).max(left.min(SLOTS_KEPT))
    }

    /// CREATE_SESSION after what has to be kept is.
    pub(crate) fn create_session(
        &self,
        plan: Plan,
        now: Instant,
        ended: &mut Ended,
    ) -> Result<CreateSessionOk, Status> {
        let Plan { client, session, reply, .. } = plan;
        let mut table = self.table();
        let mut state = client.state();
        if state.ended {
            return Err(Status::StaleClientId);
        }
        if table.slots + session.slot_count() as usize > self.bounds.slots {
            return Err(Status::Delay);
        }
        state.create_sequence = reply.sequence;
        state.created = Some(reply.clone());
        state.sessions.push(session.id);
        state.renewed = now;
        let confirm = !state.confirmed;
        state.confirmed = true;
        drop(state);
        table.slots += session.slot_count() as usize;
        table.sessions.insert(session.id, session);
        if confirm {
            let records = table.owners.entry(client.owner.clone()).or_default();
            records.unconfirmed = None;
            if let Some(old) = records.confirmed.replace(client.id) {
                table.end(old, ended);
            }
            table.succeed(&client, ended);
            table.by_vfs.insert(client.vfs, client);
        }
        Ok(reply)
    }

    /// What is to be kept now of the client, or of who has come back as it; `None` when it has ended.
    pub(crate) fn record(&self, client: &Client) -> Option<Bytes> {
        let table = self.table();
        let client = table.by_vfs.get(&client.vfs).map_or(client, |client| client);
        let ended = client.state().ended;
        (!ended).then(|| table.kept_of(client, None))
    }

    /// The session with this id.
    pub(crate) fn session(&self, id: &SessionId) -> Result<Arc<Session>, Status> {
        self.table().sessions.get(id).cloned().ok_or(Status::BadSession)
    }

    /// A session over which the client can be called.
    pub(crate) fn back_channel(&self, client: &Client) -> Option<Arc<Session>> {
        let table = self.table();
        let state = client.state();
        let sessions = state.sessions.iter().filter_map(|id| table.sessions.get(id));
        sessions.rev().find(|session| session.back.is_up()).cloned()
    }

    /// Whether the client can be called.
    pub(crate) fn can_be_called(&self, client: &Client) -> bool {
        self.back_channel(client).is_some()
    }

    /// What SEQUENCE tells the client of the session.
    pub(crate) fn status_flags(&self, session: &Session) -> u32 {
        let revoked = if session.client.state().table.has_revoked() { RECALLABLE_STATE_REVOKED } else { 0 };
        let down = match session.back.is_down() {
            false => 0,
            true if self.can_be_called(&session.client) => CB_PATH_DOWN_SESSION,
            true => CB_PATH_DOWN | CB_PATH_DOWN_SESSION,
        };
        revoked | down
    }

    /// Takes out a client whose lease has run out.
    pub(crate) fn evict(&self, client: &Client, now: Instant, ended: &mut Ended) {
        let mut table = self.table();
        if client.state().lapsed(now, self.bounds.lease) {
            table.end(client.id, ended);
        }
    }

    /// DESTROY_SESSION: takes it out.
    pub(crate) fn destroy_session(&self, id: &SessionId) -> Result<Arc<Session>, Status> {
        let mut table = self.table();
        let session = table.sessions.remove(id).ok_or(Status::BadSession)?;
        if !session.is_former() {
            table.slots -= session.slot_count() as usize;
        }
        let mut state = session.client.state();
        state.sessions.retain(|other| other != id);
        state.former_sessions.retain(|other| other != id);
        drop(state);
        Ok(session)
    }

    /// DESTROY_CLIENTID.
    pub(crate) fn destroy_client(&self, id: u64, ended: &mut Ended) -> Result<(), Status> {
        let mut table = self.table();
        let client = table.clients.get(&id).cloned().ok_or(Status::StaleClientId)?;
        if client.state().in_use() {
            return Err(Status::ClientIdBusy);
        }
        table.end(id, ended);
        Ok(())
    }

    /// Takes out the clients that have been silent for longer than `after`, and those that have not even
    /// confirmed within a lease.
    pub(crate) fn expire(&self, now: Instant, after: Duration, except: Option<u64>, ended: &mut Ended) {
        let mut table = self.table();
        let silent: Vec<u64> = table
            .clients
            .values()
            .filter(|client| {
                Some(client.id) != except && client.state().expired(now, after, self.bounds.lease)
            })
            .map(|client| client.id)
            .collect();
        for id in silent {
            tracing::info!(client = id, "lease ran out");
            table.end(id, ended);
        }
        table.expire_former(now, after, ended);
    }

    /// The client that the contract knows as `id`.
    pub(crate) fn by_vfs_id(&self, id: ClientId) -> Option<Arc<Client>> {
        self.table().by_vfs.get(&id).cloned()
    }
}

fn known(client: &Client) -> Known {
    let state = client.state();
    Known { id: client.id, sequence: state.create_sequence.wrapping_add(1), confirmed: state.confirmed }
}

#[cfg(test)]
mod tests;
