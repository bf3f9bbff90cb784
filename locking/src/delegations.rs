//! Which files are delegated to whom, what is in the way of others, and what is asked back.
//!
//! A client may hold one delegation of a file: to read, together with others, or to write, alone. Whoever is about to look at a file or to change it
//! begins a [`Use`], is told which delegations of others are in its way ([`Delegations::in_way`]), has their holders
//! asked, and goes on when none is left. A holder that keeps a delegation for longer than a term after it was asked loses it to whoever
//! waits. Nothing is delegated to anybody against a use of another that is under way, and a file that was asked back is not delegated
//! again for a while, which grows as long as that goes on.
//!
//! Moments are counted by whoever holds this state; only their order and distance matter. Source: RFC 8881 section 10.4.

use std::collections::HashMap;
use std::hash::Hash;
use types::{Delegation, DelegationId, FileId};

/// Delegations at once, at most.
const ALL_MAX: usize = 1 << 16;
/// Delegations of one client, at most.
const PER_CLIENT_MAX: usize = 1 << 14;
/// For how long a file that was asked back is left alone, in milliseconds: at first, and at most.
const CALM_MIN: u64 = 1_000;
const CALM_MAX: u64 = 64_000;
/// Files that are left alone at once; others are delegated again.
const CALM_FILES_MAX: usize = 1 << 14;

/// What somebody is about to do with a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Need {
    /// To look at its content, size or times, or to open it for that.
    Look,
    /// To take or look for a lock that others may share.
    Lock,
    /// To change anything of it, or to open it for that.
    Change,
}

/// A delegation and who holds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Delegated<C> {
    /// The holder.
    pub client: C,
    /// The file.
    pub file: FileId,
    /// Which delegation.
    pub id: DelegationId,
    /// Of what kind.
    pub kind: Delegation,
}

/// Something that is being done with files.
#[derive(PartialEq, Eq, Debug)]
pub struct Use<C> {
    client: C,
    of: Vec<(FileId, Need)>,
}

/// What is in the way of a use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InWay<C> {
    /// Their holders have to be asked now; they were not before.
    pub ask: Vec<Delegated<C>>,
    /// Their holders have lost them now, and have to be told so before anything else is done.
    pub lost: Vec<Delegated<C>>,
    /// Whether any is left in the way.
    pub waits: bool,
    /// When to look again at the latest.
    pub until: Option<u64>,
}

/// Why a file is not delegated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// Somebody else is at it, or has been a short while ago.
    Contended,
    /// The client holds a delegation of it.
    Held,
    /// There are too many.
    Full,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The holder may go on.
    Held,
    /// The holder was asked at this moment.
    Asked(u64),
    /// Of a former life: the holder has not claimed it yet, and cannot be asked.
    Former,
}

#[derive(Debug)]
struct Holder<C> {
    client: C,
    id: DelegationId,
    kind: Delegation,
    state: State,
}

#[derive(Debug)]
struct File<C> {
    holders: Vec<Holder<C>>,
    uses: Vec<(C, Need)>,
}

#[derive(Debug)]
struct Calm {
    until: u64,
    span: u64,
}

/// All delegations of one owner of this state.
#[derive(Debug)]
pub struct Delegations<C> {
    files: HashMap<FileId, File<C>>,
    ids: HashMap<DelegationId, FileId>,
    counts: HashMap<C, usize>,
    calm: HashMap<FileId, Calm>,
    term: u64,
    next: u64,
}

impl Need {
    /// Whether a delegation of this kind is in the way of others who need this.
    const fn meets(self, kind: Delegation) -> bool {
        matches!((self, kind), (Need::Change, _) | (_, Delegation::Write))
    }
}

impl<C> File<C> {
    const fn new() -> File<C> {
        File { holders: Vec::new(), uses: Vec::new() }
    }
}

impl<C: Copy + Eq + Hash> Delegations<C> {
    /// None yet; a holder that was asked has `term` milliseconds.
    #[must_use]
    pub fn new(term: u64) -> Delegations<C> {
        let (files, ids, counts, calm) = Default::default();
        Delegations { files, ids, counts, calm, term, next: 1 }
    }

