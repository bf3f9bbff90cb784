//! Which names the kernel has been told to trust, and which file each leads to.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Instant;
use types::FileId;

/// Files at once, at most.
pub(crate) const FILES_MAX: usize = 1 << 16;
/// Names of a file, at most.
pub(crate) const NAMES_MAX: usize = 8;

/// A name in a folder.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Entry {
    pub(crate) dir: FileId,
    pub(crate) name: OsString,
}

/// Since when and until when the kernel may trust a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Term {
    pub(crate) said: Instant,
    pub(crate) until: Instant,
}

#[derive(Default)]
pub(crate) struct Entries {
    of: HashMap<FileId, Vec<(Arc<Entry>, Term)>>,
    /// Where each was last said to lead.
    leads: HashMap<Arc<Entry>, FileId>,
}

impl Entries {
    /// The kernel is about to trust that `entry` leads to `file`; whether there is room to remember it.
    pub(crate) fn say(&mut self, entry: Entry, file: FileId, term: Term) -> bool {
        if self.of.len() >= FILES_MAX && !self.of.contains_key(&file) {
            self.forget_ended(term.said);
        }
        let room = match self.of.get_mut(&file) {
            None => self.of.len() < FILES_MAX,
            Some(names) if names.len() < NAMES_MAX => true,
            Some(names) => {
                names.retain(|(name, held)| **name == entry || held.until > term.said);
                names.len() < NAMES_MAX || names.iter().any(|(name, _)| **name == entry)
            }
        };
        if room {
            self.put(Arc::new(entry), file, term);
        }
        room
    }

    /// A name that was said to lead to `file` no later than `until`, if there is one.
    pub(crate) fn any(&self, file: FileId, until: Instant) -> Option<(Arc<Entry>, Term)> {
        self.of.get(&file)?.iter().find(|(_, term)| term.said <= until).cloned()
    }

    /// The kernel trusts no more what it was told so, if that was not said again since.
    pub(crate) fn forget(&mut self, file: FileId, entry: &Arc<Entry>, term: Term) {
        let Some(names) = self.of.get_mut(&file) else { return };
        names.retain(|(name, held)| name != entry || *held != term);
        if !names.iter().any(|(name, _)| name == entry) && self.leads.get(entry) == Some(&file) {
            self.leads.remove(entry);
        }
        if names.is_empty() {
            self.of.remove(&file);
        }
    }

    /// A name is about to be renamed through the kernel: until that is done, either may be what leads to the file.
    pub(crate) fn renaming(&mut self, from: &Entry, to: &Entry, exchange: bool) {
        let (moved, other) = (self.find(from), self.find(to));
        for (entry, lead) in [(to, moved), (from, other.filter(|_| exchange))] {
            if let Some((file, term)) = lead {
                self.of.entry(file).or_default().push((Arc::new(entry.clone()), term));
            }
        }
    }

    /// It was: the kernel has taken along what it trusts of it.
    pub(crate) fn renamed(&mut self, from: Entry, to: Entry, exchange: bool) {
        let (moved, other) = (self.find(&from), self.find(&to));
        self.remove(&from);
        self.remove(&to);
        if let Some((file, term)) = moved {
            self.put(Arc::new(to), file, term);
        }
        if let Some((file, term)) = other.filter(|_| exchange) {
            self.put(Arc::new(from), file, term);
        }
    }

    fn find(&self, entry: &Entry) -> Option<(FileId, Term)> {
        let file = *self.leads.get(entry)?;
        let (_, term) = self.of.get(&file)?.iter().find(|(name, _)| **name == *entry)?;
        Some((file, *term))
    }

    fn put(&mut self, entry: Arc<Entry>, file: FileId, term: Term) {
        self.remove(&entry);
        let names = self.of.entry(file).or_default();
        names.retain(|(name, _)| *name != entry);
        names.push((entry.clone(), term));
        self.leads.insert(entry, file);
    }

    fn remove(&mut self, entry: &Entry) {
        let Some(file) = self.leads.remove(entry) else { return };
        if let Some(names) = self.of.get_mut(&file) {
            names.retain(|(name, _)| **name != *entry);
            if names.is_empty() {
                self.of.remove(&file);
            }
        }
    }

