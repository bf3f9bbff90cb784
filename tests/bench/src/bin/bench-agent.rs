//! The part of a benchmark that runs where the client is: this machine or a guest.

use bench::names::{self, NameLoad, NameWork};
use clap::{Parser, Subcommand};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Serves a benchmark, and does its work on names
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs what the benchmark at ADDRESS says, until it hangs up
    Serve {
        /// Where it listens
        address: String,
    },
    /// Does something to many files, and prints how many operations in how many seconds
    Names(NameLoad),
    /// One process of `names`
    NameWorker {
        /// What is done
        work: NameWork,
        /// Where
        folder: PathBuf,
        /// How many files
        #[arg(long)]
        files: u64,
        /// How long what repeats goes on
        #[arg(long)]
        seconds: f64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("bench-agent: {err}");
            ExitCode::from(1)
        }
    }
}

fn run(command: Command) -> io::Result<()> {
    match command {
        Command::Serve { address } => bench::agent::serve(&address),
        Command::Names(load) => {
            let done = names::lead(&load, &std::env::current_exe()?)?;
            println!("{}", serde_json::to_string(&done)?);
            Ok(())
        }
        Command::NameWorker { work, folder, files, seconds } => {
            names::work(&NameLoad { work, folder, files, processes: 1, seconds })
        }
    }
}
