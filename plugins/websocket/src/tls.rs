//! Certificate and key from files.

use std::path::Path;
use std::sync::Arc;

use plugin_api::StageError;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// What speaks TLS for the server.
///
/// # Errors
/// A file cannot be read, holds no such thing, or key and certificate do not fit.
pub fn acceptor(tls: &Tls) -> Result<TlsAcceptor, StageError> {
    let wrong = |at: &str, path: &Path, why: String| {
        StageError::config(&format!("/tls/{at}"), format!("{}: {why}", path.display()))
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect)
        .map_err(|e| wrong("cert", &tls.cert, e.to_string()))?;
    if chain.is_empty() {
        let why = "there is no certificate in it".to_owned();
        return Err(wrong("cert", &tls.cert, why));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|e| wrong("key", &tls.key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| StageError::fatal(format!("no TLS: {e}")))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| StageError::config("/tls", format!("certificate and key: {e}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
