//! Commands and queries, and what becomes of their failures.

use crate::{Frontend, Room, Shards, Stripes};
use map::OrderedMap;
use metadata::MetadataError;
use namespace::{Action, Append, Applied, Claim, Command, Failure, Outcome, Reply};
use std::time::Duration;
use types::{Cred, FileId, FsError, FsId};
use vfs::{Ctx, GetAttrReply};

/// Most times that a command is proposed again because the world moved under it.
pub(crate) const TRIES: usize = 64;

/// How long what makes room waits for room.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 50;

pub(crate) fn unexpected(reply: &Reply) -> FsError {
    tracing::error!(?reply, "a command gave a reply that is not its own");
    FsError::Io
}

/// Runs to the end, also when the caller gives up: what follows from a command that may have taken effect
/// must be done.
pub(crate) async fn whole<T: Send + 'static>(
    task: impl Future<Output = Result<T, FsError>> + Send + 'static,
) -> Result<T, FsError> {
    match tokio::spawn(task).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "an operation ended early");
            Err(FsError::Io)
        }
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Proposes once, or finds the first answer where only that is wanted.
    pub(crate) async fn outcome(&self, ctx: &Ctx, fs: FsId, action: Action) -> Result<Outcome, FsError> {
        self.outcome_with(ctx, fs, action, Vec::new()).await
    }

    /// As [`Self::outcome`], for a command that does appends, too.
    pub(crate) async fn outcome_with(
        &self,
        ctx: &Ctx,
        fs: FsId,
        action: Action,
        appends: Vec<Append>,
    ) -> Result<Outcome, FsError> {
        let Ctx { cred, request, again, .. } = ctx.clone();
        if !gives_back(&action) {
            self.0.removals.present(fs).await?;
        }
        if let Some(request) = &request {
            self.settled(request).await?;
        }
        let command = Command { now: self.0.clock.now(), cred, request, fs, action, appends };
        if again {
            let first = |map: &dyn OrderedMap| Ok(namespace::first_answer(map, &command)?);
            return self.unlocked(|| self.look(first)).await?.ok_or(FsError::NotDone);
        }
        self.room_to_change(&command.action).await?;
        let (home, crosses) = (command.home(), command.crosses());
        let submitted = self.0.shards.submit(home, command.encode()?, crosses).await;
        let encoded = submitted.map_err(|error| match error {
            // Over several shards: a directory is moved to where too many stand above it.
            MetadataError::TooLarge(_) => FsError::NameTooLong,
            error @ (MetadataError::Busy | MetadataError::Refused(_)) => {
                tracing::warn!(%error, "shards do not take a command");
                FsError::Delay
            }
            error => {
                tracing::error!(%error, "shard does not answer");
                self.0.ledger.mark_all();
                FsError::Uncertain
            }
        })?;
        let Applied { outcome, accounts } = namespace::applied(&encoded).map_err(|error| {
            tracing::error!(%error, "shard answers in an unknown tongue");
            FsError::Io
        })?;
        self.0.ledger.mark(&accounts);
        Ok(outcome)
    }

    /// Refuses what is new where logs and maps have little room, and all but what makes room where they have very little;
    /// waits a while, before that is refused too.
    async fn room_to_change(&self, action: &Action) -> Result<(), FsError> {
        let claim = action.claim();
        for _ in 0..LOOKS {
            match self.0.stripes.metadata_room() {
                Room::Ample => return Ok(()),
                _ if claim == Claim::New => return Err(FsError::NoSpace),
                Room::Scarce => return Ok(()),
                Room::Freeing if claim == Claim::Freeing => return Ok(()),
                Room::Freeing => return Err(FsError::NoSpace),
                Room::None => tokio::time::sleep(LOOK).await,
            }
        }
        Err(FsError::NoSpace)
    }

    /// Proposes on a caller's behalf until the command neither meets another inode than `action` saw nor
    /// work that has to be drained first. `action` is asked anew each time.
    pub(crate) async fn propose(
        &self,
        ctx: &Ctx,
        fs: FsId,
        action: impl Fn() -> Result<Action, FsError>,
    ) -> Result<Reply, FsError> {
        for _ in 0..TRIES {
            let action = action()?;
            let drained = drained_by(&action, fs);
            match self.outcome(ctx, fs, action).await? {
                Ok(reply) => return Ok(reply),
                Err(Failure::Fs(error)) => return Err(error),
                Err(Failure::DrainFirst) => {
                    for file in drained {
                        self.drain(file).await?;
                    }
                }
                Err(Failure::Moved | Failure::Split { .. }) => {}
            }
        }
        Err(FsError::Delay)
    }

    /// Proposes what cannot move or split.
    pub(crate) async fn propose_as(&self, cred: Cred, fs: FsId, action: Action) -> Result<Reply, FsError> {
        let ctx = Ctx::new(cred);
        self.propose(&ctx, fs, || Ok(action.clone())).await
    }

    /// Proposes what changes an inode, for who will hear what it says of itself then.
    pub(crate) async fn propose_change(
        &self,
        ctx: &Ctx,
        file: FileId,
        action: Action,
    ) -> Result<GetAttrReply, FsError> {
        match self.propose(ctx, file.fs, || Ok(action.clone())).await? {
            Reply::Attr { attr, .. } => {
                self.note_change(file);
                Ok(GetAttrReply::untrusted(self.laid_over(attr)))
            }
            reply => Err(unexpected(&reply)),
        }
    }

    /// Does what is left to be done about an inode, to the end.
    pub(crate) async fn drain(&self, file: FileId) -> Result<(), FsError> {
        loop {
            let drained =
                self.outcome(&Ctx::new(Cred::root()), file.fs, Action::Drain { ino: file.ino }).await;
            // Of a filesystem that is being removed all goes together.
            if drained == Err(FsError::Stale) {
                return Ok(());
            }
            match drained? {
                Ok(Reply::Drained { more: true }) => {}
                Ok(_) => return Ok(()),
                Err(Failure::Fs(error)) => return Err(error),
                Err(_) => return Err(FsError::Delay),
            }
        }
    }
}

/// Whether an action is for filesystems that are being removed, too.
fn gives_back(action: &Action) -> bool {
    matches!(action, Action::EmptySlot { .. } | Action::ForgetStripes { .. } | Action::ForgetReplays { .. })
}

/// The inodes whose pending work may stand in the way of an action.
fn drained_by(action: &Action, fs: FsId) -> Vec<FileId> {
    let inodes = match action {
        Action::Commit { ino, .. } | Action::Space { ino, .. } | Action::SetAttr { ino, .. } => vec![*ino],
        Action::CloneRange { from, to, .. } => vec![*from, *to],
        _ => Vec::new(),
    };
    inodes.into_iter().map(|ino| FileId { fs, ino }).collect()
}
