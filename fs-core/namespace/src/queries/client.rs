//! Clients that are remembered over restarts.

use super::Answer;
use crate::keys;
use crate::records::{Client, Ended, Record};
use map::{MapError, OrderedMap};
use types::{FsId, Slot};

/// Visits the clients after `after`, or all, in order, until `visit` says stop.
///
/// # Errors
/// Those of the map.
pub fn clients(
    map: &dyn OrderedMap,
    after: Option<u128>,
    visit: &mut dyn FnMut(u128, Client) -> bool,
) -> Answer<()> {
    let (from, to) = keys::clients_after(after);
    let mut outcome = Ok(());
    map.scan(&from, &to, &mut |key, value| {
        let id =
            keys::client_id(key).ok_or_else(|| MapError::Broken("a client's key has another length".into()));
        match id.and_then(|id| Ok((id, Client::decode(value)?))) {
            Ok((id, client)) => visit(id, client),
            Err(error) => {
                outcome = Err(error.into());
                false
            }
        }
    })?;
    outcome
}

/// Clients that have ended and whose replays are to be forgotten.
///
/// # Errors
/// Those of the map.
pub fn ended(map: &dyn OrderedMap) -> Answer<Vec<u128>> {
    let (from, to) = keys::all_of(FsId(0), Slot(0), keys::kind::ENDED);
    let (mut found, mut outcome) = (Vec::new(), Ok(()));
    map.scan(&from, &to, &mut |key, value| {
        let id =
            keys::client_id(key).ok_or_else(|| MapError::Broken("a client's key has another length".into()));
        match id.and_then(|id| Ended::decode(value).map(|Ended {}| id)) {
            Ok(id) => found.push(id),
            Err(error) => outcome = Err(error.into()),
        }
        outcome.is_ok()
    })?;
    outcome.map(|()| found)
}
