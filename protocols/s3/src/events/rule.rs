//! What a bucket's configuration asks to be told of, and whom.

use super::Kind;
use bytes::Bytes;
use parking_lot::Mutex;
use s3s::dto::{NotificationConfiguration, QueueConfiguration};
use s3s::xml::{Deserialize, Deserializer};
use s3s::{S3Error, S3Result, s3_error};
use std::collections::HashMap;
use std::sync::Arc;

/// Rules of one bucket.
const RULES_MAX: usize = 100;
/// Configurations whose rules are kept in memory, and bytes of each: longer ones are read at each change.
const CACHED_MAX: usize = 256;
const CACHED_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an id, a prefix or a suffix.
const TEXT_BYTES_MAX: usize = 1024;

/// The ARN of a target.
pub(crate) fn arn(name: &str) -> String {
    format!("arn:plexus:sqs::{name}:webhook")
}

/// The name in an ARN. A region in it has to be this one.
fn target_of<'a>(arn: &'a str, region: &str) -> Option<&'a str> {
    let (own, name) = arn.strip_prefix("arn:plexus:sqs:")?.strip_suffix(":webhook")?.split_once(':')?;
    (own.is_empty() || own == region).then_some(name)
}

/// Something that is to be told to a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) target: String,
    kinds: Vec<Kind>,
    prefix: String,
    suffix: String,
}

impl Rule {
    fn of(configuration: &QueueConfiguration, region: &str) -> S3Result<Rule> {
        let target = target_of(&configuration.queue_arn, region).ok_or_else(no_such_target)?;
        let mut kinds = Vec::new();
        for event in &configuration.events {
            let known: Vec<Kind> =
                Kind::OF_OBJECTS.into_iter().filter(|kind| asks(event.as_ref(), *kind)).collect();
            if known.is_empty() {
                return Err(invalid("The event is not supported for notifications"));
            }
            kinds.extend(known);
        }
        if kinds.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        let (mut prefix, mut suffix) = (None, None);
        let filter = configuration.filter.as_ref().and_then(|filter| filter.key.as_ref());
        for rule in filter.and_then(|key| key.filter_rules.as_ref()).into_iter().flatten() {
            let name = rule.name.as_ref().map_or("", |name| name.as_str());
            let value = rule.value.clone().unwrap_or_default();
            let side = match name.to_ascii_lowercase().as_str() {
                "prefix" => &mut prefix,
                "suffix" => &mut suffix,
                _ => return Err(invalid("filter rule name must be either prefix or suffix")),
            };
            if value.len() > TEXT_BYTES_MAX {
                return Err(invalid("filter rule value cannot be longer than 1024"));
            }
            if side.replace(value).is_some() {
                return Err(invalid("Cannot specify more than one prefix or suffix rule in a filter."));
            }
        }
        let id = configuration.id.clone().unwrap_or_default();
        if id.len() > TEXT_BYTES_MAX {
            return Err(invalid("An id is longer than 1024 bytes."));
        }
        let (prefix, suffix) = (prefix.unwrap_or_default(), suffix.unwrap_or_default());
        Ok(Rule { id, target: target.to_owned(), kinds, prefix, suffix })
    }

    /// Whether a change is to be told.
    pub(crate) fn asks_for(&self, kind: Kind, key: &str) -> bool {
        self.kinds.contains(&kind) && key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }

    /// Whether there can be a change that both are to tell.
    fn overlaps(&self, other: &Rule) -> bool {
        let either = |a: &str, b: &str, within: fn(&str, &str) -> bool| within(a, b) || within(b, a);
        self.kinds.iter().any(|kind| other.kinds.contains(kind))
            && either(&self.prefix, &other.prefix, |a, b| a.starts_with(b))
            && either(&self.suffix, &other.suffix, |a, b| a.ends_with(b))
    }
}

/// Whether the name of an event in a rule means this one too.
fn asks(event: &str, kind: Kind) -> bool {
    let Some(name) = event.strip_prefix("s3:") else { return false };
    match name.strip_suffix('*') {
        Some(all) => all.ends_with(':') && kind.name().starts_with(all),
        None => name == kind.name(),
    }
}

fn invalid(message: &'static str) -> S3Error {
    s3_error!(InvalidArgument, "{}", message)
}

fn no_such_target() -> S3Error {
    invalid("Unable to validate the following destination configurations")
}

