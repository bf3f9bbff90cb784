//! A machine that counts, and a drive to run it on.

use bytes::{Buf, BufMut, Bytes};
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use map::{Machine, MapError, OrderedMap, OrderedMapMut};
use metadata::{Home, MetadataError, Shard, ShardConfig, ShardOptions};
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
            // Writes as many keys as it is told.
            b'*' => {
                for i in 0..command.get_u64() {
                    map.put(&[&b"many"[..], &i.to_be_bytes()].concat(), Bytes::new());
                }
                Ok(Bytes::new())
            }
            b'0' => {
                map.put(&[0], Bytes::new());
                Ok(Bytes::new())
            }
            b'!' => Err(MapError("the map has gone".to_owned())),
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
        let id = ShardId(5);
        ShardConfig {
            id,
            voter: 77,
            machine,
            homes: vec![Home { log: self.log.shard(id), incarnation: 1 }],
            home_count: 1,
            map: self.map.shard(id).unwrap(),
            options: ShardOptions::default(),
        }
    }

    pub(crate) async fn shard(&self, machine: Arc<dyn Machine>) -> Result<Shard, MetadataError> {
        Shard::open(self.config(machine)).await
    }

    pub(crate) async fn close(self) {
        self.log.close().await;
    }
}
