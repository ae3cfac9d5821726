//! The user's kubeconfig: read, never written.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::ExistingError;
use crate::provider::limit_waits;

/// One context of the user's, with its cluster and its user and nothing else.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// The API server's address.
    pub server: String,
    /// Where it was read from.
    pub files: Vec<Utf8PathBuf>,
    kubeconfig: Kubeconfig,
}

impl Context {
    /// Reads a context: of `file`, else of the files in `$KUBECONFIG`, else of `~/.kube/config`.
    /// Without a name it is the current one.
    pub fn read(file: Option<&Utf8Path>, name: Option<&str>) -> Result<Self, ExistingError> {
        let files = files(file)?;
        let mut merged = Kubeconfig::default();
        for file in &files {
            let failed = |reason: String| ExistingError::Kubeconfig { file: file.clone(), reason };
            let read = Kubeconfig::read_from(file).map_err(|error| failed(error.to_string()))?;
            merged = merged.merge(read).map_err(|error| failed(error.to_string()))?;
        }
        Self::select(merged, files, name)
    }

    /// Reads the copy that [`Self::write`] made.
    pub(super) fn read_copy(file: &Utf8Path) -> Result<Self, ExistingError> {
        Self::read(Some(file), None)
    }

    fn select(merged: Kubeconfig, files: Vec<Utf8PathBuf>, name: Option<&str>) -> Result<Self, ExistingError> {
        let mut known: Vec<String> = merged.contexts.iter().map(|context| context.name.clone()).collect();
        known.sort();
        let Some(name) = name.map(str::to_owned).or(merged.current_context).filter(|name| !name.is_empty()) else {
            return Err(ExistingError::NoCurrentContext { files, known });
        };
        let Some(context) = merged.contexts.into_iter().find(|context| context.name == name) else {
            return Err(ExistingError::UnknownContext { name, files, known });
        };
        let dangling = |what: &str, which: &str| ExistingError::Kubeconfig {
            file: files.first().cloned().unwrap_or_default(),
            reason: format!("context {name:?} names the {what} {which:?}, which is not there"),
        };
        let (cluster, user) = match &context.context {
            Some(context) => (context.cluster.clone(), context.user.clone().unwrap_or_default()),
            None => (String::new(), String::new()),
        };
        let clusters: Vec<_> = merged.clusters.into_iter().filter(|named| named.name == cluster).collect();
        let users: Vec<_> = merged.auth_infos.into_iter().filter(|named| named.name == user).collect();
        let server = clusters
            .first()
            .and_then(|named| named.cluster.as_ref()?.server.clone())
            .ok_or_else(|| dangling("cluster", &cluster))?;
        if users.is_empty() && !user.is_empty() {
            return Err(dangling("user", &user));
        }
        let kubeconfig = Kubeconfig {
            kind: Some("Config".to_owned()),
            api_version: Some("v1".to_owned()),
            current_context: Some(name.clone()),
            clusters,
            auth_infos: users,
            contexts: vec![context],
            ..Kubeconfig::default()
        };
        Ok(Self { name, server, files, kubeconfig })
    }

    /// A client. Nothing is asked of the API server yet.
    pub async fn client(&self) -> Result<Client, ExistingError> {
        let failed = |reason: String| ExistingError::Unreachable { context: self.name.clone(), reason };
        let mut config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &KubeConfigOptions::default())
            .await
            .map_err(|error| failed(error.to_string()))?;
        limit_waits(&mut config);
        Client::try_from(config).map_err(|error| failed(error.to_string()))
    }

    /// Writes a kubeconfig with this context alone, readable for its owner only. It may hold credentials.
    pub(super) fn write(&self, path: &Utf8Path) -> Result<(), ExistingError> {
        let failed = |source| ExistingError::Io { action: "write", path: path.to_owned(), source };
        // JSON is YAML too, and every reader of kubeconfigs takes it.
        let text = serde_json::to_vec_pretty(&self.kubeconfig).map_err(|error| failed(error.into()))?;
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
        }
        fs::File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(&text))
            .map_err(failed)
    }
}

