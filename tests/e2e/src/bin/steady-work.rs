//! One worker of the tests that kill the daemon under its clients.

use clap::{Parser, ValueEnum};
use e2e::{Steady, Task};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Count,
    Names,
    Orphan,
    Hold,
    Probe,
}

/// Works in FOLDER until UNTIL is there, with two bytes in LOG for each step
#[derive(Parser)]
struct Arguments {
    task: Kind,
    folder: PathBuf,
    log: PathBuf,
    name: String,
    until: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { task, folder, log, name, until } = Arguments::parse();
    let task = match task {
        Kind::Count => Task::Count,
        Kind::Names => Task::Names,
        Kind::Orphan => Task::Orphan,
        Kind::Hold => Task::Hold,
        Kind::Probe => Task::Probe,
    };
    match (Steady { task, folder, log, name, until }).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // As one write: several workers complain to one file.
            let complaint = format!("steady-work: {error}\n");
            eprint!("{complaint}");
            ExitCode::from(1)
        }
    }
}
