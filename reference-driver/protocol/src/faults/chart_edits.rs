//! The edits of a copy of the chart that its faults are.

use super::Edit;

/// `wide-rights`.
pub(super) const WIDE_RIGHTS: &[Edit] = &[Edit {
    file: "templates/_helpers.tpl",
    find: r#"- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
{{- end -}}"#,
    replace: r#"- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list]
{{- end -}}"#,
}];

/// `policy-for-nobody`.
pub(super) const POLICY_FOR_NOBODY: &[Edit] = &[Edit {
    file: "templates/networkpolicy.yaml",
    find: "openshell.ai/managed-by: openshell",
    replace: "openshell.ai/managed-by: nobody",
}];

/// `secrets-by-any-name`.
pub(super) const SECRETS_BY_ANY_NAME: &[Edit] = &[Edit {
    file: "templates/clusterrole.yaml",
    find: r"    resourceNames: [{{ . }}]
",
    replace: "",
}];

/// `inherit-own-pull-secrets`.
pub(super) const INHERIT_OWN_PULL_SECRETS: &[Edit] = &[Edit {
    file: "templates/_helpers.tpl",
    find: "{{- range .Values.server.sandboxImagePullSecrets -}}",
    replace: "{{- range concat .Values.server.sandboxImagePullSecrets .Values.imagePullSecrets -}}",
}];

/// `image-volumes-too-early`.
pub(super) const IMAGE_VOLUMES_TOO_EARLY: &[Edit] = &[Edit {
    file: "templates/_helpers.tpl",
    find: r#"{{- else if semverCompare ">=1.35-0""#,
    replace: r#"{{- else if semverCompare ">=1.33-0""#,
}];
