//! Clients that are remembered over restarts.

use super::Answer;
use crate::keys;
use crate::records::{Client, Record};
use map::{MapError, OrderedMap};

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
