//! The daemon's command line.

use clap::{Args, Parser, Subcommand};
use config::Overrides;
use std::path::PathBuf;

/// The Plexus daemon.
#[derive(Parser, Debug)]
#[command(name = "plexusd", version, about = "Plexus: a distributed file system served over NFS and FUSE")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Everything but running.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Prints every option with its value, default, unit and meaning.
    Config,
}

/// What may be said here or in the configuration file; here wins.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the drives and of the daemon's own state.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Number of drives.
    #[arg(long, global = true, value_name = "N")]
    drives: Option<String>,
    /// Bytes of each drive, as 10G.
    #[arg(long, global = true, value_name = "SIZE")]
    drive_size: Option<String>,
    /// How data survive the loss of drives: none, or D+P.
    #[arg(long, global = true, value_name = "D+P")]
    protection: Option<String>,
}

impl Options {
    /// What the command line says over the configuration file.
    pub(crate) fn overrides(&self) -> Overrides {
        let pairs = [
            ("data", &self.data),
            ("drives", &self.drives),
            ("drive-size", &self.drive_size),
            ("protection", &self.protection),
        ];
        Overrides(
            pairs.into_iter().filter_map(|(flag, value)| value.clone().map(|value| (flag, value))).collect(),
        )
    }
}
