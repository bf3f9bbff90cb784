//! The program as `mount.plexus`: mount(8) calls it for `mount -t plexus FS DIR` and for lines in fstab(5).

use crate::arguments::{Arguments, Command, HelperArguments};
use crate::mount_options::Options;
use std::ffi::OsString;
use std::path::Path;

/// Whether the program was called as a helper of mount(8).
pub(crate) fn is_helper(program: &OsString) -> bool {
    let name = Path::new(program).file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| matches!(name, "mount.plexus" | "mount.fuse.plexus"))
}

/// The same as arguments of `plexus mount --background`; `None` when mount(8) only wants to see whether all
/// would be well.
pub(crate) fn arguments(helper: HelperArguments) -> Result<Option<Arguments>, String> {
    let options = Options::parse(&helper.options, helper.sloppy)?;
    let filesystem = helper.source.strip_prefix("plexus:").unwrap_or(&helper.source).to_owned();
    let (data, log) = (options.data.clone(), options.log.clone());
    let command =
        Command::Mount { filesystem, folder: helper.folder, background: true, log, options: options.list() };
    Ok((!helper.fake).then(|| Arguments::of(data, command)))
}
