//! Where events of S3 can be sent to: `[[s3.webhook]]`.

use crate::fits::is_webhook_name;
use crate::load::{ConfigError, Entries, Source};
use crate::option::{OptionSpec, Reload};
use http::Uri;
use std::ops::Range;
use std::path::PathBuf;
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
    /// The authorities of its certificate, in PEM; those of the system where none is given.
    pub ca: Option<PathBuf>,
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
        fits: "a URL such as \"http://127.0.0.1:8080/events\" or \"https://example.com/events\"",
        reload: Reload::Cold,
        read: |webhook, value| {
            let url: Uri = value.parse()?;
            let web = matches!(url.scheme_str(), Some("http" | "https"));
            let somewhere = url.host().is_some_and(|host| !host.is_empty());
            webhook.url = Some(url).filter(|_| web && somewhere)?;
            Some(())
        },
        show: |webhook| format!("\"{}\"", webhook.url),
    },
    OptionSpec {
        key: "ca",
        flag: None,
        default: "\"\"",
        unit: "",
        meaning: "The authorities that can vouch for an https server, in PEM; those that the machine trusts when it is empty.",
        fits: "a path",
        reload: Reload::Cold,
        read: |webhook, value| {
            webhook.ca = Some(value.text()?).filter(|path| !path.is_empty()).map(PathBuf::from);
            Some(())
        },
        show: |webhook| match &webhook.ca {
            Some(path) => format!("{path:?}"),
            None => "\"\"".to_owned(),
        },
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
        let list = Entries {
            name: "s3.webhook",
            most: WEBHOOKS_MAX,
            options: WEBHOOK_OPTIONS,
            begun: Webhook::default,
            given: |webhook| [("name", !webhook.name.is_empty()), ("url", webhook.url.host().is_some())],
            same: |a, b| (a.name == b.name).then(|| format!("there are two webhooks named {}", b.name)),
        };
        self.entries(&list, value, span)
    }
}
