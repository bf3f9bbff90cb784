//! The options as text: what is in force, and the reference page.

use crate::Config;
use crate::export_option::EXPORT_OPTIONS;
use crate::option::{OPTIONS, OptionSpec};
use crate::webhooks::WEBHOOK_OPTIONS;
use std::fmt::Write as _;

/// What is in force, as a configuration file that would say the same, each option with its meaning.
#[must_use]
pub fn describe(config: &Config) -> String {
    let mut text = String::new();
    let mut group = "";
    for spec in OPTIONS {
        let (of, key) = spec.key.split_once('.').unwrap_or(("", spec.key));
        if of != group {
            group = of;
            let _ = writeln!(text, "[{group}]\n");
        }
        let _ = writeln!(text, "# {}", spec.meaning);
        let _ = writeln!(text, "# {}", details(spec));
        let _ = writeln!(text, "{key} = {}\n", (spec.show)(config));
    }
    each(&mut text, "s3.webhook", WEBHOOK_OPTIONS, &config.s3_webhooks);
    each(&mut text, "export", EXPORT_OPTIONS, &config.exports);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Tables of one name, the first with the meaning of its options.
fn each<T>(text: &mut String, name: &str, specs: &[OptionSpec<T>], all: &[T]) {
    for (at, one) in all.iter().enumerate() {
        let _ = writeln!(text, "[[{name}]]");
        for spec in specs {
            if at == 0 {
                let _ = writeln!(text, "# {}", spec.meaning);
                let _ = writeln!(text, "# {}", details(spec));
            }
            let _ = writeln!(text, "{} = {}", spec.key, (spec.show)(one));
        }
        text.push('\n');
    }
}

fn details<T>(spec: &OptionSpec<T>) -> String {
    let mut text = match spec.default {
        "" => "No default".to_owned(),
        default => format!("Default {default}"),
    };
    if !spec.unit.is_empty() {
        let _ = write!(text, ", in {}", spec.unit);
    }
    if let Some(flag) = spec.flag {
        let _ = write!(text, ", also --{flag}");
    }
    let _ = write!(text, "; takes effect at: {}.", spec.reload.meaning());
    text
}

/// The reference page in Markdown, `docs/reference/config.md`.
#[must_use]
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Written by `cargo test -p config`, which fails when this page and the program differ\n\
         (`PLEXUS_WRITE_REFERENCE=1 cargo test -p config` writes it anew).\n\n\
         `plexusd --config FILE` reads TOML; flags on the command line win over the file. `plexusd config`\n\
         prints what is in force, as a file. What is unknown or does not fit ends the daemon with status 2\n\
         and one line that names the file, the line and what fits.\n\n",
    );
    table(&mut page, OPTIONS);
    page.push_str(
        "\n## Webhooks\n\n\
         Each `[[s3.webhook]]` is a target of bucket notifications ([S3](s3.md#notifications)).\n\n",
    );
    table(&mut page, WEBHOOK_OPTIONS);
    page.push_str(
        "\n## Exports\n\n\
         Each `[[export]]` is a path that NFS clients may mount. Without one for `/default`, the filesystem\n\
         `default` is exported there to this machine, nobody squashed.\n\n\
         `plexus export set PATH` adds or changes an export of the running daemon. It is kept in the data folder\n\
         (`exports`) and takes effect at once. Where both name a path, what was set counts, over restarts and SIGHUP\n\
         too, until `plexus export remove PATH` takes it away; then the configuration file counts again.\n\
         `plexus export list` says which of the two each export is from. An export is never inside another one.\n\n",
    );
    table(&mut page, EXPORT_OPTIONS);
    page
}

fn table<T>(page: &mut String, specs: &[OptionSpec<T>]) {
    page.push_str("| option | flag | default | unit | what it is | must be | a change needs |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for spec in specs {
        let flag = spec.flag.map(|flag| format!("`--{flag}`")).unwrap_or_default();
        let default = if spec.default.is_empty() { String::new() } else { format!("`{}`", spec.default) };
        let _ = writeln!(
            page,
            "| `{}` | {flag} | {default} | {} | {} | {} | {} |",
            spec.key,
            spec.unit,
            spec.meaning,
            spec.fits,
            spec.reload.meaning()
        );
    }
}
