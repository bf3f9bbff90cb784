//! What the kernel has been told to trust, and how it is told to do so no more.
//!
//! Attributes: the kernel is told without waiting for anything of its own, so that two mounts that change the same do
//! not wait for each other. An answer that is on its way when the kernel hears of a change does not count where the
//! kernel has the inode already: its own counter of versions sees to that, also where it should not. So it is told only a little
//! later than it was answered last.
//!
//! Names: the kernel lets go of a name under the lock of its folder, which whoever changes something in that folder
//! through this mount holds until it is answered; so it is waited for no longer than the trust lasts. A look-up of a name that the
//! kernel has not is answered under that lock, too. One that the kernel does again is not, and counts only a little later than
//! it was answered.

use crate::entries::{Entries, Entry, Term};
use crate::listings::Listings;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use types::{Attr, FileId, FileKind, Leased};

/// Inodes at once, at most; others are not trusted.
const TRUSTED_MAX: usize = 1 << 16;
/// Changes remembered, at most, for answers that are of before and come after them.
const TOLD_MAX: usize = 1 << 10;
/// Threads that wait for locks of folders, at most.
const WAITING_MAX: usize = 32;
/// How long after an answer the process that asked has surely woken up and taken it.
const TAKEN: Duration = Duration::from_millis(50);

/// Whether something was told since; to be taken before what is then said is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked(u64);

pub(crate) struct Trusted {
    said: Mutex<Said>,
    /// How many changes this has heard of.
    told: AtomicU64,
    waiting: Arc<Semaphore>,
}

#[derive(Default)]
struct Said {
    attributes: HashMap<FileId, Term>,
    names: Entries,
    listings: Listings,
    /// The last changes, and how many there were with each.
    changed: HashMap<Leased, u64>,
    /// Of earlier ones nothing is known.
    changed_before: u64,
}

impl Said {
    fn is_of_before(&self, asked: Asked, what: Leased) -> bool {
        asked.0 < self.changed_before || self.changed.get(&what).is_some_and(|number| *number > asked.0)
    }
}

impl Default for Trusted {
    fn default() -> Trusted {
        let waiting = Arc::new(Semaphore::new(WAITING_MAX));
        Trusted { said: Mutex::default(), told: AtomicU64::new(0), waiting }
    }
}

