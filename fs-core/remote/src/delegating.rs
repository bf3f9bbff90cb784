//! Files that are delegated to clients of heads, and who waits until they are given back.

use locking::{Delegations, Need, Refusal, Use};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use types::{DelegationId, FileId, FsError};
use vfs::{AskHolder, ClientId, Ctx, Delegate, HolderQuestion, NotDelegated};

/// For how long those are waited for who ask again by themselves: most holders answer sooner.
const MOMENT: Duration = Duration::from_millis(250);
/// How long a holder may take to say whether it keeps anything, before it is asked to give it back.
const SAYS_WITHIN: Duration = Duration::from_secs(1);

type Answer = Pin<Box<dyn Future<Output = bool> + Send>>;
type Asked = Box<dyn Fn(AskHolder) -> Answer + Send + Sync>;

/// All delegations, and the head that answers for their holders.
pub(crate) struct Delegating {
    begun: Instant,
    table: Mutex<Delegations<ClientId>>,
    asked: OnceLock<Asked>,
    /// Some delegation has gone.
    gone: Notify,
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
    pub(crate) fn new(begun: Instant) -> Delegating {
        let table = Mutex::new(Delegations::new(0));
        Delegating { begun, table, asked: OnceLock::new(), gone: Notify::new() }
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
            let found = self.table.lock().in_way(self.now(), ctx.client, of);
            for lost in &found.lost {
                tracing::warn!(file = %lost.file, client = format!("{:032x}", lost.client.0), "a delegation was not given back in time: it is taken away");
                self.ask(ask(lost, HolderQuestion::Lost)).await;
            }
            if !found.lost.is_empty() {
                self.gone.notify_waiters();
            }
            for delegated in &found.ask {
                self.ask(ask(delegated, HolderQuestion::GiveBack)).await;
            }
            waited |= found.waits || !found.lost.is_empty();
            if !found.waits {
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
        let holder = {
            let table = self.table.lock();
            table.written_by(ctx.client, file).map(|held| (held, table.is_asked(held.id)))
        };
        let Some((held, is_asked)) = holder else { return Ok(false) };
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

    async fn ask(&self, question: AskHolder) -> bool {
        match self.asked.get() {
            Some(asked) => asked(question).await,
            None => false,
        }
    }

    /// Delegates a file, unless `in_way` says that something is in the way that is not known here. That is asked after
    /// the delegation is in force: what begins meanwhile finds it.
    pub(crate) fn delegate(
        &self,
        ctx: &Ctx,
        request: Delegate,
        in_way: impl FnOnce() -> bool,
    ) -> Result<DelegationId, NotDelegated> {
        let Delegate { file, kind, reclaim } = request;
        if self.asked.get().is_none() {
            return Err(NotDelegated::NotSupported);
        }
        let given = {
            let mut table = self.table.lock();
            if reclaim {
                table.claim(ctx.client, file, kind)
            } else {
                table.grant(self.now(), ctx.client, file, kind)
            }
        };
        let id = given.map_err(|refusal| match refusal {
            Refusal::Contended => NotDelegated::Contended,
            Refusal::Held => NotDelegated::Held,
            Refusal::Full => NotDelegated::Full,
        })?;
        if !reclaim && in_way() {
            self.give_back(id);
            return Err(NotDelegated::Contended);
        }
        // Who waits for it has it asked back from who can be asked now.
        if reclaim {
            self.gone.notify_waiters();
        }
        Ok(id)
    }

    pub(crate) fn give_back(&self, id: DelegationId) {
        if self.table.lock().give_back(id).is_some() {
            self.gone.notify_waiters();
        }
    }

    pub(crate) fn end_client(&self, client: ClientId) {
        if !self.table.lock().end_client(client).is_empty() {
            self.gone.notify_waiters();
        }
    }
}

fn ask(held: &locking::Delegated<ClientId>, what: HolderQuestion) -> AskHolder {
    AskHolder { client: held.client, file: held.file, id: held.id, what }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
