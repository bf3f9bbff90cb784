//! Ctrl-C and SIGTERM end the run at its next wait, and all that was started with it.

use crate::BenchError;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

static ASKED: AtomicBool = AtomicBool::new(false);
const LOOK: Duration = Duration::from_millis(5);

/// Listens for SIGINT and SIGTERM from now on.
///
/// # Errors
/// Those of the machine.
pub fn listen() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            ASKED.store(true, Ordering::Relaxed);
            eprintln!("bench: interrupted; stopping what runs");
        });
    });
    Ok(())
}

/// Goes on unless asked to stop.
///
/// # Errors
/// [`BenchError::Interrupted`].
pub fn check() -> Result<(), BenchError> {
    if ASKED.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
}

/// Waits until `ready` gives something.
///
/// # Errors
/// Those of `ready`; [`BenchError::Late`] with `what` after `limit`; [`BenchError::Interrupted`].
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<Option<T>, BenchError>,
) -> Result<T, BenchError> {
    let start = Instant::now();
    loop {
        check()?;
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            return Err(BenchError::Late { what: what.to_owned(), seconds: limit.as_secs() });
        }
        std::thread::sleep(LOOK);
    }
}
