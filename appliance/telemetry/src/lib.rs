//! Logs and counters.

#![forbid(unsafe_code)]

use tracing_subscriber::EnvFilter;

/// The engines talk much at "info".
const QUIET: &str = "info,openraft=warn,raft_engine=warn,fjall=warn,lsm_tree=warn";

/// Sends structured logs to standard error; `PLEXUS_LOG` chooses what, information and above by default.
pub fn init() {
    let filter = EnvFilter::try_from_env("PLEXUS_LOG").unwrap_or_else(|_| EnvFilter::new(QUIET));
    // A second call, in tests, keeps the first.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
