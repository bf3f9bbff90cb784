//! HTTPS: the certificate that connections are met with, which may change while there are some.

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is no PEM, or has not what it is to have.
    #[error("{0}")]
    Pem(#[from] PemError),
    /// Certificate and key do not belong together, or cannot be used.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate with its chain and its key. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Certificates(Arc<RwLock<Arc<ServerConfig>>>);

impl Certificates {
    /// Of a chain of certificates and a private key, both in PEM.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Certificates, CertificateError> {
        Ok(Certificates(Arc::new(RwLock::new(read(chain, key)?))))
    }

    /// Others from now on, for new connections.
    ///
    /// # Errors
    /// See [`CertificateError`]; then it stays as it was.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), CertificateError> {
        *self.0.write() = read(chain, key)?;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.read().clone())
    }
}

fn read(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}
