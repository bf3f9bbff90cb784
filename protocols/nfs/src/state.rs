//! Opens and locks of one client, as its stateids name them (RFC 8881 section 8.2).

use bytes::Bytes;
use nfs_wire::{Stateid, Status};
use std::collections::HashMap;
use types::{ByteRange, Delegation, DelegationId, FileId};
use vfs::{OpenAccess, OpenId};

/// Everything that the client has open or locked.
pub(crate) struct StateTable {
    /// Marks stateids of this run of the server.
    instance: u32,
    limit: usize,
    next: u64,
    states: HashMap<u64, State>,
    opens: HashMap<(Bytes, FileId), u64>,
    locks: HashMap<(u64, FileId), u64>,
    lock_owners: HashMap<Bytes, u64>,
    delegations: HashMap<DelegationId, u64>,
    /// Delegations that the client has lost and does not know of yet.
    revoked: usize,
}

/// What a stateid stands for.
pub(crate) struct State {
    pub(crate) seqid: u32,
    pub(crate) file: FileId,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Open(OpenState),
    Lock(LockState),
    Delegation(DelegationState),
    /// A delegation that the client has lost.
    Revoked,
}

/// A delegation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DelegationState {
    pub(crate) id: DelegationId,
    pub(crate) kind: Delegation,
    /// What is read and written through it.
    pub(crate) open: OpenId,
    /// The file, as the client knows it.
    pub(crate) handle: Bytes,
    /// The change attribute when it was given.
    pub(crate) change: u64,
}

/// All opens of one file by one owner, which the protocol takes as one.
pub(crate) struct OpenState {
    owner: Bytes,
    /// At most four: each adds a right that those before did not have.
    pub(crate) opens: Vec<Opened>,
}

/// An open of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) id: OpenId,
    pub(crate) access: OpenAccess,
    pub(crate) deny: OpenAccess,
}

/// The locks of one owner on one file.
pub(crate) struct LockState {
    /// The owner as the contract knows it.
    pub(crate) owner: u64,
    /// The open that they were first taken through.
    pub(crate) open: u64,
    held: Vec<ByteRange>,
}

/// What I/O goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    Read,
    Write,
}

/// What has to be undone on the other side of the contract.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) opens: Vec<OpenId>,
    pub(crate) lock_owners: Vec<u64>,
}

fn union(a: OpenAccess, b: OpenAccess) -> OpenAccess {
    OpenAccess { read: a.read || b.read, write: a.write || b.write }
}

fn covers(a: OpenAccess, b: OpenAccess) -> bool {
    union(a, b) == a
}

impl OpenState {
    fn access(&self) -> OpenAccess {
        self.opens.iter().fold(OpenAccess::default(), |all, open| union(all, open.access))
    }

    fn deny(&self) -> OpenAccess {
        self.opens.iter().fold(OpenAccess::default(), |all, open| union(all, open.deny))
    }

    fn with(&self, need: Need) -> Option<OpenId> {
        let fits = |open: &&Opened| match need {
            Need::Read => open.access.read,
            Need::Write => open.access.write,
        };
        self.opens.iter().find(fits).map(|open| open.id)
    }
}

impl LockState {
    /// Adds or removes a range of what is held.
    fn note(&mut self, range: ByteRange, held: bool) {
        let mut rest = Vec::with_capacity(self.held.len() + 1);
        for old in self.held.drain(..) {
            for part in [
                ByteRange { offset: old.offset, end: old.end.min(range.offset) },
                ByteRange { offset: old.offset.max(range.end), end: old.end },
            ] {
                if !part.is_empty() {
                    rest.push(part);
                }
            }
        }
        if held {
            rest.push(range);
        }
        rest.sort();
        // Neighbours become one, so that the list does not grow with steps of a scan.
        for range in rest {
            match self.held.last_mut() {
                Some(last) if last.end >= range.offset => last.end = last.end.max(range.end),
                _ => self.held.push(range),
            }
        }
    }
}

