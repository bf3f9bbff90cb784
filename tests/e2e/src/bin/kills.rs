//! Kills the daemon under live clients, as often as told.

use clap::Parser;
use e2e::{Guest, Kills};
use std::process::ExitCode;

/// Runs plexusd with two FUSE mounts here and an NFS mount in a guest, kills it again and again, and
/// checks that no client notices more than a pause
#[derive(Parser)]
struct Arguments {
    /// How often
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Decides the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The guest with 6.12 in QEMU, in place of 6.1 in User Mode Linux
    #[arg(long)]
    qemu: bool,
    /// Let it drain each time, in place of killing it
    #[arg(long)]
    gently: bool,
    /// Options of the NFS mount
    #[arg(long, default_value = "vers=4.2")]
    nfs_options: String,
    /// Flags of plexusd
    #[arg(long, default_value = "--drive-size 1G", allow_hyphen_values = true)]
    flags: String,
}

fn main() -> ExitCode {
    let Arguments { rounds, seed, qemu, gently, nfs_options, flags } = Arguments::parse();
    let mut kills = Kills::plexus(rounds, seed);
    kills.options.flags = flags.split_whitespace().map(str::to_owned).collect();
    kills.gently = gently;
    kills.nfs_options = nfs_options;
    if qemu {
        kills.guest = Guest::qemu();
    }
    match kills.run() {
        Ok(report) => {
            let (rounds, steps, pause) = (report.rounds, report.steps, report.longest_pause);
            println!(
                "{rounds} kills, {steps} steps, longest pause {:.1} s, nobody noticed",
                pause.as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("kills: {error}");
            ExitCode::from(1)
        }
    }
}
