//! Mode `operator`: which namespaces may be used. What is not clearly allowed is not allowed.

use std::io::ErrorKind;
use std::path::Path;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use crate::config::{AllowList, NamespaceLabel};
use crate::error::DriverError;
use crate::kubernetes::call;

/// Why a namespace may not be used, or nothing if it may.
pub(super) async fn refusal(
    client: &Client,
    allowed: &AllowList,
    namespace: &str,
) -> Result<Option<String>, DriverError> {
    if let Some(file) = &allowed.file
        && let Some(why) = refusal_of_file(file, namespace).await
    {
        return Ok(Some(why));
    }
    // Asked each time: a label that was taken away must count at once.
    let api: Api<Namespace> = Api::all(client.clone());
    let Some(found) = call("get the workspace's namespace", api.get_opt(namespace)).await? else {
        return Ok(Some("there is no such namespace".to_owned()));
    };
    if found.metadata.deletion_timestamp.is_some() {
        return Ok(Some("it is being deleted".to_owned()));
    }
    Ok(allowed.label.as_ref().and_then(|label| refusal_of_label(label, &found)))
}

/// Read each time: the file is usually a mounted `ConfigMap`, which changes under a running driver.
async fn refusal_of_file(file: &Path, namespace: &str) -> Option<String> {
    match tokio::fs::read_to_string(file).await {
        Ok(text) if names(&text).any(|name| name == namespace) => None,
        Ok(_) => Some(format!("it is not named in {}", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Some(format!("the file {} with the namespaces that may be used does not exist", file.display()))
        }
        Err(error) => {
            Some(format!("the file {} with the namespaces that may be used cannot be read: {error}", file.display()))
        }
    }
}

/// One name a line; blank lines and what follows a `#` do not count.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|name| !name.is_empty())
}

fn refusal_of_label(label: &NamespaceLabel, namespace: &Namespace) -> Option<String> {
    let found = namespace.metadata.labels.as_ref().and_then(|labels| labels.get(&label.key));
    match (found, &label.value) {
        (Some(found), Some(wanted)) if found == wanted => None,
        (Some(_), None) => None,
        (Some(found), Some(wanted)) => Some(format!("its label {} is {found:?} and not {wanted:?}", label.key)),
        (None, _) => Some(format!("it has no label {}", label.key)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rstest::rstest;

    use super::*;

    #[test]
    fn a_file_has_a_name_a_line() {
        let text = "# allowed\nteam-a\n\n  team-b  # since May\n#team-c\n";
        assert_eq!(names(text).collect::<Vec<_>>(), ["team-a", "team-b"]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_allows_nothing() {
        let missing = refusal_of_file(Path::new("/nowhere/allowed"), "team").await.unwrap();
        assert!(missing.contains("does not exist"), "{missing}");
        let directory = tempfile::tempdir().unwrap();
        let unreadable = refusal_of_file(directory.path(), "team").await.unwrap();
        assert!(unreadable.contains("cannot be read"), "{unreadable}");
    }

    #[tokio::test]
    async fn a_file_is_read_anew_each_time() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        assert!(refusal_of_file(file.path(), "team").await.is_some());
        writeln!(file, "team").unwrap();
        assert_eq!(refusal_of_file(file.path(), "team").await, None);
    }

    #[rstest]
    #[case::any_value("team", None, true)]
    #[case::right_value("team", Some("blue"), true)]
    #[case::wrong_value("team", Some("red"), false)]
    #[case::empty_value("team", Some(""), false)]
    #[case::no_label("owner", None, false)]
    fn labels(#[case] key: &str, #[case] value: Option<&str>, #[case] allowed: bool) {
        let mut namespace = Namespace::default();
        namespace.metadata.labels = Some([("team".to_owned(), "blue".to_owned())].into());
        let label = NamespaceLabel { key: key.to_owned(), value: value.map(str::to_owned) };
        assert_eq!(refusal_of_label(&label, &namespace).is_none(), allowed);
    }
}
