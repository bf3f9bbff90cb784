//! Compares one tree at two doors with a local folder, for as many steps as told.

use clap::Parser;
use e2e::{Doors, Guest};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs plexusd with a FUSE mount here and an NFS mount in a guest, does random steps at both and
/// on a local folder, and checks that all answers are the same
#[derive(Parser)]
struct Arguments {
    /// Steps with each seed
    #[arg(long, default_value_t = 10_000)]
    steps: u64,
    /// Decides the steps
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, from that one on
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The guest with 6.12 in QEMU, in place of 6.1 in User Mode Linux
    #[arg(long)]
    qemu: bool,
    /// Minor version of NFS
    #[arg(long, default_value_t = 2)]
    minor: u32,
    /// Flags of plexusd
    #[arg(long, default_value = "--drive-size 2G", allow_hyphen_values = true)]
    flags: String,
    /// Further lines of its configuration
    #[arg(long, default_value = "")]
    configuration: String,
    /// Steps that a failure shows
    #[arg(long, default_value_t = 50)]
    shown: usize,
    /// Look for fewer steps that end in the same failure
    #[arg(long)]
    shrink: bool,
    /// Begin with the steps in this file, as a failure shows them
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Print how often each kind of step was done and refused
    #[arg(long)]
    kinds: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let replayed = match arguments.replay.as_ref().map(std::fs::read_to_string).transpose() {
        Ok(text) => text.unwrap_or_default().lines().map(str::to_owned).collect::<Vec<String>>(),
        Err(error) => {
            eprintln!("doors: {error}");
            return ExitCode::from(2);
        }
    };
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        let mut doors = Doors::plexus(seed, arguments.steps);
        doors.options.flags = arguments.flags.split_whitespace().map(str::to_owned).collect();
        doors.options.configuration += &format!("\n{}", arguments.configuration);
        doors.replayed.clone_from(&replayed);
        doors.shown = arguments.shown;
        doors.shrinks = arguments.shrink;
        doors.minor = arguments.minor;
        if arguments.qemu {
            doors.guest = Guest::qemu();
        }
        match doors.run() {
            Ok(report) => {
                let (done, refused) = report.total();
                let seconds = report.took.as_secs_f64();
                println!("seed {seed}: {done} steps done and {refused} refused alike in {seconds:.0} s");
                if arguments.kinds {
                    for (kind, (done, refused)) in &report.steps {
                        println!("  {kind:16} {done:6} {refused:6}");
                    }
                }
            }
            Err(error) => {
                eprintln!("doors: {error}");
                return ExitCode::from(1);
            }
        }
    }
    ExitCode::SUCCESS
}