    /// Changes the time that holders have.
    pub fn set_term(&mut self, term: u64) {
        self.term = term;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nothing is delegated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Everything that is delegated, in the order in which it was.
    #[must_use]
    pub fn all(&self) -> Vec<Delegated<C>> {
        let of = |(file, held): (&FileId, &Holder<C>)| Delegated {
            client: held.client,
            file: *file,
            id: held.id,
            kind: held.kind,
        };
        let held = self.files.iter().flat_map(|(file, at)| at.holders.iter().map(move |held| (file, held)));
        let mut all: Vec<_> = held.map(of).collect();
        all.sort_unstable_by_key(|delegated| delegated.id);
        all
    }

    /// Begins a use by `client`.
    pub fn begin(&mut self, client: C, of: Vec<(FileId, Need)>) -> Use<C> {
        for (file, need) in &of {
            self.files.entry(*file).or_insert(File::new()).uses.push((client, *need));
        }
        Use { client, of }
    }

    /// Ends a use, whatever became of it.
    pub fn end(&mut self, used: Use<C>) {
        for (file, need) in used.of {
            let Some(at) = self.files.get_mut(&file) else { continue };
            if let Some(found) = at.uses.iter().position(|one| *one == (used.client, need)) {
                at.uses.swap_remove(found);
            }
            self.tidy(file);
        }
    }

    /// What is in the way of `client` at `now`. To be asked again whenever a delegation has gone, and at
    /// [`InWay::until`].
    pub fn in_way(&mut self, now: u64, client: C, of: &[(FileId, Need)]) -> InWay<C> {
        let mut found = InWay { ask: Vec::new(), lost: Vec::new(), waits: false, until: None };
        for (file, need) in of {
            let Some(at) = self.files.get_mut(file) else { continue };
            let mut asked = false;
            for held in &mut at.holders {
                if held.client == client || !need.meets(held.kind) {
                    continue;
                }
                let delegated = Delegated { client: held.client, file: *file, id: held.id, kind: held.kind };
                let at = match held.state {
                    // Whatever its holder has closed is known here; what it has opened or locked is not.
                    State::Former if *need == Need::Look => continue,
                    State::Former => {
                        found.waits = true;
                        continue;
                    }
                    State::Asked(at) if at.saturating_add(self.term) <= now => {
                        found.lost.push(delegated);
                        continue;
                    }
                    State::Asked(at) => at,
                    State::Held => {
                        held.state = State::Asked(now);
                        asked = true;
                        found.ask.push(delegated);
                        now
                    }
                };
                let until = at.saturating_add(self.term);
                found.waits = true;
                found.until = Some(found.until.map_or(until, |other| other.min(until)));
            }
            if asked {
                self.calm(now, *file);
            }
        }
        for lost in &found.lost {
            self.give_back(lost.id);
        }
        found
    }

    /// The delegation to write, of somebody but `client`, that `file` is under, and whether its holder was asked to give it back:
    /// what it holds may be newer than what is known here.
    #[must_use]
    pub fn written_by(&self, client: C, file: FileId) -> Option<(Delegated<C>, bool)> {
        let held = self.writer(client, file)?;
        let delegated = Delegated { client: held.client, file, id: held.id, kind: held.kind };
        match held.state {
            State::Held => Some((delegated, false)),
            State::Asked(_) => Some((delegated, true)),
            State::Former => None,
        }
    }

    /// Whether somebody but `client` may write `file` without anybody being told, now or once it has claimed that.
    #[must_use]
    pub fn may_be_written(&self, client: C, file: FileId) -> bool {
        self.writer(client, file).is_some()
    }

    fn writer(&self, client: C, file: FileId) -> Option<&Holder<C>> {
        let at = self.files.get(&file)?;
        at.holders.iter().find(|held| held.kind == Delegation::Write && held.client != client)
    }

    /// The holder is asked at `now` although nobody waits.
    pub fn ask(&mut self, now: u64, id: DelegationId) {
        let at = self.ids.get(&id).and_then(|file| self.files.get_mut(file));
        let held = at.and_then(|at| at.holders.iter_mut().find(|held| held.id == id));
        if let Some(held) = held
            && matches!(held.state, State::Held)
        {
            held.state = State::Asked(now);
        }
    }

    /// Delegates `file` to `client`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn grant(
        &mut self,
        now: u64,
        client: C,
        file: FileId,
        kind: Delegation,
    ) -> Result<DelegationId, Refusal> {
        if let Some(at) = self.files.get(&file) {
            let is_in_way = |held: &Holder<C>| {
                held.client != client && (kind == Delegation::Write || held.kind == Delegation::Write)
            };
            let mut of_others = at.uses.iter().filter(|(user, _)| *user != client);
            if at.holders.iter().any(|held| held.client == client) {
                return Err(Refusal::Held);
            }
            if at.holders.iter().any(is_in_way) || of_others.any(|(_, need)| need.meets(kind)) {
                return Err(Refusal::Contended);
            }
        }
        if self.calm.get(&file).is_some_and(|calm| now < calm.until) {
            return Err(Refusal::Contended);
        }
        self.add(client, file, kind, State::Held).ok_or(Refusal::Full)
    }

