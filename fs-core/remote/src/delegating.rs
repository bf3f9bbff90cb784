//! Files that are delegated to clients of heads, and who waits until they are given back.

use crate::delegated_file::{DelegatedFile, Left};
use crate::former::off_runtime;
use locking::{Delegations, Need, Refusal, Use};
use parking_lot::Mutex;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use types::{Cred, DelegationId, FileId, FsError, FsId};
use vfs::{AskHolder, ClientId, Ctx, Delegate, HolderQuestion, NotDelegated};

/// For how long those are waited for who ask again by themselves: most holders answer sooner.
const MOMENT: Duration = Duration::from_millis(250);
/// How long a holder may take to say whether it keeps anything, before it is asked to give it back.
const SAYS_WITHIN: Duration = Duration::from_secs(1);
/// How long those are waited for whose filesystem is to be removed.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

type Answer = Pin<Box<dyn Future<Output = bool> + Send>>;
type Asked = Box<dyn Fn(AskHolder) -> Answer + Send + Sync>;
type MayClaim = Box<dyn Fn(ClientId) -> bool + Send + Sync>;

/// All delegations, and the head that answers for their holders.
pub(crate) struct Delegating {
    begun: Instant,
    table: Mutex<Delegations<ClientId>>,
    asked: OnceLock<Asked>,
    /// Some delegation has gone.
    gone: Notify,
    /// Whether a client may claim what it had in a former life.
    may_claim: MayClaim,
    file: Option<Arc<DelegatedFile>>,
    /// A former life may have delegated anything to those who may claim.
    unknown: AtomicBool,
}

/// A use that is under way: nothing is delegated to others that it would be in the way of.
pub(crate) struct Using<'a> {
    delegating: &'a Delegating,
    used: Option<Use<ClientId>>,
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        if let Some(used) = self.used.take() {
            self.delegating.table.lock().end(used);
        }
    }
}

impl Delegating {
    pub(crate) fn new(begun: Instant, may_claim: MayClaim) -> Delegating {
        let table = Mutex::new(Delegations::new(0));
        let (asked, gone, unknown) = (OnceLock::new(), Notify::new(), AtomicBool::new(false));
        Delegating { begun, table, asked, gone, may_claim, file: None, unknown }
    }

    /// With what a former life has delegated, and what this one will have.
    pub(crate) fn after(mut self, file: DelegatedFile) -> io::Result<Delegating> {
        match file.left() {
            Left::Nothing => {}
            Left::Known(all) => {
                let mut table = self.table.lock();
                all.iter().for_each(|held| table.restore(held.client, held.file, held.kind));
                file.begin(Some(&table.all()))?;
            }
            Left::Unknown => {
                file.begin(None)?;
                self.unknown = AtomicBool::new(true);
            }
        }
        self.file = Some(Arc::new(file));
        Ok(self)
    }

    /// Nobody may claim anything any more.
    pub(crate) async fn all_claimed(self: &Delegating) -> io::Result<()> {
        let gone = self.table.lock().settle(None);
        self.note_gone(&gone);
        if self.unknown.load(Ordering::Acquire)
            && let Some(file) = self.file.clone()
        {
            // First it is written down what was claimed.
            let all = self.table.lock().all();
            off_runtime(move || file.begin(Some(&all))).await?;
            self.unknown.store(false, Ordering::Release);
            self.gone.notify_waiters();
        }
        Ok(())
    }

    /// The client claims nothing more.
    pub(crate) fn claimed(&self, client: ClientId) {
        let gone = self.table.lock().settle(Some(client));
        self.note_gone(&gone);
    }

    /// At the end of this life: the next need not wait, if nothing is delegated.
    pub(crate) async fn close(&self) -> io::Result<()> {
        match &self.file {
            Some(file) if self.table.lock().is_empty() && !self.unknown.load(Ordering::Acquire) => {
                file.clear().await
            }
            _ => Ok(()),
        }
    }

