//! From a command to requests and from replies to text.

use crate::arguments::{
    Arguments, Command, DriveCommand, ExplainCommand, ExportCommand, FilesystemCommand, S3Command,
    S3KeyCommand,
};
use crate::mount_options::Options;
use crate::{delete, fsck, mount, text};
use admin::{Client, ClientError, CreateFilesystem, CreateS3Key, DeleteFilesystem, SetExport};
use fuse::{FuseError, Watched};
use remote::RemoteError;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Of the daemon.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nothing was done.
    #[error("filesystem {0} is left as it is")]
    NotConfirmed(String),
    /// Of a mount.
    #[error("{0}")]
    Mount(String),
    /// The daemon is not there for a mount.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The kernel does not mount.
    #[error(transparent)]
    Fuse(#[from] FuseError),
    /// Of the output or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the command; the code is 0, or 1 when fsck finds damage.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut builder = match arguments.command {
        Command::Mount { .. } => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build()?;
    runtime.block_on(dispatch(arguments))
}

async fn dispatch(arguments: Arguments) -> Result<ExitCode, Failure> {
    let data = arguments.data();
    let client = Client::new(&data);
    let out = Output { json: arguments.json };
    match arguments.command {
        Command::Status => out.say(&client.status().await?, text::status)?,
        Command::Drive(DriveCommand::List) => out.say(&client.drives().await?, text::drives)?,
        Command::Drive(DriveCommand::Fail { id }) => {
            client.drive_fail(id).await?;
            out.done(&format!("drive {id} is out of service"))?;
        }
        Command::Drive(DriveCommand::Replace { id }) => {
            client.drive_replace(id).await?;
            out.done(&format!("drive {id} is replaced and being filled"))?;
        }
        Command::Fsck => {
            let report = fsck::run(&client).await?;
            out.say(&report, text::fsck)?;
            if !report.damage.is_empty() {
                return Ok(ExitCode::from(1));
            }
        }
        Command::Explain(ExplainCommand::Placement { path }) => {
            out.say(&client.placement(&path).await?, text::placement)?;
        }
        Command::Filesystem(FilesystemCommand::Create { name }) => {
            let made = client.filesystem_create(&CreateFilesystem { name }).await?;
            out.say(&made, |made| format!("filesystem {} is made\n", made.name))?;
        }
        Command::Filesystem(FilesystemCommand::List) => {
            out.say(&client.filesystems().await?, text::filesystems)?;
        }
        Command::Filesystem(FilesystemCommand::Delete { name, yes, force, retained, wait }) => {
            if !yes && !delete::confirmed(&name)? {
                return Err(Failure::NotConfirmed(name));
            }
            let removal = client.filesystem_delete(&DeleteFilesystem { name, force, retained }).await?;
            if wait {
                delete::wait(&client, &removal).await?;
            }
            out.say(&removal, |removal| text::removed(removal, wait))?;
        }
        Command::Export(ExportCommand::List) => out.say(&client.exports().await?, text::exports)?,
        Command::Export(ExportCommand::Set {
            path,
            filesystem,
            clients,
            no_clients,
            squash,
            anonymous,
            access,
            ports,
        }) => {
            let clients = (no_clients || !clients.is_empty()).then_some(clients);
            let export = SetExport { path, filesystem, clients, squash, anonymous, access, ports };
            client.export_set(&export).await?;
            out.done(&format!("{} is exported", export.path))?;
        }
        Command::Export(ExportCommand::Remove { path }) => {
            client.export_remove(&path).await?;
            out.done(&format!("what was set of {path} is taken back"))?;
        }
        Command::S3(S3Command::Key(S3KeyCommand::Create { name, user, email })) => {
            let made = client.s3_key_create(&CreateS3Key { name, user, email }).await?;
            out.say(&made, text::s3_key)?;
        }
        Command::S3(S3Command::Key(S3KeyCommand::List)) => {
            out.say(&client.s3_keys().await?, text::s3_keys)?
        }
        Command::S3(S3Command::Key(S3KeyCommand::Delete { access_key })) => {
            client.s3_key_delete(&access_key).await?;
            out.done(&format!("{access_key} is taken back"))?;
        }
        Command::Mount { filesystem, folder, background, log, options } => {
            let options: Options = options.parse().map_err(Failure::Mount)?;
            let (data, log) = (options.data.clone().unwrap_or(data), log.or_else(|| options.log.clone()));
            let request = mount::Request { data, filesystem, folder, options, log };
            if background { mount::in_background(&request)? } else { mount::mount(&request).await? }
        }
        Command::WatchMount { process, connection, folder: path } => {
            Watched { process, connection, path }.until_ended();
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Output {
    json: bool,
}

impl Output {
    /// A report, for people or for programs.
    fn say<T: Serialize>(&self, report: &T, text: impl Fn(&T) -> String) -> io::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(report)? + "\n" } else { text(report) };
        io::stdout().write_all(text.as_bytes())
    }

    /// That something without a report is done; programs get an empty object.
    fn done(&self, sentence: &str) -> io::Result<()> {
        let text = if self.json { "{}\n".to_owned() } else { format!("{sentence}\n") };
        io::stdout().write_all(text.as_bytes())
    }
}