impl StateTable {
    pub(crate) fn new(instance: u32, limit: usize) -> StateTable {
        StateTable {
            instance,
            limit,
            next: 1,
            states: HashMap::new(),
            opens: HashMap::new(),
            locks: HashMap::new(),
            lock_owners: HashMap::new(),
            delegations: HashMap::new(),
            revoked: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    fn stateid(&self, index: u64, seqid: u32) -> Stateid {
        let mut other = [0; 12];
        other[..4].copy_from_slice(&self.instance.to_be_bytes());
        other[4..].copy_from_slice(&index.to_be_bytes());
        Stateid { seqid, other }
    }

    fn index(&self, stateid: &Stateid) -> Result<u64, Status> {
        let mut index = [0; 8];
        index.copy_from_slice(&stateid.other[4..]);
        let index = u64::from_be_bytes(index);
        if stateid.other[..4] != self.instance.to_be_bytes() || !self.states.contains_key(&index) {
            return Err(Status::BadStateId);
        }
        Ok(index)
    }

    /// A stateid of nothing that there is.
    pub(crate) fn lost(&mut self) -> Stateid {
        let index = self.next;
        self.next += 1;
        self.stateid(index, 1)
    }

    fn bump(&mut self, index: u64) -> Option<Stateid> {
        let state = self.states.get_mut(&index)?;
        // The number goes around past zero, which means "the latest" (RFC 8881 section 8.2.2).
        state.seqid = state.seqid.checked_add(1).unwrap_or(1);
        let seqid = state.seqid;
        Some(self.stateid(index, seqid))
    }

    fn add(&mut self, file: FileId, kind: Kind) -> (u64, Stateid) {
        let index = self.next;
        self.next += 1;
        self.states.insert(index, State { seqid: 1, file, kind });
        (index, self.stateid(index, 1))
    }

    /// The state that `stateid` names.
    pub(crate) fn find(&self, stateid: &Stateid) -> Result<&State, Status> {
        let index = self.index(stateid)?;
        let state = self.states.get(&index).ok_or(Status::BadStateId)?;
        if matches!(state.kind, Kind::Revoked) {
            return Err(Status::DelegRevoked);
        }
        match stateid.seqid {
            0 => Ok(state),
            seqid if seqid == state.seqid => Ok(state),
            // Half of the number space is the past (RFC 8881 section 8.2.2).
            seqid if state.seqid.wrapping_sub(seqid) < 1 << 31 => Err(Status::OldStateId),
            _ => Err(Status::BadStateId),
        }
    }

    fn find_on(&self, stateid: &Stateid, file: FileId) -> Result<&State, Status> {
        self.find(stateid)
            .and_then(|state| if state.file == file { Ok(state) } else { Err(Status::BadStateId) })
    }

    fn open_at(&self, index: u64) -> Option<&OpenState> {
        match &self.states.get(&index)?.kind {
            Kind::Open(open) => Some(open),
            _ => None,
        }
    }

    /// The open to read or write `file` through; `None` asks the caller's rights instead.
    pub(crate) fn io(&self, stateid: &Stateid, file: FileId, need: Need) -> Result<Option<OpenId>, Status> {
        let open = match &self.find_on(stateid, file)?.kind {
            Kind::Open(open) => open,
            Kind::Lock(lock) => self.open_at(lock.open).ok_or(Status::BadStateId)?,
            Kind::Delegation(held) if need == Need::Read || held.kind == Delegation::Write => {
                return Ok(Some(held.open));
            }
            Kind::Delegation(_) => return Err(Status::OpenMode),
            Kind::Revoked => return Err(Status::DelegRevoked),
        };
        match (open.with(need), need) {
            (Some(id), _) => Ok(Some(id)),
            // A client that writes parts of pages reads the rest of them (RFC 8881 section 9.1.2).
            (None, Need::Read) => Ok(None),
            (None, Need::Write) => Err(Status::OpenMode),
        }
    }

    /// Whether another open or lock fits.
    pub(crate) fn has_room(&self) -> bool {
        self.states.len() < self.limit
    }

    /// Takes in an open; says under which stateid, and what is superfluous now.
    pub(crate) fn opened(
        &mut self,
        owner: &Bytes,
        file: FileId,
        opened: Opened,
    ) -> (Stateid, Option<OpenId>) {
        if let Some(index) = self.opens.get(&(owner.clone(), file)).copied()
            && let Some(State { kind: Kind::Open(open), .. }) = self.states.get_mut(&index)
        {
            let superfluous = covers(open.access(), opened.access) && covers(open.deny(), opened.deny);
            if !superfluous {
                open.opens.push(opened);
            }
            if let Some(stateid) = self.bump(index) {
                return (stateid, superfluous.then_some(opened.id));
            }
        }
        let open = OpenState { owner: owner.clone(), opens: vec![opened] };
        let (index, stateid) = self.add(file, Kind::Open(open));
        self.opens.insert((owner.clone(), file), index);
        (stateid, None)
    }

    /// The opens behind an open stateid and what they allow and deny together.
    pub(crate) fn open_state(
        &self,
        stateid: &Stateid,
        file: FileId,
    ) -> Result<(Vec<Opened>, OpenAccess, OpenAccess), Status> {
        match &self.find_on(stateid, file)?.kind {
            Kind::Open(open) => Ok((open.opens.clone(), open.access(), open.deny())),
            _ => Err(Status::BadStateId),
        }
    }

    /// Replaces the opens behind a stateid by one of them with other rights.
    pub(crate) fn downgraded(&mut self, stateid: &Stateid, kept: Opened) -> Result<Stateid, Status> {
        let index = self.index(stateid)?;
        if let Some(State { kind: Kind::Open(open), .. }) = self.states.get_mut(&index) {
            open.opens = vec![kept];
        }
        self.bump(index).ok_or(Status::BadStateId)
    }

    /// Forgets an open and its locks.
    pub(crate) fn closed(&mut self, stateid: &Stateid, file: FileId) -> Result<Gone, Status> {
        self.open_state(stateid, file)?;
        let index = self.index(stateid)?;
        let Some(State { kind: Kind::Open(open), .. }) = self.states.remove(&index) else {
            return Err(Status::BadStateId);
        };
        self.opens.remove(&(open.owner.clone(), file));
        let locks: Vec<u64> = self
            .states
            .iter()
            .filter(|(_, state)| {
                state.file == file && matches!(&state.kind, Kind::Lock(lock) if lock.open == index)
            })
            .map(|(index, _)| *index)
            .collect();
        let lock_owners = locks.into_iter().filter_map(|lock| self.remove_lock(lock)).collect();
        Ok(Gone { opens: open.opens.iter().map(|open| open.id).collect(), lock_owners })
    }

    fn remove_lock(&mut self, index: u64) -> Option<u64> {
        let state = self.states.remove(&index)?;
        let Kind::Lock(lock) = state.kind else { return None };
        self.locks.remove(&(lock.owner, state.file));
        if !self.locks.keys().any(|(owner, _)| *owner == lock.owner) {
            self.lock_owners.retain(|_, owner| *owner != lock.owner);
        }
        Some(lock.owner)
    }

    /// The number of a lock owner, a new one for a new owner.
    pub(crate) fn lock_owner(&mut self, owner: &Bytes) -> u64 {
        if let Some(number) = self.lock_owners.get(owner) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.lock_owners.insert(owner.clone(), number);
        number
    }

    /// The number of a lock owner that is known.
    pub(crate) fn known_lock_owner(&self, owner: &Bytes) -> Option<u64> {
        self.lock_owners.get(owner).copied()
    }

    /// What the client calls a lock owner.
    pub(crate) fn lock_owner_name(&self, number: u64) -> Option<Bytes> {
        self.lock_owners.iter().find(|(_, owner)| **owner == number).map(|(name, _)| name.clone())
    }

    /// Forgets an owner that got no lock.
    pub(crate) fn drop_unused_owner(&mut self, number: u64) {
        if !self.locks.keys().any(|(owner, _)| *owner == number) {
            self.lock_owners.retain(|_, owner| *owner != number);
        }
    }

    /// The open to lock through when an owner takes its first lock on a file.
    pub(crate) fn lock_through(&self, open: &Stateid, file: FileId, need: Need) -> Result<OpenId, Status> {
        match &self.find_on(open, file)?.kind {
            Kind::Open(state) => state.with(need).ok_or(Status::OpenMode),
            _ => Err(Status::BadStateId),
        }
    }

    /// The owner behind a lock stateid and the open to lock through.
    pub(crate) fn lock_state(&self, stateid: &Stateid, file: FileId) -> Result<&LockState, Status> {
        match &self.find_on(stateid, file)?.kind {
            Kind::Lock(lock) => Ok(lock),
            _ => Err(Status::BadStateId),
        }
    }

    /// The open that a lock state hangs on.
    pub(crate) fn open_of(&self, lock: &LockState, need: Need) -> Result<OpenId, Status> {
        self.open_at(lock.open).and_then(|open| open.with(need)).ok_or(Status::OpenMode)
    }

    /// Takes in the first lock of an owner through `open`.
    pub(crate) fn locked_first(
        &mut self,
        owner: u64,
        open: &Stateid,
        file: FileId,
        range: ByteRange,
    ) -> Result<Stateid, Status> {
        if let Some(index) = self.locks.get(&(owner, file)).copied() {
            return self.note(index, range, true);
        }
        let open = self.index(open)?;
        let lock = LockState { owner, open, held: vec![range] };
        let (index, stateid) = self.add(file, Kind::Lock(lock));
        self.locks.insert((owner, file), index);
        Ok(stateid)
    }

    /// Takes in that a range is held, or no more.
    pub(crate) fn locked(
        &mut self,
        stateid: &Stateid,
        range: ByteRange,
        held: bool,
    ) -> Result<Stateid, Status> {
        let index = self.index(stateid)?;
        self.note(index, range, held)
    }

    fn note(&mut self, index: u64, range: ByteRange, held: bool) -> Result<Stateid, Status> {
        if let Some(State { kind: Kind::Lock(lock), .. }) = self.states.get_mut(&index) {
            lock.note(range, held);
        }
        self.bump(index).ok_or(Status::BadStateId)
    }

    /// Takes in a delegation.
    pub(crate) fn delegated(&mut self, file: FileId, held: DelegationState) -> Stateid {
        let id = held.id;
        let (index, stateid) = self.add(file, Kind::Delegation(held));
        self.delegations.insert(id, index);
        stateid
    }

    /// A delegation that the client has, by its number.
    pub(crate) fn delegation(&self, id: DelegationId) -> Option<(Stateid, DelegationState)> {
        let index = *self.delegations.get(&id)?;
        match self.states.get(&index)? {
            State { kind: Kind::Delegation(held), seqid, .. } => {
                Some((self.stateid(index, *seqid), held.clone()))
            }
            _ => None,
        }
    }

    /// The file of a delegation, and the delegation.
    pub(crate) fn delegation_of(&self, stateid: &Stateid) -> Result<(FileId, &DelegationState), Status> {
        match self.find(stateid)? {
            State { kind: Kind::Delegation(held), file, .. } => Ok((*file, held)),
            _ => Err(Status::BadStateId),
        }
    }

    /// Forgets a delegation that the client gives back.
    pub(crate) fn returned(&mut self, stateid: &Stateid, file: FileId) -> Result<DelegationState, Status> {
        let Kind::Delegation(held) = &self.find_on(stateid, file)?.kind else {
            return Err(Status::BadStateId);
        };
        let held = held.clone();
        let index = self.index(stateid)?;
        self.states.remove(&index);
        self.delegations.remove(&held.id);
        Ok(held)
    }

    /// The client has lost a delegation; says what was open behind it.
    pub(crate) fn revoke(&mut self, id: DelegationId) -> Option<OpenId> {
        let index = self.delegations.remove(&id)?;
        let state = self.states.get_mut(&index)?;
        let Kind::Delegation(held) = std::mem::replace(&mut state.kind, Kind::Revoked) else { return None };
        self.revoked += 1;
        Some(held.open)
    }

    /// Whether the client has lost delegations and not freed them.
    pub(crate) fn has_revoked(&self) -> bool {
        self.revoked > 0
    }

    /// FREE_STATEID: forgets a lock state that holds nothing, or a delegation that is lost.
    pub(crate) fn free(&mut self, stateid: &Stateid) -> Result<(), Status> {
        let index = self.index(stateid)?;
        if matches!(self.states.get(&index), Some(State { kind: Kind::Revoked, .. })) {
            self.states.remove(&index);
            self.revoked -= 1;
            return Ok(());
        }
        match &self.find(stateid)?.kind {
            Kind::Lock(lock) if lock.held.is_empty() => {
                self.remove_lock(index);
                Ok(())
            }
            _ => Err(Status::LocksHeld),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{FsId, InodeId};

    const FILE: FileId = FileId { fs: FsId(1), ino: InodeId(7) };
    const READ: OpenAccess = OpenAccess { read: true, write: false };
    const WRITE: OpenAccess = OpenAccess { read: false, write: true };
    const NONE: OpenAccess = OpenAccess { read: false, write: false };

    fn opened(id: u64, access: OpenAccess) -> Opened {
        Opened { id: OpenId(id), access, deny: NONE }
    }

    #[test]
    fn opens_of_one_owner_are_one_state_with_a_growing_seqid() {
        let mut table = StateTable::new(1, 100);
        let owner = Bytes::from_static(b"o");
        let (first, extra) = table.opened(&owner, FILE, opened(1, READ));
        assert_eq!((first.seqid, extra), (1, None));
        let (second, extra) = table.opened(&owner, FILE, opened(2, WRITE));
        assert_eq!((second.seqid, second.other, extra), (2, first.other, None));
        let (third, extra) = table.opened(&owner, FILE, opened(3, READ));
        assert_eq!((third.seqid, extra), (3, Some(OpenId(3))));

        assert_eq!(table.io(&first, FILE, Need::Read), Err(Status::OldStateId));
        assert_eq!(table.io(&third, FILE, Need::Write), Ok(Some(OpenId(2))));
        assert_eq!(table.io(&Stateid { seqid: 9, ..third }, FILE, Need::Read), Err(Status::BadStateId));
        let gone = table.closed(&third, FILE).unwrap();
        assert_eq!(gone.opens, [OpenId(1), OpenId(2)]);
        assert!(table.is_empty());
        assert_eq!(table.io(&third, FILE, Need::Read), Err(Status::BadStateId));
    }

    #[test]
    fn a_lock_state_is_freed_only_when_it_holds_nothing() {
        let mut table = StateTable::new(1, 100);
        let (open, _) = table.opened(&Bytes::from_static(b"o"), FILE, opened(1, WRITE));
        let name = Bytes::from_static(b"l");
        let owner = table.lock_owner(&name);
        let lock = table.locked_first(owner, &open, FILE, ByteRange::new(0, 100)).unwrap();
        let lock = table.locked(&lock, ByteRange::new(10, 10), false).unwrap();
        assert_eq!(table.free(&lock), Err(Status::LocksHeld));
        let lock = table.locked(&lock, ByteRange { offset: 0, end: u64::MAX }, false).unwrap();
        assert_eq!(table.free(&lock), Ok(()));
        assert_eq!(table.known_lock_owner(&name), None);
        assert_eq!(table.closed(&open, FILE).unwrap().lock_owners, Vec::<u64>::new());
    }

    #[test]
    fn closing_gives_up_the_locks() {
        let mut table = StateTable::new(1, 100);
        let (open, _) = table.opened(&Bytes::from_static(b"o"), FILE, opened(1, WRITE));
        let owner = table.lock_owner(&Bytes::from_static(b"l"));
        table.locked_first(owner, &open, FILE, ByteRange::new(0, 1)).unwrap();
        assert_eq!(table.closed(&open, FILE).unwrap().lock_owners, [owner]);
        assert!(table.is_empty());
    }
}
