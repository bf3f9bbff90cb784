//! Which copies of a shard's log and map take part, as of now.

use tokio::sync::watch;
use types::ShardId;

/// A home of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HomeStanding {
    /// Of [`crate::Home`].
    pub incarnation: u128,
    /// It has everything that was acknowledged, and gets what is to come.
    pub takes_part: bool,
}

/// What a copy of the map is to the shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapState {
    /// Commands are applied to it, reads come from it.
    Primary,
    /// It follows the primary, and the log is purged only behind it.
    Whole,
    /// Whole but for its last step; the log waits for it already.
    Joining,
    /// It is filled from the primary, and would be worth nothing if that were lost now.
    Filling,
    /// It failed, or lagged for good: until the shard is opened again it gets nothing more.
    Out,
}

/// A copy of the map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapStanding {
    /// Of [`crate::MapSeat`].
    pub incarnation: u128,
    /// What it is.
    pub state: MapState,
}

/// The copies that the shard was opened with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// Of the log.
    pub homes: Vec<HomeStanding>,
    /// Of the map.
    pub maps: Vec<MapStanding>,
}

impl Standing {
    /// Homes that take part.
    #[must_use]
    pub fn homes_in(&self) -> usize {
        self.homes.iter().filter(|home| home.takes_part).count()
    }

    /// Copies of the map from which, with the log, the shard can be opened.
    #[must_use]
    pub fn maps_whole(&self) -> usize {
        self.maps.iter().filter(|map| matches!(map.state, MapState::Primary | MapState::Whole)).count()
    }
}

/// Kept by those who find out.
pub(crate) struct Roll {
    shard: ShardId,
    now: watch::Sender<Standing>,
}

impl Roll {
    pub(crate) fn new(shard: ShardId) -> Roll {
        Roll { shard, now: watch::Sender::new(Standing::default()) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Standing> {
        self.now.subscribe()
    }

    pub(crate) fn set_homes(&self, homes: Vec<HomeStanding>) {
        self.now.send_modify(|now| now.homes = homes);
    }

    pub(crate) fn set_maps(&self, maps: Vec<MapStanding>) {
        self.now.send_modify(|now| now.maps = maps);
    }

    /// A home is out, until the shard is opened again.
    pub(crate) fn home_out(&self, incarnation: u128, why: &dyn std::fmt::Display) {
        let lost = self.now.send_if_modified(|now| {
            let home = now.homes.iter_mut().find(|home| home.incarnation == incarnation);
            home.is_some_and(|home| std::mem::take(&mut home.takes_part))
        });
        if lost {
            tracing::error!(shard = self.shard.0, home = %format_args!("{incarnation:032x}"), %why, "a home of the log is out");
        }
    }

    /// See [`Standing::maps_whole`].
    pub(crate) fn maps_whole(&self) -> usize {
        self.now.borrow().maps_whole()
    }

    /// What a copy of the map is.
    pub(crate) fn map(&self, incarnation: u128) -> Option<MapState> {
        let now = self.now.borrow();
        now.maps.iter().find(|map| map.incarnation == incarnation).map(|map| map.state)
    }

    /// A copy of the map has become something else. One that is out stays out.
    pub(crate) fn set_map(&self, incarnation: u128, state: MapState) {
        self.now.send_if_modified(|now| {
            let map = now.maps.iter_mut().find(|map| map.incarnation == incarnation);
            map.filter(|map| map.state != MapState::Out).is_some_and(|map| {
                let before = std::mem::replace(&mut map.state, state);
                before != state
            })
        });
    }

    /// A copy of the map is out, if it is not out already.
    pub(crate) fn map_out(&self, incarnation: u128, why: &dyn std::fmt::Display) {
        if self.map(incarnation).is_none_or(|state| state == MapState::Out) {
            return;
        }
        self.set_map(incarnation, MapState::Out);
        tracing::error!(shard = self.shard.0, map = %format_args!("{incarnation:032x}"), %why, "a copy of the map is out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_stays_out_and_what_is_filled_does_not_count() {
        let roll = Roll::new(ShardId(0));
        let mut watch = roll.watch();
        let home = |incarnation| HomeStanding { incarnation, takes_part: true };
        roll.set_homes(vec![home(1), home(2), home(3)]);
        let map = |incarnation, state| MapStanding { incarnation, state };
        roll.set_maps(vec![map(1, MapState::Primary), map(2, MapState::Filling), map(3, MapState::Whole)]);
        watch.mark_unchanged();
        roll.home_out(2, &"gone");
        roll.map_out(3, &"gone");
        roll.set_map(3, MapState::Whole);
        assert!(watch.has_changed().unwrap());
        let now = watch.borrow_and_update().clone();
        assert_eq!((now.homes_in(), now.maps_whole()), (2, 1));
        roll.home_out(2, &"again");
        roll.map_out(3, &"again");
        assert!(!watch.has_changed().unwrap());
        roll.set_map(2, MapState::Joining);
        assert_eq!(watch.borrow_and_update().maps_whole(), 1);
        roll.set_map(2, MapState::Whole);
        assert_eq!(watch.borrow().maps_whole(), 2);
    }
}
