//! The targets of bucket notifications, with who vouches for those that are reached by HTTPS.

use config::{Config, Webhook};
use s3::{Authorities, CertificateError};
use std::cell::LazyCell;
use std::error::Error;

/// Those that the machine trusts, read for whoever needs them first.
type System = LazyCell<Result<Authorities, CertificateError>>;

/// All of them.
pub(crate) fn webhooks(config: &Config) -> Result<Vec<s3::Webhook>, Box<dyn Error>> {
    let system = System::new(of_system);
    config.s3_webhooks.iter().map(|own| webhook(own, &system)).collect()
}

fn of_system() -> Result<Authorities, CertificateError> {
    let system = rustls_native_certs::load_native_certs();
    for error in system.errors {
        tracing::warn!(%error, "authorities of the system cannot be read");
    }
    Authorities::of_system(system.certs)
}

fn webhook(own: &Webhook, system: &System) -> Result<s3::Webhook, Box<dyn Error>> {
    let Webhook { name, url, token, ca } = own;
    let failed = |error: &dyn Error| format!("the webhook {name}: {error}");
    let authorities = match (url.scheme_str(), ca) {
        (Some("https"), Some(path)) => {
            let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Some(Authorities::new(&pem).map_err(|error| failed(&error))?)
        }
        (Some("https"), None) => Some(system.as_ref().map_err(|error| failed(error))?.clone()),
        (_, Some(_)) => return Err(format!("the webhook {name}: `ca` is for an https URL").into()),
        (_, None) => None,
    };
    Ok(s3::Webhook { name: name.clone(), url: url.clone(), authorities, token: token.clone() })
}
