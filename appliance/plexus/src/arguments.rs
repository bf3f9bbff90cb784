//! What can be written on the command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

const DATA_DEFAULT: &str = "./plexus-data";

/// Administers a Plexus daemon.
#[derive(Parser, Debug)]
#[command(name = "plexus", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The data folder of the daemon [default: $PLEXUS_DATA, else ./plexus-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Mounts a filesystem for mount(8).
#[derive(Parser, Debug)]
#[command(name = "mount.plexus", version)]
pub(crate) struct HelperArguments {
    /// The filesystem, or plexus:FS
    #[arg(value_name = "FS")]
    pub(crate) source: String,
    /// Where; a folder that is there
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Options, with commas between: data=DIR (the daemon's data folder), log=FILE, ro, nosuid, nodev, noexec
    #[arg(short = 'o', value_name = "OPTIONS", default_value = "")]
    pub(crate) options: String,
    /// Only say whether the options are right
    #[arg(short)]
    pub(crate) fake: bool,
    /// Accept unknown options
    #[arg(short)]
    pub(crate) sloppy: bool,
    /// Passed by mount(8); there is no mtab to leave alone, and nothing more to tell
    #[arg(short = 'n', hide = true)]
    no_mtab: bool,
    #[arg(short = 'v', hide = true)]
    verbose: bool,
}

impl Arguments {
    /// What a program would have given.
    pub(crate) fn of(data: Option<PathBuf>, command: Command) -> Arguments {
        Arguments { data, json: false, command }
    }

    /// The data folder: the flag, else the environment, else the default.
    pub(crate) fn data(&self) -> PathBuf {
        let from_environment = || std::env::var_os("PLEXUS_DATA").filter(|value| !value.is_empty());
        self.data
            .clone()
            .or_else(|| from_environment().map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(DATA_DEFAULT))
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Health, capacity, and how many more failures are survived
    Status,
    /// Drives
    #[command(subcommand)]
    Drive(DriveCommand),
    /// Check everything while it is in use; exits 0 when clean, 1 on damage
    Fsck,
    /// Say how something came about
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// Filesystems
    #[command(subcommand)]
    Filesystem(FilesystemCommand),
    /// What NFS clients may mount
    #[command(subcommand)]
    Export(ExportCommand),
    /// Access keys of S3 clients
    #[command(subcommand)]
    S3(S3Command),
    /// Mount a filesystem here through FUSE; stays in the foreground until unmounted
    Mount {
        /// The filesystem
        #[arg(value_name = "FS")]
        filesystem: String,
        /// Where; a folder that is there
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Return once it is mounted
        #[arg(long)]
        background: bool,
        /// Where messages go once it is mounted [default: standard error; in the background nowhere]
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
        /// Options as of mount(8), with commas between: ro, nosuid, nodev, noexec
        #[arg(short = 'o', value_name = "OPTIONS", default_value = "")]
        options: String,
    },
    /// Watch a mount, which starts this itself
    #[command(hide = true)]
    WatchMount {
        /// The process that serves it
        process: u32,
        /// The number of its connection to the kernel
        connection: u32,
        /// Where it is mounted
        folder: PathBuf,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum DriveCommand {
    /// All drives with their state
    List,
    /// Take a drive out of service, as if it had failed
    Fail {
        /// The drive's number
        id: u32,
    },
    /// Put an empty drive in the place of a lost one
    Replace {
        /// The drive's number
        id: u32,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ExplainCommand {
    /// On which drives, in which files, at which offsets the chunks of a file are
    Placement {
        /// The file: FILESYSTEM/PATH
        path: String,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum FilesystemCommand {
    /// Make a filesystem
    Create {
        /// Its name
        name: String,
    },
    /// All filesystems
    List,
    /// Remove a filesystem and everything in it
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Also while it is exported or mounted, or files of it are open: who uses it gets errors
        #[arg(long)]
        force: bool,
        /// Also what is retained or on hold in it (object lock)
        #[arg(long)]
        retained: bool,
        /// Return when the drives have back all that it took
        #[arg(long)]
        wait: bool,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum S3Command {
    /// Access keys
    #[command(subcommand)]
    Key(S3KeyCommand),
}

#[derive(Subcommand, Debug)]
pub(crate) enum S3KeyCommand {
    /// Make a key; its secret is shown only now
    Create {
        /// The account that it is of; made with its first key
        name: String,
        /// As which user of the daemon's machine the account uses files, by name or number [default: nobody]
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// By which grants may name the account, too
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
    /// All keys, without their secrets
    List,
    /// Take a key back
    Delete {
        /// The access key
        access_key: String,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ExportCommand {
    /// All exports
    List,
    /// Add an export, or change the one of the same path; what is not given stays as it is
    Set {
        /// The path that clients mount
        path: String,
        /// The filesystem behind it; must be given for a new export
        #[arg(long, value_name = "FS")]
        filesystem: Option<String>,
        /// Who may mount: an address, a network, or "*"; may be repeated [default: this machine]
        #[arg(long = "client", value_name = "RULE")]
        clients: Vec<String>,
        /// Nobody may mount
        #[arg(long, conflicts_with = "clients")]
        no_clients: bool,
        /// Which users become the anonymous one [default: root]
        #[arg(long, value_parser = ["none", "root", "all"])]
        squash: Option<String>,
        /// Who the squashed become, by number [default: 65534:65534]
        #[arg(long, value_name = "UID:GID")]
        anonymous: Option<String>,
        /// Whether clients may write [default: rw]
        #[arg(long, value_parser = ["rw", "ro"])]
        access: Option<String>,
        /// From which ports clients may come [default: any]
        #[arg(long, value_parser = ["any", "privileged"])]
        ports: Option<String>,
    },
    /// Take back what was set of an export; what the configuration says of its path counts again
    Remove {
        /// The path that clients mount
        path: String,
    },
}
