//! What a shard is made of.

use crate::MetadataError;
use crate::host::Hosting;
use cluster::SlotTable;
use drive::log::ShardLog;
use drive::map::DriveMap;
use env::Workers;
use map::Machine;
use std::sync::Arc;
use types::ShardId;

/// A drive that keeps the voter's log.
#[derive(Clone)]
pub struct Home {
    /// The shard's log on the drive.
    pub log: ShardLog,
    /// Which life of the drive's home this is: a drive that was wiped and comes back must come
    /// with another one, else its empty log would count.
    pub incarnation: u128,
}

/// A drive that keeps a copy of the map.
#[derive(Clone)]
pub struct MapSeat {
    /// The drive's maps.
    pub map: DriveMap,
    /// Which life of the seat this is: a copy that was made for another one is not taken.
    pub incarnation: u128,
}

/// Budgets of a shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardOptions {
    /// Commands after which the map is made durable and the log purged: what is applied again
    /// after a power cut is at most about this.
    pub persist_commands: u64,
    /// Bytes of commands after which the same is done.
    pub persist_bytes: u64,
    /// Bytes of commands that wait or are in flight; more wait outside.
    pub queue_bytes: u32,
    /// Bytes that go to a copy of the map at once while it is filled; the changes of the meantime wait as long.
    pub fill_bytes: usize,
}

impl Default for ShardOptions {
    fn default() -> ShardOptions {
        ShardOptions {
            persist_commands: 16_384,
            persist_bytes: 16 << 20,
            queue_bytes: 8 << 20,
            fill_bytes: 256 << 10,
        }
    }
}

/// What a shard is opened with.
pub struct ShardConfig {
    /// Which shard.
    pub id: ShardId,
    /// The voter: this shard in this process. Never reused for another, not even after the loss
    /// of its homes; never 0.
    pub voter: u64,
    /// What the commands mean.
    pub machine: Arc<dyn Machine>,
    /// Which shard holds which slot; never another table for the same log.
    pub slots: Arc<SlotTable>,
    /// The homes of the log that can be reached, each on another drive.
    pub homes: Vec<Home>,
    /// How many homes the shard has, 2P + 1, the missing ones included.
    pub home_count: usize,
    /// The copies of the map that can be reached, each on another drive, P + 1 when nothing is away.
    /// The one that is most advanced is read from.
    pub maps: Vec<MapSeat>,
    /// Budgets.
    pub options: ShardOptions,
    /// Who runs it.
    pub workers: Workers,
}

impl ShardConfig {
    pub(crate) fn hosting(&self) -> Hosting {
        Hosting { shard: self.id, slots: self.slots.clone(), machine: self.machine.clone() }
    }

    pub(crate) fn check(&self) -> Result<(), MetadataError> {
        if self.voter == 0 {
            return Err(MetadataError::Config("voter 0".to_owned()));
        }
        if !self.slots.shards().contains(&self.id) {
            return Err(MetadataError::Config(format!("shard {} holds no slots", self.id.0)));
        }
        if self.home_count.is_multiple_of(2) || self.homes.len() > self.home_count {
            let (here, count) = (self.homes.len(), self.home_count);
            return Err(MetadataError::Config(format!("{here} of {count} homes, which is not 2P + 1")));
        }
        if self.maps.is_empty() {
            return Err(MetadataError::Config("no drive with a copy of the map".to_owned()));
        }
        let doubled =
            |n: usize| self.maps[..n].iter().any(|seat| seat.incarnation == self.maps[n].incarnation);
        if (0..self.maps.len()).any(doubled) {
            return Err(MetadataError::Config("two copies of the map for one seat".to_owned()));
        }
        if self.homes.iter().any(|home| home.log.shard() != self.id) {
            return Err(MetadataError::Config("a home of another shard".to_owned()));
        }
        if (self.options.queue_bytes as usize) < types::limits::COMMAND_BYTES_MAX {
            return Err(MetadataError::Config("a queue that is smaller than a command".to_owned()));
        }
        Ok(())
    }
}
