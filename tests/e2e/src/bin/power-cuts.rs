//! Pulls the plug of a machine that runs the daemon and its clients, as often as told.

use clap::Parser;
use e2e::{Door, PowerCut, PowerCutReport};
use std::process::ExitCode;
use std::time::Duration;

/// Runs plexusd with clients at both doors in a guest, cuts its power again and again, and checks
/// that everything acknowledged is there
#[derive(Parser)]
struct Arguments {
    /// How often
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Begin no round after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// Decides the work and the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Flags of plexusd
    #[arg(long, default_value = "--drive-size 1G", allow_hyphen_values = true)]
    flags: String,
    /// The doors that clients come through
    #[arg(long, value_delimiter = ',', default_value = "fuse,nfs")]
    doors: Vec<Door>,
    /// Shell run at the end, in place of plexus fsck
    #[arg(long)]
    check: Option<String>,
}

fn main() -> ExitCode {
    let Arguments { rounds, minutes, seed, flags, doors, check } = Arguments::parse();
    let mut cuts = PowerCut::plexus(&flags, &doors, rounds, seed);
    if let Some(minutes) = minutes {
        cuts.within = Duration::from_secs(60 * minutes);
    }
    if let Some(check) = check {
        cuts.check = check;
    }
    let tell = |round, took: Duration| eprintln!("round {round}: at work after {:.1} s", took.as_secs_f64());
    match cuts.run_telling(tell) {
        Ok(report) => {
            let PowerCutReport { rounds, acknowledged, repairs } = report;
            println!(
                "{rounds} power cuts, {repairs} of them in repairs, {acknowledged} steps acknowledged, all there"
            );
            ExitCode::SUCCESS
        }
        Err(err) => {
            eprintln!("power-cuts: {err}");
            ExitCode::from(1)
        }
    }
}
