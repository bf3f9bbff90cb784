//! The steps, one after the other.

use super::differences::{agree, kind_of};
use super::draw::Draw;
use super::hands::Hand;
use super::step::{self, Answer, Held, Kind, Place, Step};
use super::{Doors, DoorsError, DoorsReport};
use crate::daemon::Daemon;
use crate::power::Door;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};

/// The tree below the root of the file system.
pub(super) const TREE: &str = "tree";
/// Steps between two looks at all of the tree.
const STEPS_PER_LOOK: u64 = 500;
/// Characters of an answer that a failure shows.
const SHOWN_CHARS: usize = 600;

pub(super) struct Run<'a> {
    pub(super) doors: &'a Doors,
    pub(super) daemon: &'a Daemon,
    pub(super) hands: BTreeMap<String, Hand>,
    pub(super) draw: Draw,
    pub(super) step: u64,
    pub(super) last: VecDeque<String>,
    pub(super) done: Vec<(Door, Step)>,
    /// What sort of difference was the last.
    pub(super) difference: String,
    pub(super) report: DoorsReport,
}

fn name(door: Door) -> &'static str {
    match door {
        Door::Fuse => "fuse",
        Door::Nfs => "nfs",
    }
}

fn twin(door: Door) -> &'static str {
    match door {
        Door::Fuse => "fuse-twin",
        Door::Nfs => "nfs-twin",
    }
}

/// A step as a failure shows it: `NUMBER DOOR STEP = ANSWER`.
fn parse(line: &str) -> Option<(Door, Step)> {
    let mut words = line.splitn(3, ' ').skip(1);
    let door =
        [Door::Fuse, Door::Nfs].into_iter().find(|door| Some(name(*door)) == line.split(' ').nth(1))?;
    let text = words.nth(1)?;
    let mut steps = serde_json::Deserializer::from_str(text).into_iter();
    steps.next()?.ok().map(|step| (door, step))
}