impl Trusted {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked(self.told.load(Ordering::Acquire))
    }

    /// How long the kernel may trust the attributes of `file`, which this remembers.
    pub(crate) fn attributes(&self, asked: Asked, file: FileId, trust: Duration) -> Duration {
        if trust.is_zero() {
            return trust;
        }
        let now = Instant::now();
        let mut said = self.said();
        if said.is_of_before(asked, Leased::Attributes(file)) {
            return Duration::ZERO;
        }
        let attributes = &mut said.attributes;
        if attributes.len() >= TRUSTED_MAX && !attributes.contains_key(&file) {
            attributes.retain(|_, term| term.until > now);
        }
        if attributes.len() >= TRUSTED_MAX && !attributes.contains_key(&file) {
            return Duration::ZERO;
        }
        attributes.insert(file, Term { said: now, until: now + trust });
        trust
    }

    /// A folder is listed from now on; what it is was asked for before.
    pub(crate) fn listed(&self, asked: Asked, dir: &Attr, trust: Duration) {
        let until = Instant::now() + trust;
        let mut said = self.said();
        if !trust.is_zero() && !said.is_of_before(asked, Leased::Attributes(dir.file)) {
            said.listings.begin(dir, until);
        }
    }

    /// What a folder is, while what the kernel has been told last of its names is right.
    pub(crate) fn listing(&self, dir: FileId) -> Option<Attr> {
        self.said().listings.of(dir).cloned()
    }

    /// How long the kernel may trust that `name` in `dir` leads to `file`, which this remembers.
    pub(crate) fn name(
        &self,
        asked: Asked,
        (dir, name): (FileId, &OsStr),
        file: FileId,
        trust: Duration,
    ) -> Duration {
        if trust.is_zero() {
            return trust;
        }
        let now = Instant::now();
        let mut said = self.said();
        if said.is_of_before(asked, Leased::Names(file)) {
            return Duration::ZERO;
        }
        let term = Term { said: now, until: now + trust };
        let entry = Entry { dir, name: name.to_owned() };
        if said.names.say(entry, file, term) { trust } else { Duration::ZERO }
    }

    /// The kernel asks for this rename, and holds the locks of both folders until it is answered.
    pub(crate) fn renaming(&self, from: &Entry, to: &Entry, exchange: bool) {
        self.said().names.renaming(from, to, exchange);
    }

    /// That rename is done, and will be answered.
    pub(crate) fn renamed(&self, from: Entry, to: Entry, exchange: bool) {
        self.said().names.renamed(from, to, exchange);
    }

    /// Answers to what was asked before count no more.
    fn changes(&self, what: Leased) -> MutexGuard<'_, Said> {
        let mut said = self.said();
        let number = self.told.load(Ordering::Acquire) + 1;
        if said.changed.len() >= TOLD_MAX {
            said.changed.clear();
            said.changed_before = number;
        }
        said.changed.insert(what, number);
        if let Leased::Attributes(file) = what {
            said.listings.end(file);
        }
        self.told.store(number, Ordering::Release);
        said
    }

    /// The attributes are about to change: returns when the kernel trusts nothing of before any more. `tell` tells it.
    pub(crate) async fn end_attributes(&self, file: FileId, tell: impl Fn(FileId) -> io::Result<()>) {
        let term = self.changes(Leased::Attributes(file)).attributes.get(&file).copied();
        // A kernel that is told leaves aside what it is just being answered, and goes on with what it knew before; and it
        // knows a new inode only when the answer is taken. So that comes first. It is not told where it trusts nothing.
        let Some(term) = term else { return };
        tokio::time::sleep_until((term.said + TAKEN).into()).await;
        match tell(file) {
            // It knows no such inode (any more).
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%file, %error, "the kernel trusts attributes until that ends");
                tokio::time::sleep_until((term.until + TAKEN).into()).await;
            }
            _ => {}
        }
        let mut said = self.said();
        if said.attributes.get(&file) == Some(&term) {
            said.attributes.remove(&file);
        }
        // What was said meanwhile is of after the change, and stays.
    }

    /// Names of `file` are about to change: returns when the kernel trusts none of before any more. `tell` tells it
    /// of one, and waits for the lock of its folder.
    pub(crate) async fn end_names(
        &self,
        file: FileId,
        tell: Arc<impl Fn(FileId, &OsStr) -> io::Result<()> + Send + Sync + 'static>,
    ) {
        let begun = Instant::now();
        drop(self.changes(Leased::Names(file)));
        // One after the other: what is renamed meanwhile has another name then.
        loop {
            let next = self.said().names.any(file, begun);
            let Some((entry, term)) = next else { return };
            let Term { said, until } = term;
            tokio::time::sleep_until((said + TAKEN).into()).await;
            // Whoever has woken up late trusts for as much longer.
            let ended = tokio::time::sleep_until((until + TAKEN).into());
            let (tell, waiting, told) = (tell.clone(), self.waiting.clone(), entry.clone());
            let telling = async move {
                let Ok(room) = waiting.acquire_owned().await else { return };
                let told = tokio::task::spawn_blocking(move || {
                    let _room = room;
                    tell(told.dir, &told.name)
                });
                match told.await {
                    Ok(Ok(())) => {}
                    // It has no such name (any more).
                    Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    error => {
                        tracing::warn!(%file, ?error, "the kernel trusts a name until that ends");
                        std::future::pending().await
                    }
                }
            };
            tokio::select! {
                () = telling => {}
                () = ended => {}
            }
            self.said().names.forget(file, &entry, term);
        }
    }
}

/// What may be trusted of names in one folder, from when they were asked for.
pub(crate) struct Trusts {
    trusted: Arc<Trusted>,
    asked: Asked,
    dir: FileId,
    expires: bool,
}

impl Trusts {
    /// To be taken before asking. `expires`: whether the kernel can let go of a name and of nothing else.
    pub(crate) fn new(trusted: Arc<Trusted>, dir: FileId, expires: bool) -> Trusts {
        Trusts { asked: trusted.asked(), trusted, dir, expires }
    }

    /// How long the kernel may trust these attributes.
    pub(crate) fn attributes(&self, attr: &Attr, trust: Duration) -> Duration {
        self.trusted.attributes(self.asked, attr.file, trust)
    }

    /// How long it may trust that `name` leads to them.
    pub(crate) fn name(&self, name: &OsStr, attr: &Attr, trust: Duration) -> Duration {
        // What is mounted on a folder would go with its name.
        if attr.kind == FileKind::Directory && !self.expires {
            return Duration::ZERO;
        }
        self.trusted.name(self.asked, (self.dir, name), attr.file, trust)
    }

