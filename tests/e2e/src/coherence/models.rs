//! What the objects are by their specification.

use super::linear::Model;

/// Names of a folder.
pub(super) const NAMES: usize = 5;
/// Numbers from here on stand for inodes whose number nobody was told.
pub(super) const UNTOLD: u64 = 1 << 63;

/// One value: a block, or a size.
pub(super) struct Register;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RegisterAct {
    Write(u64),
    Read(u64),
}

impl Model for Register {
    type State = u64;
    type Act = RegisterAct;

    fn start() -> u64 {
        0
    }

    fn only_looks(act: &RegisterAct) -> bool {
        matches!(act, RegisterAct::Read(_))
    }

    fn apply(state: &u64, act: &RegisterAct) -> Option<u64> {
        match *act {
            RegisterAct::Write(value) => Some(value),
            RegisterAct::Read(value) => (*state == value).then_some(value),
        }
    }
}

/// A number that is read and written, one higher, under a lock.
pub(super) struct Counter;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CounterAct {
    /// From this number to the next.
    Add(u64),
    /// Whoever did it has not told from which.
    AddUntold,
}

impl Model for Counter {
    type State = u64;
    type Act = CounterAct;

    fn start() -> u64 {
        0
    }

    fn only_looks(_: &CounterAct) -> bool {
        false
    }

    fn apply(state: &u64, act: &CounterAct) -> Option<u64> {
        match *act {
            CounterAct::Add(from) => (*state == from).then_some(from + 1),
            CounterAct::AddUntold => Some(state + 1),
        }
    }
}

/// The blocks of a file, as many as it has.
pub(super) struct Blocks;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BlocksAct {
    Write(u8, u64),
    Read(u8, Option<u64>),
    Truncate(u64),
    Append(u64),
    Length(u64),
}

impl Model for Blocks {
    type State = Vec<u64>;
    type Act = BlocksAct;

    fn start() -> Vec<u64> {
        Vec::new()
    }

    fn only_looks(act: &BlocksAct) -> bool {
        matches!(act, BlocksAct::Read(..) | BlocksAct::Length(_))
    }

    fn apply(state: &Vec<u64>, act: &BlocksAct) -> Option<Vec<u64>> {
        let mut next = state.clone();
        match *act {
            BlocksAct::Write(block, tag) => {
                next.resize(state.len().max(block as usize + 1), 0);
                next[block as usize] = tag;
            }
            BlocksAct::Read(block, tag) if state.get(block as usize).copied() != tag => return None,
            BlocksAct::Length(length) if state.len() as u64 != length => return None,
            BlocksAct::Read(..) | BlocksAct::Length(_) => {}
            BlocksAct::Truncate(length) => next.resize(length as usize, 0),
            BlocksAct::Append(tag) => next.push(tag),
        }
        Some(next)
    }
}

/// Which inode each name leads to; 0 is none.
pub(super) struct Names;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NamesAct {
    /// The name was free, and now leads there.
    Set(u8, u64),
    /// It has led somewhere, and leads nowhere now.
    Unset(u8),
    Rename(u8, u8),
    /// It leads somewhere.
    Taken(u8),
    /// It leads there, or nowhere if that is 0.
    Is(u8, u64),
    /// It leads to an inode that nobody has told to have made.
    IsUntold(u8, u64),
}

impl Model for Names {
    type State = [u64; NAMES];
    type Act = NamesAct;

    fn start() -> [u64; NAMES] {
        [0; NAMES]
    }

    fn only_looks(act: &NamesAct) -> bool {
        matches!(act, NamesAct::Taken(_) | NamesAct::Is(..) | NamesAct::IsUntold(..))
    }

    fn apply(state: &[u64; NAMES], act: &NamesAct) -> Option<[u64; NAMES]> {
        let mut next = *state;
        let at = |name: u8| state[name as usize];
        match *act {
            NamesAct::Set(name, number) if at(name) == 0 => next[name as usize] = number,
            NamesAct::Unset(name) if at(name) != 0 => next[name as usize] = 0,
            // Two names of one inode stay (rename(2)).
            NamesAct::Rename(from, to) if at(from) != 0 => {
                if at(from) != at(to) {
                    next[to as usize] = at(from);
                    next[from as usize] = 0;
                }
            }
            NamesAct::Taken(name) if at(name) != 0 => {}
            NamesAct::Is(name, number) | NamesAct::IsUntold(name, number) if at(name) == number => {}
            // Now it is known which number that inode has.
            NamesAct::IsUntold(name, number) if at(name) >= UNTOLD => {
                let untold = at(name);
                next.iter_mut().filter(|other| **other == untold).for_each(|other| *other = number);
            }
            _ => return None,
        }
        Some(next)
    }
}