    fn forget_ended(&mut self, now: Instant) {
        self.of.retain(|_, names| {
            names.retain(|(_, term)| term.until > now);
            !names.is_empty()
        });
        self.leads.retain(|_, file| self.of.contains_key(file));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use std::time::Duration;
    use types::{FsId, InodeId};

    fn file(number: u64) -> FileId {
        FileId { fs: FsId(1), ino: InodeId(number) }
    }

    fn entry(name: &str) -> Entry {
        Entry { dir: file(1), name: name.into() }
    }

    fn names(entries: &mut Entries, number: u64) -> Vec<String> {
        let mut taken = Vec::new();
        while let Some((entry, term)) = entries.any(file(number), Instant::now()) {
            entries.forget(file(number), &entry, term);
            taken.push(entry.name.to_str().unwrap().to_owned());
        }
        taken
    }

    fn term() -> Term {
        let said = Instant::now();
        Term { said, until: said + Duration::from_secs(100) }
    }

    #[test]
    fn a_name_leads_to_one_file() {
        let mut entries = Entries::default();
        assert!(entries.say(entry("a"), file(2), term()) && entries.say(entry("b"), file(2), term()));
        assert!(entries.say(entry("a"), file(2), term()) && entries.say(entry("a"), file(3), term()));
        assert_eq!(names(&mut entries, 2), ["b"]);
        assert_eq!(names(&mut entries, 2), [""; 0]);
        assert_eq!(names(&mut entries, 3), ["a"]);
        assert!(entries.leads.is_empty() && entries.of.is_empty());
    }

    #[test]
    fn renames_take_along_what_is_trusted() {
        let mut entries = Entries::default();
        let say = |entries: &mut Entries| {
            for (name, number) in [("a", 2), ("b", 3)] {
                assert!(entries.say(entry(name), file(number), term()));
            }
        };
        say(&mut entries);
        entries.renamed(entry("a"), entry("c"), false);
        assert_eq!((names(&mut entries, 2), names(&mut entries, 3)), (vec!["c".into()], vec!["b".into()]));
        say(&mut entries);
        entries.renamed(entry("a"), entry("b"), false);
        assert_eq!((names(&mut entries, 2), names(&mut entries, 3)), (vec!["b".into()], vec![]));
        say(&mut entries);
        entries.renamed(entry("a"), entry("b"), true);
        assert_eq!((names(&mut entries, 2), names(&mut entries, 3)), (vec!["b".into()], vec!["a".into()]));
        say(&mut entries);
        entries.renamed(entry("unknown"), entry("b"), false);
        assert_eq!((names(&mut entries, 2), names(&mut entries, 3)), (vec!["a".into()], vec![]));
    }

    #[test]
    fn until_a_rename_is_done_both_names_lead_to_the_file() {
        let mut entries = Entries::default();
        let (a, b) = (entry("a"), entry("b"));
        assert!(entries.say(a.clone(), file(2), term()) && entries.say(b.clone(), file(3), term()));
        entries.renaming(&a, &b, false);
        assert_eq!(names(&mut entries, 2), ["a", "b"]);
        entries.renamed(a.clone(), b.clone(), false);
        assert!(names(&mut entries, 2).is_empty() && names(&mut entries, 3).is_empty());
        assert!(entries.say(a.clone(), file(2), term()) && entries.say(b.clone(), file(3), term()));
        entries.renaming(&a, &b, true);
        entries.renamed(a.clone(), b.clone(), true);
        assert_eq!((names(&mut entries, 2), names(&mut entries, 3)), (vec!["b".into()], vec!["a".into()]));
        assert!(entries.leads.is_empty() && entries.of.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut entries = Entries::default();
        let (first, later) = (term(), term());
        let short = Term { until: later.said, ..first };
        for number in 0..FILES_MAX as u64 {
            let term = if number == 5 { short } else { first };
            assert!(entries.say(entry(&number.to_string()), file(number), term));
        }
        assert!(!entries.say(entry("one more"), file(1 << 40), first), "all are trusted still");
        for number in 1..NAMES_MAX {
            let term = if number == 1 { short } else { first };
            assert!(entries.say(entry(&format!("other {number}")), file(3), term));
        }
        assert!(!entries.say(entry("one more"), file(3), first) && entries.say(entry("3"), file(3), first));
        assert!(entries.say(entry("one more"), file(3), later), "one has ended");
        assert!(entries.say(entry("yet one"), file(1 << 40), later), "one has ended");
    }
}
