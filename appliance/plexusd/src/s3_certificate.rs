//! The certificate of HTTPS: one that was given, or the cluster's own, which it signs itself.

use config::{Config, Overrides};
use s3::Certificates;
use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The cluster's own, in the data folder; for clients that are to trust it.
const CERTIFICATE: &str = "s3-certificate.pem";
/// Its key, which only the daemon reads.
const KEY: &str = "s3-certificate-key.pem";

/// What connections are met with.
#[derive(Clone)]
pub(crate) struct S3Certificate {
    pub(crate) in_force: Certificates,
}

impl S3Certificate {
    /// What the configuration says; the cluster's own is made when it is not there.
    pub(crate) fn read(config: &Config) -> Result<S3Certificate, Box<dyn Error>> {
        let (chain, key) = files(config)?;
        let in_force =
            Certificates::new(&chain, &key).map_err(|error| format!("the certificate of S3: {error}"))?;
        Ok(S3Certificate { in_force })
    }

    /// Reads it again; what is wrong is logged, and the former stays.
    pub(crate) fn look_again(&self, file: Option<&Path>, overrides: &Overrides) {
        let read = || -> Result<(), Box<dyn Error>> {
            let config = Config::load(file, overrides)?;
            let (chain, key) = files(&config)?;
            Ok(self.in_force.replace(&chain, &key)?)
        };
        match read() {
            Ok(()) => tracing::info!("the certificate of S3 was read again"),
            Err(error) => tracing::error!(%error, "the certificate of S3 stays as it was"),
        }
    }
}

/// Chain and key, both in PEM.
fn files(config: &Config) -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    if let (Some(chain), Some(key)) = (&config.s3_tls_certificate, &config.s3_tls_key) {
        return Ok((read(chain)?, read(key)?));
    }
    let (chain, key) = (config.data.join(CERTIFICATE), config.data.join(KEY));
    match std::fs::metadata(&chain) {
        Ok(_) => Ok((read(&chain)?, read(&key)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => make(config, &chain, &key),
        Err(error) => Err(format!("{}: {error}", chain.display()).into()),
    }
}

/// A certificate for the names and addresses that the head is called by.
fn make(config: &Config, chain: &Path, key: &Path) -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if let Some(host) = rustix::system::uname().nodename().to_str().ok().filter(|host| !host.is_empty()) {
        names.push(host.to_owned());
    }
    let listens = config.s3_tls_listen.map(|address| address.ip()).filter(|ip| !ip.is_unspecified());
    names.extend(listens.map(|ip| ip.to_string()));
    for domain in &config.s3_domains {
        names.extend([domain.clone(), format!("*.{domain}")]);
    }
    names.sort();
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names)?;
    let (chain_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
    // The certificate comes last: where it is, its key is.
    env::durable::replace_secret(key, key_pem.as_bytes())?;
    env::durable::replace(chain, chain_pem.as_bytes())?;
    Ok((chain_pem.into_bytes(), key_pem.into_bytes()))
}
