//! What comes over the fabric, for a fuzzer.

use super::entries::Packer;
use super::member::Way;
use super::wire::{Ask, Found, ShardAsk, ShardTell, Tell, Want};
use super::{RemoteView, ShardDoor};
use crate::sim::MemoryShard;
use crate::{Locking, TxId};
use bytes::Bytes;
use cluster::SlotTable;
use fabric::Peer;
use futures_util::FutureExt;
use map::{Machine, MapError, OrderedMap, OrderedMapMut};
use std::sync::Arc;
use types::ShardId;

/// Puts each command under itself.
struct Echo;

impl Machine for Echo {
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError> {
        let before = map.get(command)?;
        map.put(command, command.clone());
        Ok(before.unwrap_or_default())
    }
}

const KEY: &[u8] = b"\0\x07key";

fn wants() -> [Want; 3] {
    let (from, to) = (Bytes::from_static(KEY), Bytes::from_static(b"\0\x08"));
    [
        Want::Key { key: from.clone(), behind: 9 },
        Want::Range { from: from.clone(), to: to.clone(), ascending: true, entries: 9 },
        Want::Range { from, to, ascending: false, entries: 9 },
    ]
}

/// Gives a message to a shard as a question, and to views as an answer.
pub(crate) fn message(small: &[u8], payload: &Bytes) {
    if let Ok(ShardAsk(ask)) = postcard::from_bytes(small) {
        let Ok(slots) = SlotTable::even(1) else { return };
        let Ok(shard) = MemoryShard::new(ShardId(0), Arc::new(slots), Arc::new(Echo)) else { return };
        let door = ShardDoor::new(shard);
        for _ in 0..2 {
            // One that waits for others waits for ever.
            let _ = door.answer(&Peer::of_this_process(), ask.clone(), payload.clone()).now_or_never();
        }
    }
    if let Ok(ShardTell(Ok(Tell::Read(found)))) = postcard::from_bytes(small) {
        for want in wants() {
            let view = RemoteView::new(Arc::new(Way::nowhere()), Locking::Nobody);
            if view.learns(std::slice::from_ref(&want), found.clone(), payload.clone()).is_ok() {
                let begins_known = match &want {
                    Want::Key { .. } => view.get(KEY).is_ok(),
                    Want::Range { ascending, .. } => view.begins(*ascending),
                };
                assert!(begins_known, "{want:?} brought nothing");
            }
        }
    }
}

/// Messages that are right, each with its payload.
pub(crate) fn messages() -> Vec<(Vec<u8>, Bytes)> {
    let command = Bytes::from_static(KEY);
    let read = |open| Ask::Read { view: 7, open, wants: wants().to_vec(), released: vec![1, 2] };
    let ended = Ask::Ended(TxId { executor: 1, epoch: 2, number: 3 });
    let asks = [
        (Ask::Submit, command.clone()),
        (read(Some(Locking::AllOthers(None))), Bytes::new()),
        (read(None), Bytes::new()),
        (Ask::UnderWay, Bytes::new()),
        (ended, Bytes::new()),
    ];
    let mut packer = Packer::default();
    packer.push(KEY, b"value");
    let (from, to) = (command, Bytes::from_static(b"\0\x08"));
    let found = ShardTell(Ok(Tell::Read(vec![Found { from, to, entries: 1, stopped: None }])));
    let asks = asks
        .into_iter()
        .filter_map(|(ask, payload)| Some((postcard::to_stdvec(&ShardAsk(ask)).ok()?, payload)));
    asks.chain(postcard::to_stdvec(&found).ok().map(|tell| (tell, packer.finish()))).collect()
}
