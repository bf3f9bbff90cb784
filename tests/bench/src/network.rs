//! The wire between this machine and the guest with the NFS client: a tap device of our own.

use crate::{BenchError, processes};

/// This machine's end. The network is the one that RFC 2544 sets aside for benchmarks.
pub const HERE: &str = "198.18.0.1";
/// The guest's end.
pub const GUEST: &str = "198.18.0.2";
/// Who may mount.
pub const CLIENTS: &str = "198.18.0.0/15";
const DEVICE: &str = "plexus-bench";

/// The device; removed when dropped.
#[derive(Debug)]
pub struct Wire(());

impl Wire {
    /// Makes it. Needs root and /dev/net/tun.
    ///
    /// # Errors
    /// When that is missing, or another run has it.
    pub fn create() -> Result<Wire, BenchError> {
        processes::run_words(&["ip", "tuntap", "add", "dev", DEVICE, "mode", "tap"])?;
        let wire = Wire(());
        processes::run_words(&["ip", "address", "add", &format!("{HERE}/30"), "dev", DEVICE])?;
        processes::run_words(&["ip", "link", "set", DEVICE, "up"])?;
        Ok(wire)
    }

    /// Its name.
    #[must_use]
    pub fn device(&self) -> &'static str {
        DEVICE
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Err(err) = processes::run_words(&["ip", "link", "delete", DEVICE]) {
            eprintln!("bench: {err}");
        }
    }
}
