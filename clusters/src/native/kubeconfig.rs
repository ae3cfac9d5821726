//! Kubeconfigs with embedded certificates.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::pki::Credential;

/// The kubeconfig of `user` for the API server at `server`.
pub(crate) fn render(server: &str, cluster: &str, user: &str, authority: &str, credential: &Credential) -> String {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: {server}
    certificate-authority-data: {}
users:
- name: {user}
  user:
    client-certificate-data: {}
    client-key-data: {}
contexts:
- name: {cluster}
  context:
    cluster: {cluster}
    user: {user}
current-context: {cluster}
",
        encode(authority),
        encode(&credential.certificate),
        encode(&credential.key),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_names_its_context() {
        let credential = Credential { certificate: "certificate".to_owned(), key: "key".to_owned() };
        insta::assert_snapshot!(render("https://198.18.0.2:6443", "one", "admin", "authority", &credential), @r"
        apiVersion: v1
        kind: Config
        clusters:
        - name: one
          cluster:
            server: https://198.18.0.2:6443
            certificate-authority-data: YXV0aG9yaXR5
        users:
        - name: admin
          user:
            client-certificate-data: Y2VydGlmaWNhdGU=
            client-key-data: a2V5
        contexts:
        - name: one
          context:
            cluster: one
            user: admin
        current-context: one
        ");
    }
}
