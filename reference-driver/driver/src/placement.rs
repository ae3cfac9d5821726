//! Where the objects of sandboxes are: the one place that knows how workspaces map to namespaces.

use crate::config::WorkspaceMode;
use crate::names;
use crate::request::InvalidRequest;

/// What the names of namespaces begin with that this driver makes (upstream's).
const MANAGED_PREFIX: &str = "openshell";

/// The place of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl ObjectKey {
    /// The place of that namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// How workspaces map to namespaces, and sandboxes to objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// One namespace for all.
    Shared { namespace: String },
    /// A namespace a workspace, whose name begins with this.
    Managed { prefix: String },
    /// The namespace of the workspace's name.
    Operator,
}

impl Layout {
    /// The layout of a workspace mode.
    pub fn new(mode: &WorkspaceMode, gateway_id: &str, namespace: &str) -> Self {
        Self(match mode {
            WorkspaceMode::Shared => Kind::Shared { namespace: namespace.to_owned() },
            WorkspaceMode::Managed => Kind::Managed { prefix: format!("{MANAGED_PREFIX}-{gateway_id}-") },
            WorkspaceMode::Operator(_) => Kind::Operator,
        })
    }

    /// The namespace of a workspace.
    pub fn namespace(&self, workspace: &str) -> Result<String, InvalidRequest> {
        if workspace.is_empty() {
            return Err(InvalidRequest::Required("workspace"));
        }
        let refused = |problem: &str| InvalidRequest::Value {
            field: "workspace".to_owned(),
            found: format!("{:?}", workspace.chars().take(80).collect::<String>()),
            problem: problem.to_owned(),
        };
        if let Some(problem) = names::label_problem(workspace) {
            return Err(refused(problem));
        }
        match &self.0 {
            Kind::Shared { namespace } => Ok(namespace.clone()),
            Kind::Operator => Ok(workspace.to_owned()),
            Kind::Managed { prefix } => {
                let name = format!("{prefix}{workspace}");
                match names::label_problem(&name) {
                    None => Ok(name),
                    Some(_) => Err(refused(&format!("must be no more than 63 characters together with {prefix:?}"))),
                }
            }
        }
    }

    /// The place of a sandbox's object; both names must be DNS-1123 labels.
    pub fn place(&self, workspace: &str, name: &str) -> Result<ObjectKey, InvalidRequest> {
        let namespace = self.namespace(workspace)?;
        let Kind::Shared { .. } = self.0 else {
            return Ok(ObjectKey::new(namespace, name));
        };
        match names::object_name_problem(workspace, name) {
            None => Ok(ObjectKey::new(namespace, names::object_name(workspace, name))),
            Some(problem) => Err(InvalidRequest::Value {
                field: "sandbox name".to_owned(),
                found: format!("{name:?}"),
                problem: problem.to_owned(),
            }),
        }
    }

    /// The one namespace that all objects are in; none where they may be in any.
    pub fn only_namespace(&self) -> Option<&str> {
        match &self.0 {
            Kind::Shared { namespace } => Some(namespace),
            Kind::Managed { .. } | Kind::Operator => None,
        }
    }

    /// Whether sandboxes of this driver can be in a namespace at all.
    pub fn may_hold(&self, namespace: &str) -> bool {
        match &self.0 {
            Kind::Shared { namespace: only } => only == namespace,
            Kind::Managed { prefix } => namespace.starts_with(prefix),
            Kind::Operator => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::AllowList;

    fn layout(mode: &WorkspaceMode) -> Layout {
        Layout::new(mode, "gate", "boxes")
    }

    #[rstest]
    #[case::shared(WorkspaceMode::Shared, "boxes", "team--box")]
    #[case::managed(WorkspaceMode::Managed, "openshell-gate-team", "box")]
    #[case::operator(WorkspaceMode::Operator(AllowList::default()), "team", "box")]
    fn places(#[case] mode: WorkspaceMode, #[case] namespace: &str, #[case] name: &str) {
        assert_eq!(layout(&mode).place("team", "box").unwrap(), ObjectKey::new(namespace, name));
        assert!(layout(&mode).may_hold(namespace));
    }

    #[test]
    fn only_the_shared_namespace_needs_names_that_can_be_put_together() {
        assert!(layout(&WorkspaceMode::Shared).place("team", "a--b").is_err());
        assert!(layout(&WorkspaceMode::Shared).place(&"w".repeat(40), &"n".repeat(40)).is_err());
        assert!(layout(&WorkspaceMode::Managed).place("team", "a--b").is_ok());
    }

    #[rstest]
    #[case("", "workspace is required")]
    #[case("Team", "DNS-1123")]
    #[case("a/b", "DNS-1123")]
    #[case("w2345678901234567890123456789012345678901234567890", "together with \"openshell-gate-\"")]
    fn bad_workspaces(#[case] workspace: &str, #[case] problem: &str) {
        let error = layout(&WorkspaceMode::Managed).namespace(workspace).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }

    #[test]
    fn the_longest_managed_workspace_fits() {
        assert!(layout(&WorkspaceMode::Managed).namespace(&"w".repeat(63 - "openshell-gate-".len())).is_ok());
    }
}
