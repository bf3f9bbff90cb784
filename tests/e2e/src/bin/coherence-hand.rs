//! A client of the check of coherence, or who leads several in a guest.

use clap::{Parser, Subcommand};
use e2e::{CoherenceWorker, Way};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Works below ROOT, and says in JOB/NUMBER.log what it does, until JOB/stop is there
    Work {
        way: Way,
        root: PathBuf,
        job: PathBuf,
        number: u32,
        seed: u64,
        /// Its log outlives the kernel
        #[arg(long)]
        synced: bool,
    },
    /// Hires, stops and kills workers as the master at ADDRESS says
    Lead { address: String },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Work { way, root, job, number, seed, synced } => {
            CoherenceWorker { way, root, job, number, seed, synced }.run()
        }
        Task::Lead { address } => e2e::lead_hands(&address),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coherence-hand: {error}");
            ExitCode::from(1)
        }
    }
}
