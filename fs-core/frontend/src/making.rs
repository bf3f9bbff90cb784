//! Files that are being made and opened: between the command that gives a file its name and its open, others see the name
//! and may remove it. Who removes a name or moves it away waits until those have opened it who may have made what it saw; of a file that
//! is linked in that instant, and then loses both names, its maker makes another one.

use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::Notify;
use types::{FileId, Name};

type Place = (FileId, Name);

/// All names that are being made, and by which opens.
#[derive(Default)]
pub(crate) struct Making {
    table: Mutex<Table>,
    /// One has ended.
    ended: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    places: HashMap<Place, Vec<u64>>,
}

/// An open that may make a file.
pub(crate) struct Maker<'a> {
    making: &'a Making,
    place: Place,
    number: u64,
}

impl Making {
    /// To be held from before the command until the open is known.
    pub(crate) fn begin(&self, dir: FileId, name: &Name) -> Maker<'_> {
        let place = (dir, name.clone());
        let mut table = self.table.lock();
        let number = table.next;
        table.next += 1;
        table.places.entry(place.clone()).or_default().push(number);
        Maker { making: self, place, number }
    }

    /// Waits for those that have begun until now: what was seen there before was made by none of those that begin later.
    pub(crate) async fn settled(&self, dir: FileId, name: &Name) {
        let place = (dir, name.clone());
        let until = self.table.lock().next;
        loop {
            let ended = self.ended.notified();
            let waits = match self.table.lock().places.get(&place) {
                Some(numbers) => numbers.iter().any(|number| *number < until),
                None => false,
            };
            if !waits {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Maker<'_> {
    fn drop(&mut self) {
        let mut table = self.making.table.lock();
        if let Some(numbers) = table.places.get_mut(&self.place) {
            numbers.retain(|number| *number != self.number);
            if numbers.is_empty() {
                table.places.remove(&self.place);
            }
        }
        drop(table);
        self.making.ended.notify_waiters();
    }
}
