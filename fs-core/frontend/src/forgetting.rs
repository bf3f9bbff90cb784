//! Forgetting the replies to clients that will not ask for them again.
//!
//! They are in every slot that the client has changed anything in. So they are not looked for client by client: those of
//! all who have ended meanwhile go in one pass over the slots that are used. Until then a request of such a client waits,
//! so that nobody sees a difference.

use crate::look::read;
use crate::{Frontend, Inner, Shards, Stripes};
use namespace::queries::{accounts, pending};
use namespace::{Action, Channels, Reply};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use types::limits::{CLIENTS_MAX, COMMAND_KEYS_MAX};
use types::{Cred, FsError, FsId, InodeId, RequestId, Slot};

/// Filesystem 0, of whose slot 0 the records of clients are.
const CLUSTER: FsId = FsId(0);
/// Others that end at about the same time go in the same pass.
const GATHER: Duration = Duration::from_millis(100);
/// Pause before a pass that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Slots looked at before others get their turn.
const SLOTS_AT_ONCE: usize = 64;
/// How long a request waits for what its client had before to be forgotten.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Ranges of channels that may wait; who adds more waits for a pass.
const WAITING_MAX: usize = CLIENTS_MAX;

/// What is to be forgotten.
#[derive(Default)]
pub(crate) struct Forgetting {
    waiting: Mutex<BTreeMap<(u128, u32), Waiting>>,
    /// Of these, so that nobody needs the table when it is empty.
    count: AtomicUsize,
    /// There is something to do.
    more: Notify,
    /// Something has been done.
    less: Notify,
}

/// Beside client and first channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Waiting {
    last: u32,
    /// That the client has ended is on drives, and goes with its replies.
    ended: bool,
}

impl Forgetting {
    /// Goes on with clients that ended in a former life.
    pub(crate) fn recall(ended: Vec<u128>) -> Forgetting {
        let all = |client| ((client, 0), Waiting { last: u32::MAX, ended: true });
        let waiting: BTreeMap<_, _> = ended.into_iter().map(all).collect();
        let this =
            Forgetting { count: waiting.len().into(), waiting: waiting.into(), ..Forgetting::default() };
        this.more.notify_one();
        this
    }

    /// Adds channels; waits when too many wait already.
    pub(crate) async fn add(&self, channels: Channels, ended: bool) {
        loop {
            let less = self.less.notified();
            tokio::pin!(less);
            less.as_mut().enable();
            if self.try_add(channels, ended) {
                return;
            }
            less.await;
        }
    }

    fn try_add(&self, Channels { client, first, last }: Channels, ended: bool) -> bool {
        let mut waiting = self.waiting.lock();
        let known = waiting.get(&(client, first)).copied();
        if known.is_none() && waiting.len() >= WAITING_MAX {
            return false;
        }
        let known = known.unwrap_or(Waiting { last, ended });
        let both = Waiting { last: known.last.max(last), ended: known.ended || ended };
        waiting.insert((client, first), both);
        self.count.store(waiting.len(), Ordering::Release);
        self.more.notify_one();
        true
    }

    /// Waits until nothing is remembered of what the client sent before it ended.
    ///
    /// # Errors
    /// [`FsError::Delay`] when that takes too long.
    pub(crate) async fn settled(&self, client: u128, channel: u32) -> Result<(), FsError> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let gone = async {
            loop {
                let less = self.less.notified();
                tokio::pin!(less);
                less.as_mut().enable();
                if !self.covers(client, channel) {
                    return;
                }
                less.await;
            }
        };
        tokio::time::timeout(WAIT_MAX, gone).await.map_err(|_| FsError::Delay)
    }

    fn covers(&self, client: u128, channel: u32) -> bool {
        let waiting = self.waiting.lock();
        waiting.range((client, 0)..=(client, channel)).any(|(_, waiting)| waiting.last >= channel)
    }

    fn all(&self) -> Vec<(Channels, Waiting)> {
        let channels = |(&(client, first), waiting): (&(u128, u32), &Waiting)| {
            (Channels { client, first, last: waiting.last }, *waiting)
        };
        self.waiting.lock().iter().map(channels).collect()
    }

    /// What has not grown since goes.
    fn done(&self, all: &[(Channels, Waiting)]) {
        let mut waiting = self.waiting.lock();
        for (Channels { client, first, .. }, done) in all {
            if waiting.get(&(*client, *first)) == Some(done) {
                waiting.remove(&(*client, *first));
            }
        }
        self.count.store(waiting.len(), Ordering::Release);
        if !waiting.is_empty() {
            self.more.notify_one();
        }
        self.less.notify_waiters();
    }
}

