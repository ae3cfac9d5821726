//! The certificates and keys of a cluster, made in process.

use std::net::Ipv4Addr;

use jiff::{ToSpan, Zoned, civil::Date};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::{API_SERVICE, ProviderError};

/// How long certificates are valid, in years: longer than any kept cluster should live.
const YEARS: i32 = 1;

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Everything that a cluster needs.
pub(crate) struct Pki {
    /// The one authority, for servers and clients.
    pub(crate) authority: String,
    pub(crate) apiserver: Credential,
    pub(crate) kubelet: Credential,
    /// The API server towards the kubelet.
    pub(crate) kubelet_client: Credential,
    pub(crate) administrator: Credential,
    pub(crate) controller_manager: Credential,
    pub(crate) scheduler: Credential,
    pub(crate) node: Credential,
    pub(crate) proxy: Credential,
    pub(crate) dns: Credential,
    /// Signs service-account tokens; `certificate` is the bare public key.
    pub(crate) service_accounts: Credential,
}

/// Signs certificates.
struct Authority<'a> {
    issuer: CertifiedIssuer<'a, KeyPair>,
    today: Date,
}

impl Pki {
    /// Makes all of it for a node with this name and address, and for a relay at the host's address.
    pub(crate) fn generate(node: &str, node_address: Ipv4Addr, host_address: Ipv4Addr) -> Result<Self, ProviderError> {
        let authority = Authority::new()?;
        let accounts = key("service accounts")?;
        Ok(Self {
            apiserver: authority.server(
                "kube-apiserver",
                &[
                    node,
                    "localhost",
                    "kubernetes",
                    "kubernetes.default",
                    "kubernetes.default.svc",
                    "kubernetes.default.svc.cluster.local",
                ],
                &[Ipv4Addr::LOCALHOST, node_address, host_address, API_SERVICE],
            )?,
            kubelet: authority.server("kubelet", &[node], &[node_address])?,
            kubelet_client: authority.client("kube-apiserver-kubelet-client", Some("system:masters"))?,
            administrator: authority.client("kubernetes-admin", Some("system:masters"))?,
            controller_manager: authority.client("system:kube-controller-manager", None)?,
            scheduler: authority.client("system:kube-scheduler", None)?,
            node: authority.client(&format!("system:node:{node}"), Some("system:nodes"))?,
            proxy: authority.client("system:kube-proxy", None)?,
            dns: authority.client(super::dns::USER, None)?,
            service_accounts: Credential { certificate: accounts.public_key_pem(), key: accounts.serialize_pem() },
            authority: authority.issuer.pem(),
        })
    }
}

impl Authority<'_> {
    fn new() -> Result<Self, ProviderError> {
        let today = Zoned::now().date();
        let mut parameters = parameters("sandproof", None, today);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(parameters, key("the authority")?)
            .map_err(|source| ProviderError::Certificate { what: "the authority".to_owned(), source })?;
        Ok(Self { issuer, today })
    }

    fn client(&self, user: &str, group: Option<&str>) -> Result<Credential, ProviderError> {
        let mut parameters = parameters(user, group, self.today);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(user, parameters)
    }

    fn server(&self, what: &str, names: &[&str], addresses: &[Ipv4Addr]) -> Result<Credential, ProviderError> {
        let mut parameters = parameters(what, None, self.today);
        let names: Vec<String> =
            names.iter().map(ToString::to_string).chain(addresses.iter().map(ToString::to_string)).collect();
        parameters.subject_alt_names = CertificateParams::new(names)
            .map_err(|source| ProviderError::Certificate { what: what.to_owned(), source })?
            .subject_alt_names;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(what, parameters)
    }

    fn sign(&self, what: &str, mut parameters: CertificateParams) -> Result<Credential, ProviderError> {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = key(what)?;
        let certificate = parameters
            .signed_by(&key, &self.issuer)
            .map_err(|source| ProviderError::Certificate { what: what.to_owned(), source })?;
        Ok(Credential { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// An ECDSA P-256 key.
fn key(what: &str) -> Result<KeyPair, ProviderError> {
    KeyPair::generate().map_err(|source| ProviderError::Certificate { what: what.to_owned(), source })
}

fn parameters(name: &str, organization: Option<&str>, today: Date) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = subject;
    // Whole days: a clock that is some hours off does not matter.
    let midnight =
        |date: Date| date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs());
    parameters.not_before = midnight(today.saturating_sub(1.day()));
    parameters.not_after = midnight(today.saturating_add(YEARS.years()));
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_credential_is_a_certificate_with_its_key() {
        let pki = Pki::generate("node", Ipv4Addr::new(198, 18, 0, 2), Ipv4Addr::new(198, 18, 0, 1)).unwrap();
        for credential in [&pki.apiserver, &pki.administrator, &pki.node, &pki.dns] {
            assert!(credential.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
            assert!(credential.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        }
        assert!(pki.service_accounts.certificate.starts_with("-----BEGIN PUBLIC KEY-----"));
        assert_ne!(pki.administrator.key, pki.node.key);
    }
}
