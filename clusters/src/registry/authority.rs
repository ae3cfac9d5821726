//! The private certificate authority of a run, or of all runs on this host whose nodes are told of it once and for all.

use std::{
    fs, io,
    io::Write,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
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
    /// What was kept of it.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS library refused it.
    #[error("cannot use the registry's certificate: {0}")]
    Use(#[from] rustls::Error),
}

/// The authority's certificate, in its directory.
const CERTIFICATE: &str = "ca.crt";

/// Its key, which only its owner reads.
const KEY: &str = "ca.key";

/// A certificate authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Makes a fresh authority, whose key lives and dies with this process.
    pub(super) fn new() -> Result<Self, CertificateError> {
        let (params, key) = (params()?, KeyPair::generate()?);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The authority that is kept in `directory`, made when there is none.
    pub(super) fn kept(directory: &Utf8Path) -> Result<Self, CertificateError> {
        let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
        if !certificate.exists() {
            Self::keep(directory)?;
        }
        let read = |path: &Utf8Path| fs::read_to_string(path).map_err(failed("read", path));
        // The certificate is the one that nodes were told of; a new one with this key would do as well, but for its number.
        Ok(Self { pem: read(&certificate)?, issuer: Issuer::new(params()?, KeyPair::from_pem(&read(&key)?)?) })
    }

    /// Makes an authority to keep. The certificate comes last and at once, so that whoever sees it finds its key too.
    fn keep(directory: &Utf8Path) -> Result<(), CertificateError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("create", directory))?;
        let locked = fs::File::create(directory.join("lock")).map_err(failed("lock", directory))?;
        locked.lock().map_err(failed("lock", directory))?;
        let certificate = directory.join(CERTIFICATE);
        if certificate.exists() {
            return Ok(());
        }
        let key = KeyPair::generate()?;
        let pem = params()?.self_signed(&key)?.pem();
        let temporary = directory.join("ca.new");
        for (path, mode, text) in [(directory.join(KEY), 0o600, key.serialize_pem()), (temporary.clone(), 0o644, pem)] {
            fs::File::options()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(mode)
                .open(&path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(failed("write", &path))?;
        }
        fs::rename(&temporary, &certificate).map_err(failed("write", &certificate))
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

fn params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = named("sandproof registry authority")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn failed(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> CertificateError {
    let path = path.to_owned();
    move |source| CertificateError::Io { action, path, source }
}

fn named(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_kept_authority_is_the_same_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("authority")).unwrap();
        let first = Authority::kept(&path).unwrap();
        let second = Authority::kept(&path).unwrap();
        assert_eq!(first.pem(), second.pem());
        assert!(second.server([127, 0, 0, 1].into()).is_ok());
        let mode = fs::metadata(path.join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