    /// Both, where one time has to do for both.
    pub(crate) fn entry(&self, name: &OsStr, attr: &Attr, trust: Duration) -> Duration {
        match self.name(name, attr, trust) {
            Duration::ZERO => Duration::ZERO,
            trust => self.attributes(attr, trust),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;
    use types::{FsId, InodeId};

    const FILE: FileId = FileId { fs: FsId(1), ino: InodeId(7) };
    const DIR: FileId = FileId { fs: FsId(1), ino: InodeId(1) };
    const LONG: Duration = Duration::from_secs(100);

    #[tokio::test]
    async fn the_kernel_is_told_once_it_has_taken_the_answer_and_where_it_trusts() {
        let trusted = Trusted::default();
        let times = AtomicU32::new(0);
        let tell = |_| {
            times.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::NotFound.into())
        };
        trusted.end_attributes(FILE, tell).await;
        assert_eq!(times.load(Ordering::Relaxed), 0, "nothing was said of it");
        assert_eq!(trusted.attributes(trusted.asked(), FILE, LONG), LONG);
        let begun = Instant::now();
        trusted.end_attributes(FILE, tell).await;
        assert_eq!(times.load(Ordering::Relaxed), 1);
        assert!(begun.elapsed() >= TAKEN - Duration::from_millis(5) && begun.elapsed() < LONG);
        trusted.end_attributes(FILE, tell).await;
        assert_eq!(times.load(Ordering::Relaxed), 1, "it trusts nothing any more");
    }

    #[tokio::test]
    async fn answers_to_what_was_asked_before_a_change_are_not_trusted_after_it() {
        let trusted = Trusted::default();
        let before = trusted.asked();
        trusted.end_attributes(FILE, |_| Ok(())).await;
        trusted.end_names(FILE, Arc::new(|_, _: &OsStr| Ok(()))).await;
        let name = (DIR, OsStr::new("a"));
        assert!(trusted.attributes(before, FILE, LONG).is_zero());
        assert!(trusted.name(before, name, FILE, LONG).is_zero());
        assert_eq!(trusted.attributes(before, DIR, LONG), LONG, "that one did not change");
        assert_eq!(trusted.name(trusted.asked(), name, FILE, LONG), LONG);
        for number in 0..=TOLD_MAX as u64 {
            let other = FileId { ino: InodeId(100 + number), ..FILE };
            trusted.end_attributes(other, |_| Ok(())).await;
        }
        assert!(trusted.attributes(before, DIR, LONG).is_zero(), "it may have changed");
    }

    #[tokio::test]
    async fn each_name_is_told_once_however_often_it_was_said() {
        let trusted = Trusted::default();
        for name in ["a", "b", "a"] {
            assert_eq!(trusted.name(trusted.asked(), (DIR, OsStr::new(name)), FILE, LONG), LONG);
        }
        let (told, names) = mpsc::sync_channel(8);
        let tell = Arc::new(move |dir, name: &OsStr| {
            told.send((dir, name.to_owned())).unwrap();
            Err(io::ErrorKind::NotFound.into())
        });
        trusted.end_names(FILE, tell.clone()).await;
        trusted.end_names(FILE, tell).await;
        let mut told: Vec<_> = names.try_iter().collect();
        told.sort();
        assert_eq!(told, [(DIR, "a".into()), (DIR, "b".into())]);
    }

    #[tokio::test]
    async fn a_name_that_is_renamed_while_it_is_told_is_told_under_its_new_name_too() {
        let trusted = Arc::new(Trusted::default());
        let [a, b] = ["a", "b"].map(|name| Entry { dir: DIR, name: name.into() });
        assert_eq!(trusted.name(trusted.asked(), (DIR, &a.name), FILE, LONG), LONG);
        let (told, names) = mpsc::sync_channel(8);
        let renames = trusted.clone();
        // The folder is locked by who renames, and the kernel has moved the name when it is not any more.
        let tell = move |_, name: &OsStr| {
            told.send(name.to_owned()).unwrap();
            if name == "a" {
                renames.renaming(&a, &b, false);
                renames.renamed(a.clone(), b.clone(), false);
            }
            Ok(())
        };
        trusted.end_names(FILE, Arc::new(tell)).await;
        assert_eq!(names.try_iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_locked_folder_is_waited_for_no_longer_than_its_name_is_trusted() {
        let trusted = Trusted::default();
        let trust = Duration::from_millis(200);
        assert_eq!(trusted.name(trusted.asked(), (DIR, OsStr::new("a")), FILE, trust), trust);
        let (unlock, locked) = mpsc::channel::<()>();
        let locked = Mutex::new(locked);
        let begun = Instant::now();
        let tell = move |_, _: &OsStr| {
            let _ = locked.lock().unwrap().recv();
            Ok(())
        };
        trusted.end_names(FILE, Arc::new(tell)).await;
        assert!(begun.elapsed() >= trust + TAKEN);
        drop(unlock);
    }

    #[test]
    fn what_is_trusted_is_bounded() {
        let trusted = Trusted::default();
        let asked = trusted.asked();
        let file = |number| FileId { ino: InodeId(number), ..FILE };
        for number in 0..TRUSTED_MAX as u64 {
            assert!(!trusted.attributes(asked, file(number), LONG).is_zero());
        }
        assert!(trusted.attributes(asked, file(1 << 40), LONG).is_zero());
        assert!(!trusted.attributes(asked, file(3), LONG).is_zero());
    }
}
