//! A machine that counts, and a drive to run it on.

use bytes::{Buf, BufMut, Bytes};
use cluster::SlotTable;
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use map::{Machine, MapError, OrderedMap, OrderedMapMut};
use metadata::{Home, MapSeat, MetadataError, Shard, ShardConfig, ShardOptions};
use std::path::Path;
use std::sync::Arc;
use types::ShardId;

pub(crate) struct Counter;

pub(crate) fn add(key: &[u8], n: u64) -> Bytes {
    let mut out = vec![b'+'];
    out.put_u64(n);
    out.put_slice(key);
    out.into()
}

pub(crate) fn add_both(key: &[u8], n: u64) -> Bytes {
    let mut out = vec![b'2'];
    out.put_u64(n);
    out.put_slice(key);
    out.into()
}

/// A command of the kind that takes one number and perhaps more bytes.
pub(crate) fn command(kind: u8, n: u64, rest: &[u8]) -> Bytes {
    let mut out = vec![kind];
    out.put_u64(n);
    out.put_slice(rest);
    out.into()
}

pub(crate) fn total(map: &dyn OrderedMap, key: &[u8]) -> u64 {
    map.get(key).unwrap().map_or(0, |mut v| v.get_u64())
}

impl Machine for Counter {
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError> {
        let mut command = command.clone();
        match command.get_u8() {
            b'+' => {
                let n = command.get_u64();
                let sum = map.get(&command)?.map_or(0, |mut v| v.get_u64()) + n;
                let value = Bytes::copy_from_slice(&sum.to_be_bytes());
                map.put(&command, value.clone());
                Ok(value)
            }
            // Adds to two keys: their sums must never differ.
            b'2' => {
                let n = command.get_u64();
                for key in [&command[..], b"all"] {
                    let sum = map.get(key)?.map_or(0, |mut v| v.get_u64()) + n;
                    map.put(key, Bytes::copy_from_slice(&sum.to_be_bytes()));
                }
                Ok(map.get(&command)?.unwrap_or_default())
            }
            // Depends on the order of everything before, and on nothing else.
            b'#' => {
                let mut state = map.get(b"hash")?.unwrap_or_default();
                let before = state.try_get_u64().unwrap_or(7);
                let n = command.get_u64();
                let after = before.wrapping_mul(31).wrapping_add(n);
                map.put(b"hash", Bytes::copy_from_slice(&after.to_be_bytes()));
                map.delete(&[&b"k"[..], &(before % 16).to_be_bytes()].concat());
                map.put(&[&b"k"[..], &(after % 16).to_be_bytes()].concat(), command);
                let mut count = 0_u64;
                map.scan(b"k", b"l", &mut |_, _| {
                    count += 1;
                    true
                })?;
                let mut done = map.get(b"done")?.unwrap_or_default();
                let done = done.try_get_u64().unwrap_or(0) + 1;
                map.put(b"done", Bytes::copy_from_slice(&done.to_be_bytes()));
                Ok(Bytes::copy_from_slice(&[after, count, done].map(u64::to_be_bytes).concat()))
            }
            // Writes as many keys as it is told.
            b'*' => {
                for i in 0..command.get_u64() {
                    map.put(&[&b"many"[..], &i.to_be_bytes()].concat(), Bytes::new());
                }
                Ok(Bytes::new())
            }
            // Writes the key that it is given.
            b'0' => {
                command.get_u64();
                map.put(&command, Bytes::new());
                Ok(Bytes::new())
            }
            b'!' => Err(MapError::Broken("the map has gone".to_owned())),
            _ => panic!("a command that this machine panics at"),
        }
    }
}

pub(crate) struct Drive {
    pub(crate) log: DriveLog,
    pub(crate) map: DriveMap,
}

impl Drive {
    pub(crate) fn open(dir: &Path) -> Drive {
        let log = DriveLog::open(&dir.join("log"), LogOptions::default()).unwrap();
        let map = DriveMap::open(&dir.join("map"), &MapOptions::default()).unwrap();
        Drive { log, map }
    }

    pub(crate) fn config(&self, machine: Arc<dyn Machine>) -> ShardConfig {
        let id = ShardId(0);
        ShardConfig {
            id,
            voter: 77,
            machine,
            slots: Arc::new(SlotTable::even(1).unwrap()),
            homes: vec![Home { log: self.log.shard(id), incarnation: 1 }],
            home_count: 1,
            maps: vec![MapSeat { map: self.map.clone(), incarnation: 1 }],
            options: ShardOptions::default(),
            workers: env::Workers::default(),
        }
    }

    pub(crate) async fn shard(&self, machine: Arc<dyn Machine>) -> Result<Shard, MetadataError> {
        Shard::open(self.config(machine)).await
    }

    pub(crate) async fn close(self) {
        self.log.close().await;
    }
}