    /// The delegation was one of a former life.
    pub fn restore(&mut self, client: C, file: FileId, kind: Delegation) {
        let known =
            self.files.get(&file).is_some_and(|at| at.holders.iter().any(|held| held.client == client));
        if !known {
            self.add(client, file, kind, State::Former);
        }
    }

    /// The client claims what it had in a former life.
    ///
    /// # Errors
    /// [`Refusal::Contended`] when it had none.
    pub fn claim(&mut self, client: C, file: FileId, kind: Delegation) -> Result<DelegationId, Refusal> {
        let at = self.files.get_mut(&file).ok_or(Refusal::Contended)?;
        let is_it = |held: &&mut Holder<C>| {
            held.client == client && held.kind >= kind && matches!(held.state, State::Former)
        };
        let held = at.holders.iter_mut().find(is_it).ok_or(Refusal::Contended)?;
        (held.state, held.kind) = (State::Held, kind);
        Ok(held.id)
    }

    /// The client claims what it had in a former life of which nothing else is known.
    ///
    /// # Errors
    /// [`Refusal::Contended`] when somebody else has claimed what cannot be together with it.
    pub fn claim_unknown(
        &mut self,
        client: C,
        file: FileId,
        kind: Delegation,
    ) -> Result<DelegationId, Refusal> {
        let holders = self.files.get(&file).map_or(&[][..], |at| &at.holders);
        let in_way = |held: &Holder<C>| {
            held.client == client || kind == Delegation::Write || held.kind == Delegation::Write
        };
        if holders.iter().any(in_way) {
            return Err(Refusal::Contended);
        }
        self.add(client, file, kind, State::Held).ok_or(Refusal::Full)
    }

    /// What the client had in a former life and has not claimed is gone; `None`: what anybody had.
    pub fn settle(&mut self, client: Option<C>) -> Vec<Delegated<C>> {
        let of_former = |held: &Holder<C>| {
            matches!(held.state, State::Former) && client.is_none_or(|client| client == held.client)
        };
        self.remove(of_former)
    }

    /// The client has ended.
    pub fn end_client(&mut self, client: C) -> Vec<Delegated<C>> {
        if self.counts.contains_key(&client) { self.remove(|held| held.client == client) } else { Vec::new() }
    }

    /// The holder has it no more; says what it was.
    pub fn give_back(&mut self, id: DelegationId) -> Option<Delegated<C>> {
        let file = self.ids.remove(&id)?;
        let at = self.files.get_mut(&file)?;
        let held = at.holders.swap_remove(at.holders.iter().position(|held| held.id == id)?);
        if let Some(count) = self.counts.get_mut(&held.client) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&held.client);
            }
        }
        self.tidy(file);
        Some(Delegated { client: held.client, file, id, kind: held.kind })
    }

    fn add(&mut self, client: C, file: FileId, kind: Delegation, state: State) -> Option<DelegationId> {
        let count = self.counts.get(&client).copied().unwrap_or(0);
        if self.ids.len() >= ALL_MAX || count >= PER_CLIENT_MAX {
            return None;
        }
        self.counts.insert(client, count + 1);
        let id = DelegationId(self.next);
        self.next += 1;
        self.ids.insert(id, file);
        self.files.entry(file).or_insert(File::new()).holders.push(Holder { client, id, kind, state });
        Some(id)
    }

    fn remove(&mut self, which: impl Fn(&Holder<C>) -> bool) -> Vec<Delegated<C>> {
        let chosen = self.files.values().flat_map(|at| at.holders.iter().filter(|held| which(held)));
        let mut ids: Vec<DelegationId> = chosen.map(|held| held.id).collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.give_back(id)).collect()
    }

    /// A file was asked back: it is left alone for a while, and for longer when that has happened lately.
    fn calm(&mut self, now: u64, file: FileId) {
        if self.calm.len() >= CALM_FILES_MAX {
            self.calm.retain(|_, calm| now < calm.until.saturating_add(calm.span));
        }
        let lately = self.calm.get(&file).filter(|calm| now < calm.until.saturating_add(calm.span));
        let span = lately.map_or(CALM_MIN, |calm| (calm.span * 2).min(CALM_MAX));
        if self.calm.len() < CALM_FILES_MAX || self.calm.contains_key(&file) {
            self.calm.insert(file, Calm { until: now.saturating_add(span), span });
        }
    }

    fn tidy(&mut self, file: FileId) {
        if self.files.get(&file).is_some_and(|at| at.holders.is_empty() && at.uses.is_empty()) {
            self.files.remove(&file);
        }
    }
}

#[cfg(test)]
mod tests;
