//! HTTPS: the certificate that connections are met with, which may change while there are some, and the authorities that
//! vouch for webhooks.

use parking_lot::RwLock;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is no PEM, or has not what it is to have.
    #[error("{0}")]
    Pem(#[from] PemError),
    /// Certificate and key do not belong together, or cannot be used.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    /// There is no authority that could vouch for anybody.
    #[error("it has no certificate of an authority")]
    Nobody,
}

/// Authorities, one of which has to vouch for a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<ClientConfig>);

impl Authorities {
    /// Those whose certificates are in a PEM.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn new(pem: &[u8]) -> Result<Authorities, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate?)?;
        }
        Authorities::of(roots)
    }

    /// Those of these certificates that are fit to be; systems have old ones, too.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn of_system(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Authorities, CertificateError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        Authorities::of(roots)
    }

    fn of(roots: RootCertStore) -> Result<Authorities, CertificateError> {
        if roots.is_empty() {
            return Err(CertificateError::Nobody);
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Authorities(Arc::new(config)))
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.0.clone())
    }
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
