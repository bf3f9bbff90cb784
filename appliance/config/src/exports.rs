//! Exports outside of the configuration file: as a file of their own, and option by option.

use crate::export_option::EXPORT_OPTIONS;
use crate::load::{ConfigError, EXPORTS_MAX, FILE_BYTES_MAX, Source, read_into, value_of};
use crate::value::Value;
use serve::Export;
use std::fmt::Write as _;

/// The only version of the file that there is.
const VERSION: i64 = 1;

/// What somebody has said of an option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Given {
    /// One word.
    Text(String),
    /// Several.
    List(Vec<String>),
}

/// Sets an option of an export, by its name in the configuration.
///
/// # Errors
/// When there is no such option, or the value does not fit; said of the export's path.
pub fn change_export(export: &mut Export, key: &str, given: Given) -> Result<(), ConfigError> {
    let place = export.path.clone();
    let spec = EXPORT_OPTIONS.iter().find(|spec| spec.key == key);
    let spec = spec.ok_or_else(|| ConfigError {
        place: place.clone(),
        problem: format!("there is no option `{key}`"),
    })?;
    let value = match given {
        Given::Text(text) => Value::Text(text),
        Given::List(texts) => Value::List(texts),
    };
    read_into(export, spec, &value, &place)
}

/// Reads what [`write_exports`] has written; `name` is the file's in errors.
///
/// # Errors
/// The first thing that is wrong: another version, too.
pub fn read_exports(name: &str, text: &str) -> Result<Vec<Export>, ConfigError> {
    let source = Source { name, text };
    let table = source.table()?;
    let mut exports = Vec::new();
    let mut version = None;
    for (key, value) in table.get_ref() {
        match (&**key.get_ref(), value_of(value.get_ref())) {
            ("version", Value::Integer(number)) => version = Some(number),
            ("export", _) => exports = source.exports(value.get_ref(), value.span())?,
            (other, _) => return Err(source.error(Some(key.span()), format!("`{other}` is unknown"))),
        }
    }
    match version {
        Some(VERSION) => Ok(exports),
        Some(other) => Err(source.error(None, format!("is of version {other}, not {VERSION}"))),
        None => Err(source.error(None, "says no version".to_owned())),
    }
}

/// Exports as a file: `version`, then an `[[export]]` each, as in a configuration. `None` when they are too many.
#[must_use]
pub fn write_exports(exports: &[Export]) -> Option<String> {
    let mut text = format!("version = {VERSION}\n");
    for export in exports {
        text.push_str("\n[[export]]\n");
        for spec in EXPORT_OPTIONS {
            let _ = writeln!(text, "{} = {}", spec.key, (spec.show)(export));
        }
    }
    (exports.len() <= EXPORTS_MAX && text.len() as u64 <= FILE_BYTES_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serve::{ExportAccess, Squash};

    fn changed() -> Export {
        let mut export = Export::new("/a \u{fc}\"'\\b", "a");
        let list = |texts: &[&str]| Given::List(texts.iter().map(|text| (*text).to_owned()).collect());
        change_export(&mut export, "clients", list(&["*", "10.0.0.0/8", "2001:db8::1"])).unwrap();
        for (key, text) in
            [("squash", "all"), ("access", "ro"), ("anonymous", "7:8"), ("ports", "privileged")]
        {
            change_export(&mut export, key, Given::Text(text.to_owned())).unwrap();
        }
        export
    }

    #[test]
    fn options_are_set_by_their_names_and_what_does_not_fit_changes_nothing() {
        let mut export = changed();
        assert_eq!(
            (export.squash, export.access, export.clients.len()),
            (Squash::All, ExportAccess::ReadOnly, 3)
        );
        for (key, given, said) in [
            ("squash", Given::Text("no".to_owned()), "`squash` is \"no\", but must be"),
            ("clients", Given::List(vec!["host".to_owned()]), "`clients` is a list of 1, but must be"),
            ("clients", Given::Text("*".to_owned()), "`clients` is \"*\", but must be"),
            ("quota", Given::Text("1".to_owned()), "there is no option `quota`"),
        ] {
            let error = change_export(&mut export, key, given).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}: {said}", export.path)), "{error}");
        }
        assert_eq!(export, changed());
    }

    #[test]
    fn what_is_written_is_read_again() {
        for exports in [vec![], vec![changed()], vec![Export::default_filesystem(), Export::new("/p/q", "q")]]
        {
            assert_eq!(read_exports("f", &write_exports(&exports).unwrap()), Ok(exports));
        }
        let many: Vec<_> = (0..=EXPORTS_MAX).map(|n| Export::new(format!("/{n}"), "f")).collect();
        assert_eq!(write_exports(&many), None);
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for (text, said) in [
            ("", "f: says no version"),
            ("version = 2\n", "f: is of version 2, not 1"),
            ("version = \"1\"\n", "f:1: `version` is unknown"),
            ("version = 1\nother = 1\n", "f:2: `other` is unknown"),
            ("version = 1\n[[export]]\npath = \"/a\"\n", "f:2: an [[export]] must have `filesystem`"),
        ] {
            assert_eq!(read_exports("f", text).unwrap_err().to_string(), said);
        }
    }
}
