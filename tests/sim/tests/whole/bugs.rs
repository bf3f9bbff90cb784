//! Bugs that are planted to see whether they are found.

use bytes::Bytes;
use map::{Machine, MapError, OrderedMapMut};
use namespace::{Command, Namespace};

/// What is wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// An entry is acknowledged with one home too few.
    Quorum,
    /// Recovery lets go of what is prepared without asking what was decided.
    TwoPhase,
    /// A stripe is freed that is about to be needed.
    Reclamation,
    /// First answers are not kept.
    Replay,
}

/// The namespace, which remembers no request.
pub(crate) struct Forgetful;

impl Machine for Forgetful {
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError> {
        let unnamed = Command::decode(command).map(|command| Command { request: None, ..command });
        let unnamed = unnamed.and_then(|command| command.encode().ok());
        Namespace.apply(map, unnamed.as_ref().unwrap_or(command))
    }
}
