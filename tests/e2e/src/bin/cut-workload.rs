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
        /// Stop when this is there
        #[arg(long)]
        until: Option<PathBuf>,
        tree: PathBuf,
        log: PathBuf,
        seed: u64,
    },
    /// Check TREE against LOG
    Verify { tree: PathBuf, log: PathBuf },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { sync_names, steps, until, tree, log, seed } => {
            let mut left = steps;
            Workload { tree, log, seed, sync_names }.run_while(|| {
                let stop = left == 0 || until.as_ref().is_some_and(|until| until.exists());
                left = left.saturating_sub(1);
                !stop
            })
        }
        Command::Verify { tree, log } => verify(&tree, &log).map(|steps| println!("verified {steps}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            let complaint = format!("cut-workload: {err}\n");
            eprint!("{complaint}");
            ExitCode::from(1)
        }
    }
}
