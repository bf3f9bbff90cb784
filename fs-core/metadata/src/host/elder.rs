//! The oldest transaction that waits for a key: younger ones are held back until it has come, so that nobody
//! starves where many want the same.

use super::stored;
use crate::MetadataError;
use crate::transaction::{Age, decode, encode};
use bytes::Bytes;
use map::{OrderedMap, OrderedMapMut};
use serde::{Deserialize, Serialize};

/// Times that younger ones are held back for one that does not come any more.
const TURNS: u8 = 32;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Elder {
    pub(super) age: Age,
    /// What it waits for.
    pub(super) key: Bytes,
    turns: u8,
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
        set(elder, map, Some(Elder { age, key, turns: TURNS }));
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
    let turns = known.turns - 1;
    let new = (turns > 0).then(|| Elder { turns, ..known.clone() });
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
        assert_eq!(held, usize::from(TURNS), "not for ever");
    }
}
