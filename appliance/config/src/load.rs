//! From a file and the command line to a valid configuration, or to one line that says what is wrong.

use crate::export_option::EXPORT_OPTIONS;
use crate::option::{OPTIONS, OptionSpec};
use crate::value::Value;
use crate::{Config, Protection};
use serve::Export;
use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configuration file of more bytes than this is refused.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;
pub(crate) const EXPORTS_MAX: usize = 4096;

/// What is wrong, where, and what fits: one line. The daemon ends with status 2.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// `file:line` or the flag.
    pub place: String,
    /// What is wrong and what fits.
    pub problem: String,
}

/// What the command line says: pairs of a flag of [`OptionSpec::flag`] (without dashes) and its text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides(pub Vec<(&'static str, String)>);

impl Config {
    /// The defaults, then the file, then the command line.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
        let Some(path) = file else { return Config::from_text("", "", overrides) };
        let name = path.display().to_string();
        let failed = |problem: String| ConfigError { place: name.clone(), problem };
        let file = std::fs::File::open(path).map_err(|err| failed(format!("cannot be read: {err}")))?;
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(|err| failed(format!("cannot be read: {err}")))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(failed("is over 1 MiB, too large for a configuration".to_owned()));
        }
        Config::from_text(&name, &text, overrides)
    }

    /// As [`Config::load`], with the text of a file that is called `name` in errors.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_text(name: &str, text: &str, overrides: &Overrides) -> Result<Config, ConfigError> {
        let source = Source { name, text };
        let table = source.table()?;
        let mut config = Config::default();
        let mut given: BTreeSet<&'static str> = BTreeSet::new();
        let mut place_of_scheme = name.to_owned();
        for (key, value, span) in source.options(table.get_ref())? {
            let spec = source.spec_of(OPTIONS, &key, span.clone())?;
            read_into(&mut config, spec, &value, &source.place(Some(span.clone())))?;
            given.insert(spec.key);
            if spec.key == "protection" || spec.key == "drives" {
                place_of_scheme = source.place(Some(span));
            }
        }
        if let Some(exports) = table.get_ref().get("export") {
            config.exports = with_default(source.exports(exports.get_ref(), exports.span())?);
        }
        let s3 = table.get_ref().get("s3").and_then(|s3| s3.get_ref().as_table());
        if let Some(webhooks) = s3.and_then(|s3| s3.get("webhook")) {
            config.s3_webhooks = source.webhooks(webhooks.get_ref(), webhooks.span())?;
        }
        for (flag, text) in &overrides.0 {
            let place = format!("--{flag}");
            let spec = OPTIONS.iter().find(|spec| spec.flag == Some(flag));
            let spec = spec.ok_or_else(|| ConfigError {
                place: place.clone(),
                problem: "there is no such option".to_owned(),
            })?;
            read_into(&mut config, spec, &Value::Flag(text.clone()), &place)?;
            if spec.key == "protection" || spec.key == "drives" {
                place_of_scheme = place;
            }
        }
        if given.contains("nfs.lease") && !given.contains("nfs.grace") {
            config.nfs_grace = config.nfs_lease;
        }
        config.check(&source, &place_of_scheme)?;
        Ok(config)
    }

    /// What no option can say alone.
    fn check(&self, source: &Source<'_>, place_of_scheme: &str) -> Result<(), ConfigError> {
        if self.protection.domains_min() > self.drives {
            let fits: Vec<String> =
                Protection::fitting(self.drives).iter().map(ToString::to_string).collect();
            return Err(ConfigError {
                place: place_of_scheme.to_owned(),
                problem: format!(
                    "protection {} needs {} drives, and `drives` is {}; with {} fit at most: {}",
                    self.protection,
                    self.protection.domains_min(),
                    self.drives,
                    self.drives,
                    fits.join(", "),
                ),
            });
        }
        if self.nfs_grace < self.nfs_lease {
            return Err(source.error(
                None,
                format!(
                    "`nfs.grace` is {} and must not be less than `nfs.lease`, which is {} (seconds)",
                    self.nfs_grace.as_secs(),
                    self.nfs_lease.as_secs()
                ),
            ));
        }
        if self.nfs_listen == self.admin_listen && self.nfs_listen.port() != 0 {
            return Err(source.error(
                None,
                format!("`nfs.listen` and `admin.listen` are both {}; they must differ", self.nfs_listen),
            ));
        }
        if self.s3_tls_certificate.is_some() != self.s3_tls_key.is_some() {
            let problem = "`s3.tls_certificate` and `s3.tls_key` must be given together";
            return Err(source.error(None, problem.to_owned()));
        }
        if self.s3_tls_listen.is_some_and(|address| address.port() != 0 && Some(address) == self.s3_listen) {
            let problem = "`s3.listen` and `s3.tls_listen` are the same; they must differ";
            return Err(source.error(None, problem.to_owned()));
        }
        let others = [("nfs.listen", self.nfs_listen), ("admin.listen", self.admin_listen)];
        for (key, other) in others {
            if self.s3_listen == Some(other) && other.port() != 0 {
                let problem = format!("`s3.listen` and `{key}` are both {other}; they must differ");
                return Err(source.error(None, problem));
            }
        }
        if self.memory_dirty > self.memory_cache {
            return Err(source.error(
                None,
                format!(
                    "`memory.dirty` is {} and must not be more than `memory.cache`, which is {}",
                    self.memory_dirty, self.memory_cache
                ),
            ));
        }
        Ok(())
    }
}

