//! The run's private certificate authority.

use std::{net::IpAddr, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use thiserror::Error;

/// Why a certificate could not be made or used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// Making or signing it failed.
    #[error("cannot make a certificate for the registry: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refused it.
    #[error("cannot use the registry's certificate: {0}")]
    Use(#[from] rustls::Error),
}

/// A certificate authority whose key lives and dies with this process.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Makes a fresh authority.
    pub(super) fn new() -> Result<Self, CertificateError> {
        let mut params = named("sandproof registry authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The authority's certificate, PEM.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A TLS server configuration with a certificate for `ip`, HTTP/1.1 only.
    pub(super) fn server(&self, ip: IpAddr) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut params = named("sandproof registry")?;
        params.subject_alt_names = vec![SanType::IpAddress(ip)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // The provider is named: two of them in one program make rustls panic when it must choose.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn named(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
