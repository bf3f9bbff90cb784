//! The targets of bucket notifications, with who vouches for those that are reached by HTTPS.

use config::{Config, Webhook};
use s3::Authorities;
use std::error::Error;

/// All of them.
pub(crate) fn webhooks(config: &Config) -> Result<Vec<s3::Webhook>, Box<dyn Error>> {
    config.s3_webhooks.iter().map(webhook).collect()
}

fn webhook(own: &Webhook) -> Result<s3::Webhook, Box<dyn Error>> {
    let Webhook { name, url, token, ca } = own;
    let failed = |error: &dyn Error| format!("the webhook {name}: {error}");
    let authorities = match (url.scheme_str(), ca) {
        (Some("https"), Some(path)) => {
            let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Some(Authorities::new(&pem).map_err(|error| failed(&error))?)
        }
        (Some("https"), None) => {
            let system = rustls_native_certs::load_native_certs();
            for error in system.errors {
                tracing::warn!(%error, "authorities of the system cannot be read");
            }
            Some(Authorities::of_system(system.certs).map_err(|error| failed(&error))?)
        }
        (_, Some(_)) => return Err(format!("the webhook {name}: `ca` is for an https URL").into()),
        (_, None) => None,
    };
    Ok(s3::Webhook { name: name.clone(), url: url.clone(), authorities, token: token.clone() })
}
