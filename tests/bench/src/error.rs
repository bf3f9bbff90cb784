//! Why something was not measured.

use std::io;

/// Why something was not measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of the guest that holds the NFS client.
    #[error(transparent)]
    Guest(#[from] e2e::GuestError),
    /// A program did not do what it was asked for.
    #[error("{program}: {what}")]
    Program {
        /// Its command line.
        program: String,
        /// Its status and the end of what it said.
        what: String,
    },
    /// A program said something that cannot be read.
    #[error("{what}: {text}")]
    Unreadable {
        /// What was wanted.
        what: &'static str,
        /// What came.
        text: String,
    },
    /// Something did not come about in time.
    #[error("{what}: not within {seconds} s")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}
