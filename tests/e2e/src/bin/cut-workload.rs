//! Runs inside the guest whose plug is pulled: works in a tree, or checks one against its log.

use clap::{Parser, Subcommand};
use e2e::{Workload, verify};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Work in TREE, writing to LOG what is tried and done
    Run {
        /// Sync folders, too
        #[arg(long)]
        sync_names: bool,
        /// Stop after so many steps
        #[arg(long, default_value_t = u64::MAX)]
        steps: u64,
        tree: PathBuf,
        log: PathBuf,
        seed: u64,
    },
    /// Check TREE against LOG
    Verify { tree: PathBuf, log: PathBuf },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { sync_names, steps, tree, log, seed } => {
            Workload { tree, log, seed, sync_names }.run(steps)
        }
        Command::Verify { tree, log } => verify(&tree, &log).map(|steps| println!("verified {steps}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("cut-workload: {err}");
            ExitCode::from(1)
        }
    }
}
