//! One signal that tells everybody to come to an end.

use tokio::sync::watch;

/// Fires the signal; dropping it fires too, so that nobody waits for one that is gone.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Waits for the signal.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A signal's two ends.
#[must_use]
pub fn shutdown() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Tells everybody to come to an end.
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns as soon as the signal was fired, at once when it was fired before.
    pub async fn fired(&mut self) {
        // An error means that the trigger is gone, which counts as fired.
        let _ = self.0.wait_for(|fired| *fired).await;
    }

    /// Whether the signal was fired.
    #[must_use]
    pub fn is_fired(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