/// The rules of a configuration.
///
/// # Errors
/// `InvalidArgument` where AWS has it; `NotImplemented` for targets of other kinds.
pub(crate) fn known(
    configuration: &NotificationConfiguration,
    region: &str,
    is_there: impl Fn(&str) -> bool,
) -> S3Result<Vec<Rule>> {
    if configuration.event_bridge_configuration.is_some() {
        return Err(s3_error!(NotImplemented, "There is no EventBridge here."));
    }
    let topics = configuration.topic_configurations.as_ref().is_some_and(|all| !all.is_empty());
    let functions = configuration.lambda_function_configurations.as_ref().is_some_and(|all| !all.is_empty());
    if topics || functions {
        return Err(no_such_target());
    }
    let all = configuration.queue_configurations.as_deref().unwrap_or_default();
    if all.len() > RULES_MAX {
        return Err(invalid("There are over 100 configurations."));
    }
    let mut rules: Vec<Rule> = Vec::new();
    for own in all {
        let rule = Rule::of(own, region)?;
        if !is_there(&rule.target) {
            return Err(no_such_target());
        }
        if rules.iter().any(|other| other.overlaps(&rule)) {
            return Err(invalid(
                "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
            ));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// Rules that were read lately, by the configurations that they are of: what was read of one stays good.
#[derive(Default)]
pub(crate) struct RulesRead(Mutex<HashMap<Bytes, Arc<[Rule]>>>);

impl RulesRead {
    /// The rules of a bucket's configuration. Those whose target is not there any more stay, and tell nobody.
    pub(crate) fn of(&self, bytes: &Bytes, region: &str) -> Arc<[Rule]> {
        if let Some(rules) = self.0.lock().get(bytes) {
            return rules.clone();
        }
        let rules: Arc<[Rule]> = read(bytes, region).into();
        if bytes.len() <= CACHED_BYTES_MAX {
            let mut cached = self.0.lock();
            if cached.len() >= CACHED_MAX {
                cached.clear();
            }
            // Copied, as what it is a part of may be larger.
            cached.insert(Bytes::copy_from_slice(bytes), rules.clone());
        }
        rules
    }
}

fn read(bytes: &[u8], region: &str) -> Vec<Rule> {
    let Ok(configuration) = NotificationConfiguration::deserialize(&mut Deserializer::new(bytes)) else {
        tracing::error!("the notifications of a bucket cannot be read; nobody is told");
        return Vec::new();
    };
    known(&configuration, region, |_| true).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3s::dto::{Event, FilterRule, FilterRuleName, NotificationConfigurationFilter, S3KeyFilter};

    fn queue(target: &str, events: &[&'static str], filter: &[(&'static str, &str)]) -> QueueConfiguration {
        let rule = |(name, value): &(&'static str, &str)| FilterRule {
            name: Some(FilterRuleName::from_static(name)),
            value: Some((*value).to_owned()),
        };
        let filter_rules = Some(filter.iter().map(rule).collect());
        QueueConfiguration {
            events: events.iter().map(|event| Event::from((*event).to_owned())).collect(),
            filter: Some(NotificationConfigurationFilter { key: Some(S3KeyFilter { filter_rules }) }),
            id: Some("id".into()),
            queue_arn: target.to_owned(),
        }
    }

    fn read(queues: Vec<QueueConfiguration>) -> Result<Vec<Rule>, String> {
        let configuration = NotificationConfiguration {
            queue_configurations: Some(queues),
            ..NotificationConfiguration::default()
        };
        known(&configuration, "here", |name| name == "a").map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn rules_ask_for_kinds_prefixes_and_suffixes() {
        let all = ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"];
        let rules = read(vec![queue(&arn("a"), &all, &[("Prefix", "in/"), ("suffix", ".jpg")])]).unwrap();
        let asks = |kind, key| rules[0].asks_for(kind, key);
        assert!(
            asks(Kind::Put, "in/x.jpg") && asks(Kind::Complete, "in/.jpg") && asks(Kind::Delete, "in/.jpg")
        );
        assert!(
            !asks(Kind::DeleteMarker, "in/x.jpg")
                && !asks(Kind::Put, "x.jpg")
                && !asks(Kind::Put, "in/x.png")
        );
        assert!(read(vec![queue("arn:plexus:sqs:here:a:webhook", &all, &[])]).is_ok());
    }

    #[test]
    fn what_was_read_once_is_not_read_again() {
        let document = |prefix: usize| -> Bytes {
            format!(
                "<NotificationConfiguration><QueueConfiguration><Queue>{}</Queue>\
                 <Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name>\
                 <Value>{prefix}/</Value></FilterRule></S3Key></Filter></QueueConfiguration></NotificationConfiguration>",
                arn("a")
            )
            .into()
        };
        let read = RulesRead::default();
        let first = read.of(&document(1), "here");
        assert!(first[0].asks_for(Kind::Put, "1/a") && !first[0].asks_for(Kind::Put, "2/a"));
        assert!(Arc::ptr_eq(&first, &read.of(&document(1), "here")));
        for number in 2..1000 {
            assert!(read.of(&document(number), "here")[0].asks_for(Kind::Put, &format!("{number}/a")));
            assert!(read.0.lock().len() <= CACHED_MAX);
        }
        let long = Bytes::from([document(1).to_vec(), vec![b' '; CACHED_BYTES_MAX]].concat());
        assert_eq!(read.of(&long, "here"), first);
        assert!(read.0.lock().keys().all(|kept| kept.len() <= CACHED_BYTES_MAX));
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let all = ["s3:ObjectCreated:*"];
        let invalid = Err("InvalidArgument".to_owned());
        for queue in [
            queue(&arn("b"), &all, &[]),
            queue("arn:plexus:sqs:there:a:webhook", &all, &[]),
            queue("arn:aws:sqs:here:1234:a", &all, &[]),
            queue(&arn("a"), &["s3:ObjectRestore:*"], &[]),
            queue(&arn("a"), &["s3:*"], &[]),
            queue(&arn("a"), &["s3:ObjectCreated"], &[]),
            queue(&arn("a"), &all, &[("prefix", "a"), ("Prefix", "b")]),
            queue(&arn("a"), &all, &[("infix", "a")]),
        ] {
            assert_eq!(read(vec![queue.clone()]), invalid, "{queue:?}");
        }
        let put = ["s3:ObjectCreated:Put"];
        let two = |a: &[(&'static str, &str)], b: &[(&'static str, &str)]| {
            read(vec![queue(&arn("a"), &all, a), queue(&arn("a"), &put, b)]).map(|rules| rules.len())
        };
        assert_eq!(two(&[("prefix", "a/")], &[("prefix", "a/b")]), Err("InvalidArgument".to_owned()));
        assert_eq!(two(&[("prefix", "a")], &[("suffix", "b")]), Err("InvalidArgument".to_owned()));
        assert_eq!(two(&[("prefix", "a")], &[("prefix", "b")]), Ok(2));
        assert_eq!(two(&[("suffix", "a")], &[("suffix", "b")]), Ok(2));
    }
}
