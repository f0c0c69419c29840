//! Certificates: those of files, or made at start.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use plugin_api::StageError;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::config::Tls;

/// What speaks TLS for the server.
pub(crate) fn acceptor(tls: &Tls, address: SocketAddr) -> Result<TlsAcceptor, StageError> {
    let (chain, key) = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => (read_chain(cert)?, read_key(key)?),
        _ => make(tls, address)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| StageError::fatal(format!("no TLS: {e}")))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| StageError::config("/tls", format!("certificate and key: {e}")))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, StageError> {
    let wrong = |why: String| StageError::config("/tls/cert", format!("{}: {why}", path.display()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|e| wrong(e.to_string()))?
        .collect();
    match chain.map_err(|e| wrong(e.to_string()))? {
        chain if chain.is_empty() => Err(wrong("there is no certificate in it".into())),
        chain => Ok(chain),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, StageError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|e| StageError::config("/tls/key", format!("{}: {e}", path.display())))
}

/// A certificate for this machine, signed by an authority that lives only as long as this run.
fn make(
    tls: &Tls,
    address: SocketAddr,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), StageError> {
    let (authority_pem, certificate, key) =
        certificates(address).map_err(|e| StageError::fatal(format!("no certificate: {e}")))?;
    if let Some(path) = &tls.ca_out {
        std::fs::write(path, authority_pem)
            .map_err(|e| StageError::config("/tls/ca_out", format!("{}: {e}", path.display())))?;
    }
    Ok((vec![certificate], key))
}

type Made = (String, CertificateDer<'static>, PrivateKeyDer<'static>);

fn certificates(address: SocketAddr) -> Result<Made, rcgen::Error> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name = rcgen::DistinguishedName::new();
    ca.distinguished_name
        .push(DnType::CommonName, "twitter-server, this run's authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    let own = address.ip().to_string();
    if !address.ip().is_unspecified() && !names.contains(&own) {
        names.push(own);
    }
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name
        .push(DnType::CommonName, "twitter-server");
    // Newer clients insist on these.
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &authority)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((authority.pem(), certificate.der().clone(), key.into()))
}