    fn note_gone(&self, gone: &[locking::Delegated<ClientId>]) {
        if let Some(file) = &self.file {
            gone.iter().for_each(|held| file.gone(held.id));
        }
        if !gone.is_empty() {
            self.gone.notify_waiters();
        }
    }

    /// Who answers for the holders, and how long they have to give back what is wanted.
    pub(crate) fn answered_by<F, R>(&self, term: Duration, asked: F)
    where
        F: Fn(AskHolder) -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.table.lock().set_term(millis(term));
        let asked: Asked = Box::new(move |question| Box::pin(asked(question)));
        if self.asked.set(asked).is_err() {
            tracing::error!("two heads want to answer for delegations");
        }
    }

    fn now(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    /// Begins a use of files by the client of `ctx`, and waits until no delegation is in its way. Says also whether it had
    /// to wait.
    ///
    /// # Errors
    /// [`FsError::Delay`] for those who ask again.
    pub(crate) async fn begin(
        &self,
        ctx: &Ctx,
        of: Vec<(FileId, Need)>,
    ) -> Result<(Using<'_>, bool), FsError> {
        let used = self.table.lock().begin(ctx.client, of.clone());
        let using = Using { delegating: self, used: Some(used) };
        let waited = self.clear(ctx, &of).await?;
        Ok((using, waited))
    }

    /// Waits until no delegation is in the way. Says whether it had to.
    ///
    /// # Errors
    /// [`FsError::Delay`] for those who ask again.
    pub(crate) async fn clear(&self, ctx: &Ctx, of: &[(FileId, Need)]) -> Result<bool, FsError> {
        let mut waited = false;
        let patience = Instant::now() + MOMENT;
        loop {
            let gone = self.gone.notified();
            // Whoever waits may go away at any moment: from here to the end of the questions nothing waits.
            let found = self.table.lock().in_way(self.now(), ctx.client, of);
            for lost in &found.lost {
                tracing::warn!(file = %lost.file, client = format!("{:032x}", lost.client.0), "a delegation was not given back in time: it is taken away");
                self.ask(ask(lost, HolderQuestion::Lost)).await;
            }
            self.note_gone(&found.lost);
            for delegated in &found.ask {
                self.ask(ask(delegated, HolderQuestion::GiveBack)).await;
            }
            let waits = found.waits || self.is_unknown(ctx.client, of);
            waited |= waits || !found.lost.is_empty();
            if !waits {
                return Ok(waited);
            }
            let until = found.until.map(|until| self.begun + Duration::from_millis(until));
            let until = until.into_iter().chain(ctx.impatient.then_some(patience)).min();
            match until {
                Some(until) => drop(timeout_at(until, gone).await),
                None => gone.await,
            }
            if ctx.impatient && Instant::now() >= patience {
                return Err(FsError::Delay);
            }
        }
    }

    /// Waits until what is known here of `file` is all that there is to know. Says whether anything may have come to it meanwhile.
    ///
    /// # Errors
    /// [`FsError::Delay`] for those who ask again.
    pub(crate) async fn look(&self, ctx: &Ctx, file: FileId) -> Result<bool, FsError> {
        let Some((held, is_asked)) = self.table.lock().written_by(ctx.client, file) else { return Ok(false) };
        if !is_asked {
            let says = self.ask(ask(&held, HolderQuestion::IsUnchanged));
            let within = Instant::now() + if ctx.impatient { MOMENT } else { SAYS_WITHIN };
            if timeout_at(within, says).await == Ok(true) {
                return Ok(true);
            }
        }
        self.clear(ctx, &[(file, Need::Look)]).await?;
        Ok(true)
    }

    /// Whether somebody else may know more of `file` than is known here.
    pub(crate) fn is_written(&self, client: ClientId, file: FileId) -> bool {
        self.table.lock().written_by(client, file).is_some()
    }

    /// Whether somebody else may change `file` without anybody being told, now or once it has claimed that.
    pub(crate) fn may_be_written(&self, client: ClientId, file: FileId) -> bool {
        self.table.lock().may_be_written(client, file) || self.unknown.load(Ordering::Acquire)
    }

    /// Whether anything may be in the way of `client`: it is not known what a former life has delegated.
    fn is_unknown(&self, client: ClientId, of: &[(FileId, Need)]) -> bool {
        self.unknown.load(Ordering::Acquire)
            && of.iter().any(|(_, need)| *need != Need::Look)
            && !(self.may_claim)(client)
    }

    async fn ask(&self, question: AskHolder) -> bool {
        match self.asked.get() {
            Some(asked) => asked(question).await,
            None => false,
        }
    }

    /// Delegates a file, unless `in_way` says that something is in the way that is not known here. That is asked after
    /// the delegation is in force: what begins meanwhile finds it.
    pub(crate) async fn delegate(
        &self,
        ctx: &Ctx,
        request: Delegate,
        in_way: impl FnOnce() -> bool,
    ) -> Result<DelegationId, NotDelegated> {
        let Delegate { file, kind, reclaim } = request;
        if self.asked.get().is_none() {
            return Err(NotDelegated::NotSupported);
        }
        // It would not be written down.
        if !reclaim && self.unknown.load(Ordering::Acquire) {
            return Err(NotDelegated::Contended);
        }
        if let Some(written) = &self.file {
            written.prepare().await.map_err(|error| not_written(&error))?;
        }
        let given = {
            let mut table = self.table.lock();
            match reclaim {
                false => table.grant(self.now(), ctx.client, file, kind),
                true if self.unknown.load(Ordering::Acquire) => table.claim_unknown(ctx.client, file, kind),
                true => table.claim(ctx.client, file, kind),
            }
        };
        let id = given.map_err(|refusal| match refusal {
            Refusal::Contended => NotDelegated::Contended,
            Refusal::Held => NotDelegated::Held,
            Refusal::Full => NotDelegated::Full,
        })?;
        let in_way = in_way();
        if !reclaim && in_way {
            self.give_back(id);
            return Err(NotDelegated::Contended);
        }
        if let Some(written) = &self.file {
            let held = locking::Delegated { client: ctx.client, file, id, kind };
            if let Err(error) = written.given(&held, || self.table.lock().all()) {
                self.give_back(id);
                return Err(not_written(&error));
            }
        }
        if reclaim {
            // Who waits for it has it asked back from who can be asked now.
            self.gone.notify_waiters();
        }
        if in_way {
            // Somebody has opened the file meanwhile, which it could before this was claimed.
            self.table.lock().ask(self.now(), id);
            let what = HolderQuestion::GiveBack;
            self.ask(AskHolder { client: ctx.client, file, id, what }).await;
        }
        Ok(id)
    }

    /// Asks for all that is delegated of a filesystem, and waits for it, but not for long.
    pub(crate) async fn take_back(&self, client: ClientId, fs: FsId) {
        let all = self.table.lock().all();
        let of: Vec<_> =
            all.iter().filter(|held| held.file.fs == fs).map(|held| (held.file, Need::Change)).collect();
        let ctx = Ctx { client, ..Ctx::new(Cred::root()) };
        // Whether all were given back shows to whoever asked for it.
        let _ = timeout_at(Instant::now() + TAKEN_WITHIN, self.clear(&ctx, &of)).await;
    }

    pub(crate) fn give_back(&self, id: DelegationId) {
        let gone = self.table.lock().give_back(id);
        self.note_gone(gone.as_slice());
    }

    pub(crate) fn end_client(&self, client: ClientId) {
        let gone = self.table.lock().end_client(client);
        self.note_gone(&gone);
    }
}

fn not_written(error: &io::Error) -> NotDelegated {
    tracing::warn!(%error, "nothing is delegated, as the next life would not know of it");
    NotDelegated::Full
}

fn ask(held: &locking::Delegated<ClientId>, what: HolderQuestion) -> AskHolder {
    AskHolder { client: held.client, file: held.file, id: held.id, what }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