/// The kubeconfig files, as absolute paths: what is relative in them is relative to where they are.
fn files(named: Option<&Utf8Path>) -> Result<Vec<Utf8PathBuf>, ExistingError> {
    let absolute = |path: &Utf8Path| {
        let path = std::path::absolute(path).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
        path.unwrap_or_default()
    };
    if let Some(named) = named {
        return if named.is_file() {
            Ok(vec![absolute(named)])
        } else {
            Err(ExistingError::NoKubeconfig { looked: named.to_string() })
        };
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let listed: Vec<Utf8PathBuf> = match variable("KUBECONFIG") {
        Some(list) => list.split(':').filter(|path| !path.is_empty()).map(Utf8PathBuf::from).collect(),
        None => vec![Utf8PathBuf::from(variable("HOME").unwrap_or_default()).join(".kube/config")],
    };
    // kubectl takes it as empty when one of several files is missing.
    let present: Vec<Utf8PathBuf> = listed.iter().filter(|path| path.is_file()).map(|path| absolute(path)).collect();
    if present.is_empty() {
        let looked: Vec<&str> = listed.iter().map(|path| path.as_str()).collect();
        return Err(ExistingError::NoKubeconfig { looked: looked.join(" and ") });
    }
    Ok(present)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rstest::rstest;

    use super::*;

    const TEXT: &str = "
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: a, cluster: {server: 'https://192.0.2.1:6443', certificate-authority: ca.crt}}
- {name: b, cluster: {server: 'https://192.0.2.2:6443'}}
users:
- {name: u, user: {token: secret}}
- {name: v, user: {token: other}}
contexts:
- {name: one, context: {cluster: a, user: u}}
- {name: two, context: {cluster: b, user: v}}
- {name: broken, context: {cluster: c, user: u}}
- {name: nobody, context: {cluster: a, user: w}}
";

    fn directory() -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        fs::write(path.join("config"), TEXT).unwrap();
        (directory, path)
    }

    #[rstest]
    #[case(None, "https://192.0.2.1:6443")]
    #[case(Some("two"), "https://192.0.2.2:6443")]
    fn a_context_is_chosen(#[case] name: Option<&str>, #[case] server: &str) {
        let (_directory, path) = directory();
        assert_eq!(Context::read(Some(&path.join("config")), name).unwrap().server, server);
    }

    #[rstest]
    #[case("three", "there is no context \"three\"", "broken, nobody, one, two")]
    #[case("broken", "names the cluster \"c\"", "")]
    #[case("nobody", "names the user \"w\"", "")]
    fn what_is_not_there_is_named(#[case] name: &str, #[case] message: &str, #[case] known: &str) {
        let (_directory, path) = directory();
        let error = Context::read(Some(&path.join("config")), Some(name)).unwrap_err();
        assert!(error.is_usage());
        let error = error.to_string();
        assert!(error.contains(message) && error.contains(known), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Context::read(Some("/nonexistent/config".into()), None).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/config"), "{error}");
    }

    #[test]
    fn the_copy_has_one_context_and_works_from_anywhere() {
        let (_directory, path) = directory();
        let copy = path.join("private/kubeconfig");
        Context::read(Some(&path.join("config")), None).unwrap().write(&copy).unwrap();
        let text = fs::read_to_string(&copy).unwrap();
        assert!(text.contains("secret") && !text.contains("other"), "{text}");
        assert!(text.contains(path.join("ca.crt").as_str()), "{text}");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Context::read_copy(&copy).unwrap();
        assert_eq!((again.name.as_str(), again.server.as_str()), ("one", "https://192.0.2.1:6443"));
        // The user's own is as it was.
        assert_eq!(fs::read_to_string(path.join("config")).unwrap(), TEXT);
    }
}