impl Run<'_> {
    pub(super) fn all(&mut self) -> Result<(), DoorsError> {
        self.begin(TREE)?;
        for line in &self.doors.replayed {
            let (door, step) = parse(line).ok_or_else(|| io::Error::other(format!("no step: {line}")))?;
            self.step += 1;
            self.one(door, &step)?;
        }
        while self.step < self.doors.steps {
            let (door, step) = self.draw.next()?;
            self.step += 1;
            self.one(door, &step)?;
            if self.step.is_multiple_of(STEPS_PER_LOOK) || self.step == self.doors.steps {
                let tree = Step::Tree { path: ".".to_owned() };
                self.one(Door::Fuse, &tree)?;
                self.one(Door::Nfs, &tree)?;
            }
        }
        Ok(())
    }

    /// All hands go to an empty tree.
    pub(super) fn begin(&mut self, tree: &str) -> Result<(), DoorsError> {
        for (hand, make) in [("fuse", true), ("fuse-twin", true), ("nfs", false), ("nfs-twin", false)] {
            let answer = self.ask(hand, &Step::Begin { tree: tree.to_owned(), make })?;
            if answer != Answer::Done {
                return Err(self.different(format!("{hand} cannot begin: {}", shown(&answer))));
            }
        }
        Ok(())
    }

    /// One step at a door and at its twin.
    pub(super) fn one(&mut self, door: Door, step: &Step) -> Result<(), DoorsError> {
        let text = serde_json::to_string(step).map_err(io::Error::from)?;
        self.remember(format!("{} {} {text}", self.step, name(door)));
        if self.doors.shrinks {
            self.done.push((door, step.clone()));
        }
        self.tell(name(door), step)?;
        let mut reference = self.ask(twin(door), &for_twin(step))?;
        if door == Door::Nfs && self.doors.minor < 2 {
            without_attributes(&mut reference);
        }
        let mut answer = self.hear(name(door))?;
        if let (Step::Rename { .. }, Answer::Failed(nix::libc::EINVAL, _), Answer::Done) =
            (step, &answer, &reference)
        {
            self.find_held(door, step)?;
            answer = self.ask(name(door), step)?;
        }
        self.count(step, &reference);
        if let Some(last) = self.last.back_mut() {
            last.push_str(&format!(" = {}", shown(&answer)));
        }
        if !self.agree(door, step, &answer, &reference)? {
            self.difference = kind_of(&answer, &reference);
            let more = self.look_closer(door, step, &answer, &reference)?;
            return Err(self.different(format!(
                "{} {step:?}\n  says {}\n  not  {}\n{more}",
                name(door),
                shown(&answer),
                shown(&reference)
            )));
        }
        match (step, &reference) {
            (Step::Open { held, flags, .. }, Answer::Done) => {
                let stat = self.ask(twin(door), &Step::StatHeld { held: *held })?;
                let number = self.ask(twin(door), &Step::Number { held: *held })?;
                if let (Answer::Stat(seen), Answer::Count(number)) = (stat, number) {
                    self.draw.opened(door, *held, flags, seen.kind, number);
                }
            }
            (Step::Close { held }, _) => self.draw.closed(door, *held),
            _ => {}
        }
        Ok(())
    }

    fn agree(
        &mut self,
        door: Door,
        step: &Step,
        answer: &Answer,
        reference: &Answer,
    ) -> Result<bool, DoorsError> {
        match step {
            Step::SeekData { held, offset } | Step::SeekHole { held, offset } => {
                return self.seeks_agree(door, step, (*held, *offset), answer);
            }
            _ if agree(door, step, answer, reference) => return Ok(true),
            _ => {}
        }
        // Servers know opens of files only: a folder or a FIFO that was removed at the other door is gone.
        let Answer::Failed(nix::libc::ESTALE, _) = answer else { return Ok(false) };
        for held in step.held() {
            let stat = self.ask(twin(door), &Step::StatHeld { held })?;
            let is_no_file = matches!(stat, Answer::Stat(seen) if seen.kind != Kind::File);
            if is_no_file && self.ask(twin(door), &Step::Links { held })? == Answer::Count(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A client that holds a folder does not learn that it was moved at the other door until it looks there, and
    /// refuses by itself to move a folder into what it takes for a part of it.
    fn find_held(&mut self, door: Door, step: &Step) -> Result<(), DoorsError> {
        for held in step.held() {
            if let Answer::Text(path) = self.ask(twin(door), &Step::Where { held })? {
                self.ask(name(door), &Step::Stat { at: Place { from: None, path } })?;
            }
        }
        Ok(())
    }

    /// Nothing that is data may be passed over; what is called data may be zeros.
    fn seeks_agree(
        &mut self,
        door: Door,
        step: &Step,
        (held, offset): (Held, u64),
        answer: &Answer,
    ) -> Result<bool, DoorsError> {
        let Answer::Stat(seen) = self.ask(twin(door), &Step::StatHeld { held })? else { return Ok(false) };
        let size = seen.size.unwrap_or(0);
        let mut first_data = |offset| match self.ask(twin(door), &Step::FirstData { held, offset })? {
            Answer::Count(at) => Ok::<u64, DoorsError>(at),
            _ => Ok(u64::MAX),
        };
        let next = first_data(offset)?;
        Ok(match (step, answer) {
            (_, Answer::Failed(nix::libc::ENXIO, _)) if offset >= size => true,
            (Step::SeekData { .. }, Answer::Failed(nix::libc::ENXIO, _)) => next == u64::MAX,
            (Step::SeekData { .. }, Answer::Count(at)) => offset <= *at && *at <= next && *at < size,
            // A hole has no data; every file ends in one.
            (Step::SeekHole { .. }, Answer::Count(at)) => {
                offset <= *at && (*at == size || (*at < size && first_data(*at)? != *at))
            }
            _ => false,
        })
    }

    /// For bytes that differ: which.
    fn look_closer(
        &mut self,
        door: Door,
        step: &Step,
        answer: &Answer,
        reference: &Answer,
    ) -> Result<String, DoorsError> {
        match (step, answer, reference) {
            (Step::Read { held, offset, .. }, Answer::Bytes(_, ours), Answer::Bytes(_, theirs)) => {
                let block = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs).unwrap_or(0);
                let at = offset + (block * step::BLOCK_BYTES) as u64;
                let mut text = String::new();
                for part in (0..step::BLOCK_BYTES as u64).step_by(32) {
                    let show = Step::Show { held: *held, offset: at + part, length: 32 };
                    let (ours, theirs) = (self.ask(name(door), &show)?, self.ask(twin(door), &show)?);
                    if ours != theirs {
                        text = format!("  at {}:\n  {}\n  {}\n", at + part, shown(&ours), shown(&theirs));
                        break;
                    }
                }
                Ok(text)
            }
            (Step::Tree { .. }, Answer::Tree(ours), Answer::Tree(theirs)) => {
                let only = |a: &[step::Entry], b: &[step::Entry]| -> Vec<String> {
                    a.iter().filter(|entry| !b.contains(entry)).map(|entry| format!("  {entry:?}")).collect()
                };
                Ok(format!(
                    "it has\n{}\nnot\n{}\n",
                    only(ours, theirs).join("\n"),
                    only(theirs, ours).join("\n")
                ))
            }
            _ => Ok(String::new()),
        }
    }

    fn remember(&mut self, what: String) {
        if self.last.len() >= self.doors.shown {
            self.last.pop_front();
        }
        self.last.push_back(what);
    }

    fn count(&mut self, step: &Step, reference: &Answer) {
        let kind = format!("{step:?}");
        let kind = kind.split([' ', '{']).next().unwrap_or_default().to_owned();
        let counts = self.report.steps.entry(kind).or_default();
        match reference {
            Answer::Failed(..) => counts.1 += 1,
            _ => counts.0 += 1,
        }
    }

    fn ask(&mut self, hand: &str, step: &Step) -> Result<Answer, DoorsError> {
        self.tell(hand, step)?;
        self.hear(hand)
    }

    fn tell(&mut self, hand: &str, step: &Step) -> Result<(), DoorsError> {
        let told = self.hands.get_mut(hand).map(|hand| hand.tell(step));
        told.unwrap_or(Err(ErrorKind::NotFound.into())).map_err(|err| self.gone(hand, &err))
    }

    fn hear(&mut self, hand: &str) -> Result<Answer, DoorsError> {
        let heard = self.hands.get_mut(hand).map(Hand::hear);
        heard.unwrap_or(Err(ErrorKind::NotFound.into())).map_err(|err| self.gone(hand, &err))
    }

    fn gone(&self, hand: &str, err: &io::Error) -> DoorsError {
        DoorsError::Hand {
            step: self.step,
            seed: self.doors.seed,
            hand: hand.to_owned(),
            what: err.to_string(),
            last: self.last(),
            daemon: self.daemon.log(),
        }
    }

    fn different(&self, what: String) -> DoorsError {
        let (step, seed) = (self.step, self.doors.seed);
        DoorsError::Different { step, seed, what, last: self.last(), daemon: self.daemon.log() }
    }

    fn last(&self) -> String {
        self.last.iter().cloned().collect::<Vec<String>>().join("\n")
    }
}

/// Attributes that users set came with minor version 2 (RFC 8276).
fn without_attributes(answer: &mut Answer) {
    if let Answer::Tree(entries) = answer {
        for entry in entries {
            entry.attributes.clear();
        }
    }
}

/// As the twin does it: a local file system may want aligned offsets where caches are gone past.
fn for_twin(step: &Step) -> Step {
    let mut step = step.clone();
    if let Step::Open { flags, .. } = &mut step {
        flags.retain(|flag| *flag != step::Flag::Direct);
    }
    step
}

fn shown(answer: &Answer) -> String {
    let text = match answer {
        Answer::Failed(_, text) => text.clone(),
        Answer::Bytes(length, _) => format!("{length} bytes"),
        Answer::Tree(entries) => format!("{} entries", entries.len()),
        other => format!("{other:?}"),
    };
    if text.chars().count() <= SHOWN_CHARS { text } else { text.chars().take(SHOWN_CHARS).collect() }
}
