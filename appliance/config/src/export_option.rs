//! The table of options of one export.

use crate::fits::{LIST_MAX, is_filesystem_name, is_mount_path};
use crate::option::{OptionSpec, Reload};
use crate::value::Value;
use serve::{ClientPorts, ClientRule, Export, ExportAccess, Squash};

/// All options of one `[[export]]`, in the order of the reference page.
pub const EXPORT_OPTIONS: &[OptionSpec<Export>] = &[
    OptionSpec {
        key: "path",
        flag: None,
        default: "",
        unit: "",
        meaning: "The path that clients mount. Must be given, once.",
        fits: "an absolute path without \".\", \"..\" or empty parts, such as \"/projects\"",
        reload: Reload::Hot,
        read: |export, value| {
            export.path = value.text().filter(|path| is_mount_path(path))?.to_owned();
            Some(())
        },
        show: |export| format!("{:?}", export.path),
    },
    OptionSpec {
        key: "filesystem",
        flag: None,
        default: "",
        unit: "",
        meaning: "The filesystem behind the path. Must be given.",
        fits: "a name of 1 to 64 letters, digits, \"-\", \"_\" or \".\"",
        reload: Reload::Hot,
        read: |export, value| {
            let name = value.text().filter(|name| is_filesystem_name(name))?;
            export.filesystem = name.to_owned();
            Some(())
        },
        show: |export| format!("{:?}", export.filesystem),
    },
    OptionSpec {
        key: "clients",
        flag: None,
        default: "[\"127.0.0.0/8\", \"::1\"]",
        unit: "",
        meaning: "Who may mount: addresses, networks, or \"*\" for everybody; an empty list is nobody.",
        fits: "a list such as [\"10.0.0.0/8\", \"2001:db8::7\", \"*\"]",
        reload: Reload::Hot,
        read: |export, value| {
            let Value::List(rules) = value else { return None };
            if rules.len() > LIST_MAX {
                return None;
            }
            export.clients =
                rules.iter().map(|rule| rule.parse().ok()).collect::<Option<Vec<ClientRule>>>()?;
            Some(())
        },
        show: |export| {
            let rules: Vec<String> = export.clients.iter().map(|rule| format!("\"{rule}\"")).collect();
            format!("[{}]", rules.join(", "))
        },
    },
    OptionSpec {
        key: "squash",
        flag: None,
        default: "\"root\"",
        unit: "",
        meaning: "Which users become the anonymous one: none, root, or all.",
        fits: "\"none\", \"root\" or \"all\"",
        reload: Reload::Hot,
        read: |export, value| {
            export.squash = value.one_of(&Squash::NAMES)?;
            Some(())
        },
        show: |export| format!("\"{}\"", export.squash),
    },
    OptionSpec {
        key: "anonymous",
        flag: None,
        default: "\"65534:65534\"",
        unit: "",
        meaning: "Who the squashed become: a user and a group, by number.",
        fits: "UID:GID, such as \"1000:100\"",
        reload: Reload::Hot,
        read: |export, value| {
            export.anonymous = value.parse()?;
            Some(())
        },
        show: |export| format!("\"{}\"", export.anonymous),
    },
    OptionSpec {
        key: "access",
        flag: None,
        default: "\"rw\"",
        unit: "",
        meaning: "Whether clients may write: rw or ro.",
        fits: "\"rw\" or \"ro\"",
        reload: Reload::Hot,
        read: |export, value| {
            export.access = value.one_of(&ExportAccess::NAMES)?;
            Some(())
        },
        show: |export| format!("\"{}\"", export.access),
    },
    OptionSpec {
        key: "ports",
        flag: None,
        default: "\"any\"",
        unit: "",
        meaning: "From which ports clients may come: any, or privileged ones (below 1024) only, which takes the \
                  superuser of the client's machine.",
        fits: "\"any\" or \"privileged\"",
        reload: Reload::Hot,
        read: |export, value| {
            export.ports = value.one_of(&ClientPorts::NAMES)?;
            Some(())
        },
        show: |export| format!("\"{}\"", export.ports),
    },
];
