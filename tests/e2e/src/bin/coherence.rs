//! Checks that all doors see one truth, with as many operations as told.

use clap::Parser;
use e2e::Coherence;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs plexusd with two FUSE mounts here and two NFS mounts in a guest, does random operations at all of them on the
/// same few files and names, and checks that one order explains what they have seen
#[derive(Parser)]
struct Arguments {
    /// Of all workers together
    #[arg(long, default_value_t = 20_000)]
    operations: u64,
    /// Decides operations and faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop and kill the daemon, mounts, workers and the guest meanwhile
    #[arg(long)]
    faults: bool,
    /// Cut the power of the daemon's disk, too; needs root
    #[arg(long)]
    power_cuts: bool,
    /// Workers at each FUSE mount
    #[arg(long, default_value_t = 1)]
    at_fuse: u32,
    /// Workers at each NFS mount
    #[arg(long, default_value_t = 2)]
    at_nfs: u32,
    /// Operations on the same files
    #[arg(long, default_value_t = 2000)]
    generation: u64,
    /// Only the FUSE mounts
    #[arg(long)]
    fuse: bool,
    /// Minor version of NFS, 1 or 2, at the mount with defaults; the other mount has the other
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=2))]
    minor: u32,
    /// Flags of plexusd
    #[arg(long, default_value = "--drive-size 4G", allow_hyphen_values = true)]
    flags: String,
    /// Keep what all workers say in this folder, which must not be there yet
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Do nothing but check what was kept in this folder
    #[arg(long)]
    weigh: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut coherence = Coherence::plexus(arguments.seed, arguments.operations);
    coherence.faults = arguments.faults || arguments.power_cuts;
    coherence.power_cuts = arguments.power_cuts;
    coherence.at_fuse = arguments.at_fuse;
    coherence.at_nfs = arguments.at_nfs;
    coherence.generation = arguments.generation;
    coherence.minor = arguments.minor;
    coherence.options.flags = arguments.flags.split_whitespace().map(str::to_owned).collect();
    if arguments.fuse {
        coherence.guest = None;
    }
    coherence.kept = arguments.keep;
    let done = match &arguments.weigh {
        Some(folder) => Coherence::weigh(folder),
        None => coherence.run(),
    };
    match done {
        Ok(report) => {
            println!(
                "{} operations {:?} in {:.0} s, {} with unknown outcome, {} histories undecided, clocks known to {:.2} ms, faults {:?}; \
                 one order explains them, found in {:.1} s",
                report.total(),
                report.operations,
                report.took.as_secs_f64(),
                report.unknown,
                report.undecided,
                report.clock.as_secs_f64() * 1e3,
                report.faults,
                report.checked.as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("coherence: {error}");
            ExitCode::from(1)
        }
    }
}
