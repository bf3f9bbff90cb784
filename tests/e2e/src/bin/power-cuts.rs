//! Pulls the plug of a machine that runs the daemon and its clients, as often as told.

use clap::Parser;
use e2e::PowerCut;
use std::process::ExitCode;

/// Runs plexusd with clients at both doors in a guest, cuts its power again and again, and checks
/// that everything acknowledged is there
#[derive(Parser)]
struct Arguments {
    /// How often
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Decides the work and the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Flags of plexusd
    #[arg(long, default_value = "--drive-size 1G", allow_hyphen_values = true)]
    flags: String,
}

fn main() -> ExitCode {
    let Arguments { rounds, seed, flags } = Arguments::parse();
    match PowerCut::plexus(&flags, rounds, seed).run() {
        Ok(report) => {
            println!("{} power cuts, {} steps acknowledged, all there", report.rounds, report.acknowledged);
            ExitCode::SUCCESS
        }
        Err(err) => {
            eprintln!("power-cuts: {err}");
            ExitCode::from(1)
        }
    }
}
