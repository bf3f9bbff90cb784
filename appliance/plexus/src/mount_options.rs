//! The options of mount(8) that a mount knows.

use std::path::PathBuf;
use std::str::FromStr;

/// What `-o` says. All is as mount(8) has it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) read_only: bool,
    pub(crate) no_suid: bool,
    pub(crate) no_dev: bool,
    pub(crate) no_exec: bool,
    /// The daemon's data folder, for lines in fstab(5).
    pub(crate) data: Option<PathBuf>,
    /// Where messages go.
    pub(crate) log: Option<PathBuf>,
}

impl FromStr for Options {
    type Err = String;

    fn from_str(list: &str) -> Result<Options, String> {
        Options::parse(list, false)
    }
}

impl Options {
    /// Later options win. What mount(8) or systemd do themselves is passed on to us all the same, and is
    /// accepted; what nobody knows only when `sloppy`.
    pub(crate) fn parse(list: &str, sloppy: bool) -> Result<Options, String> {
        let mut options = Options::default();
        for option in list.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("ro", "") => options.read_only = true,
                ("rw", "") => options.read_only = false,
                ("nosuid", "") => options.no_suid = true,
                ("suid", "") => options.no_suid = false,
                ("nodev", "") => options.no_dev = true,
                ("dev", "") => options.no_dev = false,
                ("noexec", "") => options.no_exec = true,
                ("exec", "") => options.no_exec = false,
                ("defaults", "") => {
                    let Options { data, log, .. } = options;
                    options = Options { data, log, ..Options::default() };
                }
                ("user" | "users" | "owner" | "group", "") => {
                    (options.no_suid, options.no_dev, options.no_exec) = (true, true, true);
                }
                ("data", folder) if !folder.is_empty() => options.data = Some(folder.into()),
                ("log", file) if !file.is_empty() => options.log = Some(file.into()),
                ("auto" | "noauto" | "nofail" | "_netdev" | "nouser" | "noatime" | "async", "") => {}
                (name, _) if name.starts_with("x-") || name.starts_with("X-") || name == "comment" => {}
                _ if sloppy => {}
                _ => return Err(format!("mount option '{option}' is unknown")),
            }
        }
        Ok(options)
    }

    /// As they are written.
    pub(crate) fn list(&self) -> String {
        let flags = [
            (self.read_only, "ro"),
            (self.no_suid, "nosuid"),
            (self.no_dev, "nodev"),
            (self.no_exec, "noexec"),
        ];
        let set: Vec<&str> = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
        set.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_fstab_are_taken_and_the_later_wins() {
        let options: Options =
            "rw,_netdev,x-systemd.automount,nosuid,ro,suid,data=/d,noexec".parse().unwrap();
        let wanted =
            Options { read_only: true, no_exec: true, data: Some("/d".into()), ..Options::default() };
        assert_eq!(options, wanted);
        assert_eq!(options.list(), "ro,noexec");
        assert_eq!("user,dev".parse::<Options>().unwrap().list(), "nosuid,noexec");
        assert_eq!("".parse::<Options>().unwrap(), Options::default());
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        for bad in ["sync", "ro=1", "data=", "ro,acl"] {
            assert!(bad.parse::<Options>().is_err(), "{bad}");
            assert!(Options::parse(bad, true).is_ok(), "{bad}");
        }
    }
}