/// Forgets what is added, for as long as the frontend lives.
pub(crate) async fn run<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>, forgetting: Arc<Forgetting>) {
    loop {
        forgetting.more.notified().await;
        tokio::time::sleep(GATHER).await;
        let all = forgetting.all();
        while !all.is_empty() {
            let Some(inner) = weak.upgrade() else { return };
            match Frontend(inner).forget_all(&all).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(%error, "replies to clients that have ended are not forgotten yet")
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        forgetting.done(&all);
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Waits until nothing is remembered of what the request's client sent before it ended.
    pub(crate) async fn settled(&self, request: &RequestId) -> Result<(), FsError> {
        self.0.forgetting.settled(request.client, request.channel).await
    }

    async fn forget_all(&self, all: &[(Channels, Waiting)]) -> Result<(), FsError> {
        let wanted: Vec<Channels> = all.iter().map(|(channels, _)| *channels).collect();
        let mut next = Some(Slot(0));
        while let Some(from) = next {
            let (found, after) = self.replays_in_slots(from, &wanted).await?;
            next = after;
            for (fs, slot, channels) in found {
                self.forget_in(fs, slot, channels).await?;
            }
            tokio::task::yield_now().await;
        }
        let ended: Vec<u128> =
            all.iter().filter(|(_, waiting)| waiting.ended).map(|(channels, _)| channels.client).collect();
        for clients in ended.chunks(COMMAND_KEYS_MAX) {
            self.propose_as(Cred::root(), CLUSTER, Action::DropClients { clients: clients.to_vec() }).await?;
        }
        Ok(())
    }

    /// What is remembered in some slots from `from` on, and where to go on.
    async fn replays_in_slots(
        &self,
        from: Slot,
        wanted: &[Channels],
    ) -> Result<(Vec<(FsId, Slot, Vec<Channels>)>, Option<Slot>), FsError> {
        let view = self.past_view();
        let (mut found, mut next) = (Vec::new(), Some(from));
        for _ in 0..SLOTS_AT_ONCE {
            let Some(from) = next else { break };
            let slot = read(&view, |map| accounts::used_slot(map, from)).await?;
            let Some(slot) = slot else { return Ok((found, None)) };
            for fs in read(&view, |map| accounts::filesystems_in(map, slot)).await? {
                let here = read(&view, |map| pending::replays(map, fs, slot, wanted)).await?;
                if !here.is_empty() {
                    found.push((fs, slot, here));
                }
            }
            next = slot.0.checked_add(1).map(Slot);
        }
        Ok((found, next))
    }

    async fn forget_in(&self, fs: FsId, slot: Slot, channels: Vec<Channels>) -> Result<(), FsError> {
        for part in channels.chunks(COMMAND_KEYS_MAX) {
            let action = Action::ForgetReplays { channels: part.to_vec(), near: InodeId::new(slot, 0) };
            while let Reply::Drained { more: true } =
                self.propose_as(Cred::root(), fs, action.clone()).await?
            {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(client: u128, first: u32, last: u32) -> Channels {
        Channels { client, first, last }
    }

    #[tokio::test(start_paused = true)]
    async fn only_those_whose_channels_are_to_be_forgotten_wait() {
        let forgetting = Forgetting::default();
        forgetting.add(of(7, 64, 127), false).await;
        for (client, channel) in [(7, 63), (7, 128), (6, 64), (8, 64)] {
            assert_eq!(forgetting.settled(client, channel).await, Ok(()));
        }
        assert_eq!(forgetting.settled(7, 127).await, Err(FsError::Delay));
        let all = forgetting.all();
        // What is added while a pass is under way needs another one.
        forgetting.add(of(7, 64, 200), true).await;
        forgetting.done(&all);
        assert!(forgetting.covers(7, 64) && forgetting.covers(7, 200));
        let (settled, ()) = tokio::join!(forgetting.settled(7, 64), async {
            forgetting.done(&forgetting.all());
        });
        assert_eq!(settled, Ok(()));
        assert_eq!(forgetting.count.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_adds_too_much_waits() {
        let forgetting = Forgetting::default();
        for client in 0..WAITING_MAX {
            forgetting.add(of(client as u128, 0, 1), false).await;
        }
        let more = || forgetting.add(of(u128::MAX, 0, 1), false);
        assert!(tokio::time::timeout(WAIT_MAX, more()).await.is_err());
        forgetting.add(of(5, 0, 9), false).await;
        tokio::join!(more(), async { forgetting.done(&forgetting.all()[..1]) });
        assert!(forgetting.covers(u128::MAX, 0));
    }
}
