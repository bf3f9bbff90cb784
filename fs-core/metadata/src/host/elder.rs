//! The oldest transaction that waits for a key: younger ones are held back until it has come, so that nobody
//! starves where many want the same.

use super::stored;
use crate::MetadataError;
use crate::transaction::{Age, decode, encode};
use bytes::Bytes;
use map::{OrderedMap, OrderedMapMut};
use serde::{Deserialize, Serialize};

/// Turns for which younger ones are held back for one that does not come any more.
const TURNS: u8 = 32;
/// Most that are held back in one turn.
const HELD_BACK_MAX: usize = 64;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Elder {
    pub(super) age: Age,
    /// What it waits for.
    pub(super) key: Bytes,
    turns: u8,
    /// Who was held back in this turn. It ends when one of them comes again: so many that come at once take
    /// one turn together, and the elder has as much time as any of them needs to come back.
    held_back: Vec<Age>,
}

impl Elder {
    pub(super) fn load(map: &dyn OrderedMap) -> Result<Option<Elder>, MetadataError> {
        map.get(&stored::elder())?.map(|value| decode("the oldest that waits", &value)).transpose()
    }
}

fn set(elder: &mut Option<Elder>, map: &mut dyn OrderedMapMut, new: Option<Elder>) {
    match &new {
        Some(new) => map.put(&stored::elder(), encode(new)),
        None => map.delete(&stored::elder()),
    }
    *elder = new;
}

/// A transaction of this age has to wait for `key`.
pub(super) fn wait(elder: &mut Option<Elder>, map: &mut dyn OrderedMapMut, age: Age, key: Bytes) {
    if elder.as_ref().is_none_or(|elder| age <= elder.age) {
        set(elder, map, Some(Elder { age, key, turns: TURNS, held_back: Vec::new() }));
    }
}

/// Whether one of this age is held back for an older one that waits for something that it `wants`.
pub(super) fn holds_back(
    elder: &mut Option<Elder>,
    map: &mut dyn OrderedMapMut,
    age: Age,
    wants: impl Fn(&[u8]) -> bool,
) -> bool {
    let Some(known) = elder.as_ref().filter(|known| known.age < age && wants(&known.key)) else {
        return false;
    };
    let mut new = known.clone();
    if new.held_back.contains(&age) || new.held_back.len() >= HELD_BACK_MAX {
        new.turns -= 1;
        new.held_back.clear();
    }
    new.held_back.push(age);
    let new = (new.turns > 0).then_some(new);
    set(elder, map, new);
    true
}

/// One of this age has come through.
pub(super) fn come(elder: &mut Option<Elder>, map: &mut dyn OrderedMapMut, age: Age) {
    if elder.as_ref().is_some_and(|known| known.age == age) {
        set(elder, map, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use map::MemoryMap;

    fn age(born: u64) -> Age {
        Age { born, executor: 1, number: 1 }
    }

    #[test]
    fn younger_ones_are_held_back_for_a_while() {
        let (mut map, mut elder) = (MemoryMap::default(), None);
        let key = Bytes::from_static(b"k");
        let wants = |key: &[u8]| key == b"k";
        wait(&mut elder, &mut map, age(5), key.clone());
        wait(&mut elder, &mut map, age(7), key.clone());
        assert!(!holds_back(&mut elder, &mut map, age(3), wants), "an older one");
        assert!(!holds_back(&mut elder, &mut map, age(9), |_| false), "one that wants something else");
        assert!(holds_back(&mut elder, &mut map, age(9), wants));
        assert_eq!(Elder::load(&map).unwrap(), elder);
        come(&mut elder, &mut map, age(7));
        assert!(holds_back(&mut elder, &mut map, age(7), wants));
        come(&mut elder, &mut map, age(5));
        assert!(!holds_back(&mut elder, &mut map, age(9), wants));
        assert_eq!((Elder::load(&map).unwrap(), map.len()), (None, 0));

        wait(&mut elder, &mut map, age(5), key);
        let held = (0..1000).filter(|_| holds_back(&mut elder, &mut map, age(9), wants)).count();
        assert_eq!(held, usize::from(TURNS) + 1, "not for ever");
    }

    #[test]
    fn many_at_once_take_one_turn_and_are_bounded() {
        let (mut map, mut elder) = (MemoryMap::default(), None);
        let wants = |key: &[u8]| key == b"k";
        wait(&mut elder, &mut map, age(5), Bytes::from_static(b"k"));
        for _ in 0..TURNS {
            for younger in 10..60 {
                assert!(holds_back(&mut elder, &mut map, age(younger), wants));
            }
        }
        let size = map.get(&stored::elder()).unwrap().unwrap().len();
        assert!(size < HELD_BACK_MAX * 20, "{size} bytes");
        let held = (100..1_000_000).find(|younger| !holds_back(&mut elder, &mut map, age(*younger), wants));
        assert!(held.is_some(), "not for ever, however many there are");
    }
}
