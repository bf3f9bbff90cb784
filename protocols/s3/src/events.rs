//! Bucket notifications: who asked to hear of a change is told of it by a webhook, off the way of requests.
//!
//! An event is kept in the filesystem before its change is acknowledged, and removed when its target has taken it: a
//! restart loses none, and may tell one twice.

mod deliver;
mod queue;
mod record;
mod rule;

use crate::tls::Authorities;
pub(crate) use deliver::run;
pub(crate) use queue::Events;
pub(crate) use record::{Kind, Told};
pub(crate) use rule::{Rule, arn, known};

/// Where events can be sent to.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name, in ARNs: `arn:plexus:sqs::NAME:webhook`.
    pub name: String,
    /// Where events are posted, by HTTP or HTTPS.
    pub url: http::Uri,
    /// Who has to vouch for it, where it is reached by HTTPS.
    pub authorities: Option<Authorities>,
    /// Sent along as `Authorization: Bearer`; empty: nothing is.
    pub token: String,
}

/// How a target is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookState {
    /// Its name.
    pub name: String,
    /// Events that it has not taken yet.
    pub waiting: u64,
    /// Events that it has taken since the start.
    pub delivered: u64,
    /// Attempts that failed since the start.
    pub failed: u64,
    /// Events that were given up since the start, as too many were waiting or they could not be kept.
    pub dropped: u64,
}
