//! Where events of S3 can be sent to: `[[s3.webhook]]`.

use crate::fits::is_webhook_name;
use crate::load::{ConfigError, Source, read_into, value_of};
use crate::option::{OptionSpec, Reload};
use http::Uri;
use std::ops::Range;
use toml::de::DeValue;

/// Targets of one daemon.
const WEBHOOKS_MAX: usize = 64;

/// A target of bucket notifications.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Webhook {
    /// Its name in ARNs.
    pub name: String,
    /// Where events are posted.
    pub url: Uri,
    /// Sent along as a bearer's token, unless it is empty.
    pub token: String,
}

/// All options of one `[[s3.webhook]]`, in the order of the reference page.
pub const WEBHOOK_OPTIONS: &[OptionSpec<Webhook>] = &[
    OptionSpec {
        key: "name",
        flag: None,
        default: "",
        unit: "",
        meaning: "The name of the target: buckets name it as arn:plexus:sqs::NAME:webhook. Must be given, once.",
        fits: "1 to 64 letters, digits, \"-\" or \"_\"",
        reload: Reload::Cold,
        read: |webhook, value| {
            webhook.name = value.text().filter(|name| is_webhook_name(name))?.to_owned();
            Some(())
        },
        show: |webhook| format!("{:?}", webhook.name),
    },
    OptionSpec {
        key: "url",
        flag: None,
        default: "",
        unit: "",
        meaning: "Where events are posted, one in each request. Must be given.",
        fits: "a URL such as \"http://127.0.0.1:8080/events\"",
        reload: Reload::Cold,
        read: |webhook, value| {
            let url: Uri = value.parse()?;
            let plain = url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty());
            webhook.url = Some(url).filter(|_| plain)?;
            Some(())
        },
        show: |webhook| format!("\"{}\"", webhook.url),
    },
    OptionSpec {
        key: "token",
        flag: None,
        default: "\"\"",
        unit: "",
        meaning: "Sent along as \"Authorization: Bearer TOKEN\"; nothing is when it is empty.",
        fits: "up to 1024 visible characters of ASCII",
        reload: Reload::Cold,
        read: |webhook, value| {
            let fits = |text: &&str| text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic());
            webhook.token = value.text().filter(fits)?.to_owned();
            Some(())
        },
        show: |webhook| format!("{:?}", webhook.token),
    },
];

impl Source<'_> {
    pub(crate) fn webhooks(
        &self,
        value: &DeValue<'_>,
        span: Range<usize>,
    ) -> Result<Vec<Webhook>, ConfigError> {
        let form = |span| self.error(Some(span), "`webhook` must be written as [[s3.webhook]]".to_owned());
        let DeValue::Array(entries) = value else { return Err(form(span)) };
        if entries.len() > WEBHOOKS_MAX {
            return Err(self.error(Some(span), format!("there are over {WEBHOOKS_MAX} webhooks")));
        }
        let mut webhooks: Vec<Webhook> = Vec::new();
        for entry in entries {
            let DeValue::Table(table) = entry.get_ref() else { return Err(form(entry.span())) };
            let mut webhook = Webhook::default();
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_by_key(|(key, _)| key.span().start);
            for (key, value) in keys {
                let spec = self.spec_of(WEBHOOK_OPTIONS, key.get_ref(), key.span())?;
                let place = self.place(Some(key.span()));
                read_into(&mut webhook, spec, &value_of(value.get_ref()), &place)?;
            }
            for (key, given) in [("name", !webhook.name.is_empty()), ("url", webhook.url.host().is_some())] {
                if !given {
                    let problem = format!("an [[s3.webhook]] must have `{key}`");
                    return Err(self.error(Some(entry.span()), problem));
                }
            }
            if webhooks.iter().any(|other| other.name == webhook.name) {
                let problem = format!("there are two webhooks named {}", webhook.name);
                return Err(self.error(Some(entry.span()), problem));
            }
            webhooks.push(webhook);
        }
        Ok(webhooks)
    }
}