/// The filesystem `default` is exported to this machine unless something else is said of its path.
fn with_default(mut exports: Vec<Export>) -> Vec<Export> {
    let default = Export::default_filesystem();
    if !exports.iter().any(|export| export.path == default.path) {
        exports.insert(0, default);
    }
    exports
}

pub(crate) fn read_into<T>(
    target: &mut T,
    spec: &OptionSpec<T>,
    value: &Value,
    place: &str,
) -> Result<(), ConfigError> {
    (spec.read)(target, value).ok_or_else(|| {
        let unit = if spec.unit.is_empty() { String::new() } else { format!(" ({})", spec.unit) };
        ConfigError {
            place: place.to_owned(),
            problem: format!("`{}` is {value}, but must be {}{unit}", spec.key, spec.fits),
        }
    })
}

/// A list of tables, each with options of its own.
pub(crate) struct Entries<T: 'static> {
    /// Its name in the file; of more than one of them, an `s` follows.
    pub(crate) name: &'static str,
    pub(crate) most: usize,
    pub(crate) options: &'static [OptionSpec<T>],
    /// One of which nothing is said yet.
    pub(crate) begun: fn() -> T,
    /// Options that must be given, and whether they are.
    pub(crate) given: fn(&T) -> [(&'static str, bool); 2],
    /// What is wrong with two that may not both be there.
    pub(crate) same: fn(&T, &T) -> Option<String>,
}

/// A file's name and text, for places.
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Source<'a> {
    pub(crate) fn table(&self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(self.text).map_err(|err| {
            let message: String = err.message().split_whitespace().collect::<Vec<_>>().join(" ");
            self.error(err.span(), format!("is not TOML here: {message}"))
        })
    }

    pub(crate) fn place(&self, span: Option<Range<usize>>) -> String {
        match (span, self.name) {
            (_, "") => "configuration".to_owned(),
            (None, name) => name.to_owned(),
            (Some(span), name) => {
                let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
                format!("{name}:{}", before.iter().filter(|byte| **byte == b'\n').count() + 1)
            }
        }
    }

    pub(crate) fn error(&self, span: Option<Range<usize>>, problem: String) -> ConfigError {
        ConfigError { place: self.place(span), problem }
    }

    /// All keys of the file but `export` and `s3.webhook`, with the table before the dot, in the order of the file.
    fn options(&self, table: &DeTable<'_>) -> Result<Vec<(String, Value, Range<usize>)>, ConfigError> {
        let mut found = Vec::new();
        for (key, value) in table {
            if key.get_ref() == "export" {
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) => {
                    let group = format!("{}.", key.get_ref());
                    if !OPTIONS.iter().any(|spec| spec.key.starts_with(&group)) {
                        return Err(self.unknown(OPTIONS, key.get_ref(), key.span()));
                    }
                    for (inner_key, inner_value) in inner {
                        if group == "s3." && inner_key.get_ref() == "webhook" {
                            continue;
                        }
                        let name = format!("{group}{}", inner_key.get_ref());
                        found.push((name, value_of(inner_value.get_ref()), inner_key.span()));
                    }
                }
                other => found.push((key.get_ref().to_string(), value_of(other), key.span())),
            }
        }
        found.sort_by_key(|(_, _, span)| span.start);
        Ok(found)
    }

    pub(crate) fn spec_of<T>(
        &self,
        specs: &'static [OptionSpec<T>],
        key: &str,
        span: Range<usize>,
    ) -> Result<&'static OptionSpec<T>, ConfigError> {
        specs.iter().find(|spec| spec.key == key).ok_or_else(|| self.unknown(specs, key, span))
    }

    fn unknown<T>(&self, specs: &[OptionSpec<T>], key: &str, span: Range<usize>) -> ConfigError {
        let group = key.split_once('.').map_or("", |(group, _)| group);
        let all: Vec<&str> = specs.iter().map(|spec| spec.key).collect();
        let near: Vec<&str> = all
            .iter()
            .copied()
            .filter(|name| !group.is_empty() && name.split_once('.').is_some_and(|(of, _)| of == group))
            .collect();
        let names = if near.is_empty() { all } else { near };
        self.error(Some(span), format!("there is no option `{key}`; there are {}", names.join(", ")))
    }

    pub(crate) fn exports(
        &self,
        value: &DeValue<'_>,
        span: Range<usize>,
    ) -> Result<Vec<Export>, ConfigError> {
        let list = Entries {
            name: "export",
            most: EXPORTS_MAX,
            options: EXPORT_OPTIONS,
            begun: || Export::new("", ""),
            given: |export| {
                [("path", !export.path.is_empty()), ("filesystem", !export.filesystem.is_empty())]
            },
            same: |a, b| (a.path == b.path).then(|| format!("{} is exported twice", b.path)),
        };
        self.entries(&list, value, span)
    }

    /// The entries of a list, with what is wrong with the first that is.
    pub(crate) fn entries<T>(
        &self,
        list: &Entries<T>,
        value: &DeValue<'_>,
        span: Range<usize>,
    ) -> Result<Vec<T>, ConfigError> {
        let Entries { name, most, .. } = list;
        let own = name.rsplit('.').next().unwrap_or(name);
        let form = |span| self.error(Some(span), format!("`{own}` must be written as [[{name}]]"));
        let DeValue::Array(entries) = value else { return Err(form(span)) };
        if entries.len() > *most {
            return Err(self.error(Some(span), format!("there are over {most} {own}s")));
        }
        let mut read: Vec<T> = Vec::new();
        for entry in entries {
            let DeValue::Table(table) = entry.get_ref() else { return Err(form(entry.span())) };
            let wrong = |problem| Err(self.error(Some(entry.span()), problem));
            let mut new = (list.begun)();
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_by_key(|(key, _)| key.span().start);
            for (key, value) in keys {
                let spec = self.spec_of(list.options, key.get_ref(), key.span())?;
                read_into(&mut new, spec, &value_of(value.get_ref()), &self.place(Some(key.span())))?;
            }
            if let Some((key, _)) = (list.given)(&new).into_iter().find(|(_, given)| !given) {
                return wrong(format!("an [[{name}]] must have `{key}`"));
            }
            if let Some(problem) = read.iter().find_map(|other| (list.same)(other, &new)) {
                return wrong(problem);
            }
            read.push(new);
        }
        Ok(read)
    }
}

pub(crate) fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("number beyond 64 bits"),
        },
        DeValue::Array(entries) => {
            let texts: Option<Vec<String>> =
                entries.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect();
            texts.map_or(Value::Other("list of other things than texts"), Value::List)
        }
        other => Value::Other(other.type_str()),
    }
}
