//! What a file may contain after a crash.

/// Contents that a file has had since everything in it was durable, the newest last: after a crash each byte is one
/// of theirs.
#[derive(Clone, Debug)]
pub(crate) struct Possible(Vec<Vec<u8>>);

/// A change of a file's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Write {
        at: usize,
        fill: u8,
        length: usize,
    },
    /// Bytes of another file.
    Put {
        at: usize,
        data: Vec<u8>,
    },
    Size(usize),
    /// Zeroes within the size.
    Clear {
        at: usize,
        length: usize,
    },
    /// Zeroes, also beyond the size.
    Zero {
        at: usize,
        length: usize,
    },
    Reserve {
        to: usize,
    },
}

impl Change {
    pub(crate) fn apply(&self, content: &mut Vec<u8>) {
        match *self {
            Change::Write { at, fill, length } => {
                content.resize(content.len().max(at + length), 0);
                content[at..at + length].fill(fill);
            }
            Change::Put { at, ref data } => {
                content.resize(content.len().max(at + data.len()), 0);
                content[at..at + data.len()].copy_from_slice(data);
            }
            Change::Size(size) => content.resize(size, 0),
            Change::Clear { at, length } => {
                let end = content.len().min(at + length);
                if at < end {
                    content[at..end].fill(0);
                }
            }
            Change::Zero { at, length } => {
                content.resize(content.len().max(at + length), 0);
                content[at..at + length].fill(0);
            }
            Change::Reserve { to } => content.resize(content.len().max(to), 0),
        }
    }
}

impl Possible {
    /// This and nothing else.
    pub(crate) fn only(content: Vec<u8>) -> Possible {
        Possible(vec![content])
    }

    /// The newest, which those who read see.
    pub(crate) fn now(&self) -> &[u8] {
        self.0.last().map_or(&[], Vec::as_slice)
    }

    /// A change that may be lost.
    pub(crate) fn may(&mut self, change: &Change) {
        let mut next = self.now().to_vec();
        change.apply(&mut next);
        self.0.push(next);
    }

    /// A change that was acknowledged as durable, whatever of those before it is.
    pub(crate) fn must(&mut self, change: &Change) {
        self.0.iter_mut().for_each(|content| change.apply(content));
        self.0.dedup();
    }

    /// A change that the crash may have cut off, to whatever there was.
    pub(crate) fn cut_off(&mut self, change: &Change) {
        let mut changed = self.0.clone();
        changed.iter_mut().for_each(|content| change.apply(content));
        self.0.extend(changed);
    }

    /// All of it is durable now.
    pub(crate) fn settle(&mut self) {
        if let Some(last) = self.0.pop() {
            self.0 = vec![last];
        }
    }

    /// Whether nothing can be lost.
    pub(crate) fn is_settled(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether a crash can have left `found`; if not, where it is wrong.
    pub(crate) fn check(&self, found: &[u8]) -> Result<(), String> {
        if self.0.iter().any(|content| content == found) {
            return Ok(());
        }
        let sizes: Vec<usize> = self.0.iter().map(Vec::len).collect();
        if !sizes.contains(&found.len()) {
            return Err(format!("{} bytes, which is none of {sizes:?}", found.len()));
        }
        for (at, byte) in found.iter().enumerate() {
            let fits = |content: &Vec<u8>| content.get(at).copied().unwrap_or(0) == *byte;
            if !self.0.iter().any(fits) {
                let had: Vec<u8> = self.0.iter().map(|c| c.get(at).copied().unwrap_or(0)).collect();
                return Err(format!("byte {at} is {byte}, which is none of {had:?}"));
            }
        }
        Ok(())
    }
}

#[test]
fn bytes_of_no_time_are_told() {
    let mut file = Possible::only(vec![1; 4]);
    file.may(&Change::Write { at: 2, fill: 2, length: 4 });
    assert!(file.check(&[1, 1, 1, 1]).is_ok() && file.check(&[1, 1, 2, 2, 2, 2]).is_ok());
    assert!(file.check(&[1, 1, 1, 2, 2, 0]).is_ok(), "a part of a write");
    assert!(file.check(&[1, 1, 3, 2]).is_err() && file.check(&[1, 1, 1]).is_err());
    file.must(&Change::Size(3));
    assert!(file.check(&[1, 1, 1]).is_ok() && file.check(&[1, 1, 2]).is_ok());
    assert!(file.check(&[1, 1, 1, 1]).is_err());
    file.settle();
    assert!(file.is_settled() && file.check(&[1, 1, 1]).is_err());
    file.cut_off(&Change::Clear { at: 0, length: 1 });
    assert!(file.check(&[0, 1, 2]).is_ok() && file.check(&[1, 1, 2]).is_ok());
}
