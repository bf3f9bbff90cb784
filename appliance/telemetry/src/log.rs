//! Where logs go and which.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::Path;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

const VARIABLE: &str = "PLEXUS_LOG";
/// The engines talk much at `info`.
const DEFAULT: &str = "info,openraft=warn,raft_engine=warn,fjall=warn,lsm_tree=warn";

/// Why logging could not be set up.
#[derive(Debug)]
pub enum LogError {
    /// `PLEXUS_LOG` is not understood.
    Filter(ParseError),
    /// A subscriber is there already.
    Twice,
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LogError::Filter(err) => write!(f, "{VARIABLE}: {err}; it must be like \"info,nfs=debug\""),
            LogError::Twice => f.write_str("logging is set up twice"),
        }
    }
}

impl std::error::Error for LogError {}

/// Logs from here on to standard error, `info` and above unless `PLEXUS_LOG` says otherwise.
///
/// # Errors
/// When `PLEXUS_LOG` is not understood, or logging is set up already.
pub fn init() -> Result<(), LogError> {
    let wanted = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let filter =
        EnvFilter::builder().parse(wanted.as_deref().unwrap_or(DEFAULT)).map_err(LogError::Filter)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|_| LogError::Twice)
}

/// Sends standard error, and the logs with it, to the end of `file` from now on: for who goes on in the
/// background when the terminal has gone.
///
/// # Errors
/// The file cannot be opened.
pub fn into_file(file: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(file)?;
    Ok(rustix::stdio::dup2_stderr(file)?)
}
