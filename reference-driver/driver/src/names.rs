//! Kubernetes' rules for names, and the names this driver gives.

/// The label whose value [`MANAGED_BY`] marks an object of an OpenShell driver.
pub const MANAGED_BY_LABEL: &str = "openshell.ai/managed-by";
/// The value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "openshell";
/// The label with the sandbox's identifier.
pub const SANDBOX_ID_LABEL: &str = "openshell.ai/sandbox-id";
/// The label with the sandbox's name.
pub const SANDBOX_NAME_LABEL: &str = "openshell.ai/sandbox-name";
/// The label with the sandbox's workspace.
pub const SANDBOX_WORKSPACE_LABEL: &str = "openshell.ai/sandbox-workspace";
/// The label with the gateway a sandbox belongs to.
pub const GATEWAY_ID_LABEL: &str = "openshell.ai/gateway-id";
/// The pod annotation with the sandbox's identifier, which the gateway checks when it issues a token.
pub const SANDBOX_ID_ANNOTATION: &str = "openshell.io/sandbox-id";

/// What separates workspace and name in an object's name.
const SEPARATOR: &str = "--";
/// The longest DNS-1123 label and the longest label value, in bytes.
const LABEL_LIMIT: usize = 63;
/// The longest DNS-1123 subdomain, in bytes.
const SUBDOMAIN_LIMIT: usize = 253;

/// Why `text` is not a DNS-1123 label, or nothing if it is one.
pub fn label_problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("must not be empty");
    }
    if text.len() > LABEL_LIMIT {
        return Some("must be no more than 63 characters");
    }
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = text.bytes().next().is_some_and(inner) && text.bytes().next_back().is_some_and(inner);
    if !ends_well || !text.bytes().all(|byte| inner(byte) || byte == b'-') {
        return Some(
            "must be a DNS-1123 label: lower-case letters, digits and '-', with a letter or digit at both ends",
        );
    }
    None
}

/// Why `text` is not a DNS-1123 subdomain (the name of most objects), or nothing if it is one.
pub fn subdomain_problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("must not be empty");
    }
    if text.len() > SUBDOMAIN_LIMIT {
        return Some("must be no more than 253 characters");
    }
    let part_is_well_formed = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().next().is_some_and(inner)
            && part.bytes().next_back().is_some_and(inner)
            && part.bytes().all(|byte| inner(byte) || byte == b'-')
    };
    if !text.split('.').all(part_is_well_formed) {
        return Some(
            "must be a DNS-1123 subdomain: lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part",
        );
    }
    None
}

/// Why `text` is not a label value, or nothing if it is one; an empty value is allowed.
pub fn label_value_problem(text: &str) -> Option<&'static str> {
    if text.len() > LABEL_LIMIT {
        return Some("must be no more than 63 characters");
    }
    if !text.is_empty() && !is_qualified_part(text) {
        return Some("must be letters, digits, '-', '_' and '.', with a letter or digit at both ends");
    }
    None
}

/// Why `text` is not the key of a label or an annotation, or nothing if it is one.
pub fn label_key_problem(text: &str) -> Option<&'static str> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if prefix.is_some_and(|prefix| subdomain_problem(prefix).is_some()) {
        return Some("must have a DNS-1123 subdomain before its '/'");
    }
    if name.is_empty() || name.len() > LABEL_LIMIT || !is_qualified_part(name) {
        return Some("must be 1 to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends");
    }
    None
}

/// Why `text` is not a key in a Secret, or nothing if it is one.
pub fn secret_key_problem(text: &str) -> Option<&'static str> {
    let is_good = (1..=SUBDOMAIN_LIMIT).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && text != "."
        && !text.starts_with("..");
    (!is_good).then_some("must be 1 to 253 letters, digits, '-', '_' and '.', and must not be '.' or begin with '..'")
}

/// The name of the object that holds a sandbox in shared mode: `{workspace}--{name}`.
pub fn object_name(workspace: &str, name: &str) -> String {
    format!("{workspace}{SEPARATOR}{name}")
}

/// Why workspace and name cannot be put together into one unambiguous object name, or nothing if they can.
pub fn object_name_problem(workspace: &str, name: &str) -> Option<&'static str> {
    // `a--b` in `c` and `b` in `c--a` would be one object otherwise.
    if workspace.contains(SEPARATOR) || name.contains(SEPARATOR) {
        return Some("must not contain '--', which separates workspace and name");
    }
    if workspace.len() + SEPARATOR.len() + name.len() > LABEL_LIMIT {
        return Some("must be no more than 63 characters together with its workspace and '--'");
    }
    None
}

/// Selects every sandbox of every gateway.
pub fn managed_selector() -> String {
    format!("{MANAGED_BY_LABEL}={MANAGED_BY}")
}

/// Selects every sandbox of one gateway.
pub fn gateway_selector(gateway_id: &str) -> String {
    format!("{},{GATEWAY_ID_LABEL}={gateway_id}", managed_selector())
}

/// Selects one sandbox of those that are selected; the identifier must be a valid label value.
pub fn with_sandbox_id(selector: &str, sandbox_id: &str) -> String {
    format!("{selector},{SANDBOX_ID_LABEL}={sandbox_id}")
}

fn is_qualified_part(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("box", true)]
    #[case::digits("0a9", true)]
    #[case::inner_dash("a-b", true)]
    #[case::longest(&"a".repeat(63), true)]
    #[case::empty("", false)]
    #[case::too_long(&"a".repeat(64), false)]
    #[case::upper("Box", false)]
    #[case::leading_dash("-a", false)]
    #[case::trailing_dash("a-", false)]
    #[case::dot("a.b", false)]
    #[case::underscore("a_b", false)]
    #[case::not_ascii("bäx", false)]
    #[case::newline("a\nb", false)]
    fn labels(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(label_problem(text).is_none(), valid);
    }

    #[rstest]
    #[case::dotted("a.b-c.d", true)]
    #[case::longest(&"a".repeat(253), true)]
    #[case::too_long(&"a".repeat(254), false)]
    #[case::empty_part("a..b", false)]
    #[case::leading_dot(".a", false)]
    #[case::bad("Bad_Name", false)]
    #[case::blank(" a", false)]
    fn subdomains(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(subdomain_problem(text).is_none(), valid);
    }

    #[rstest]
    #[case::fits("default", "box", true)]
    #[case::exactly_63("default", &"a".repeat(54), true)]
    #[case::one_too_many("default", &"a".repeat(55), false)]
    #[case::separator_in_name("default", "a--b", false)]
    #[case::separator_in_workspace("de--fault", "a", false)]
    fn object_names(#[case] workspace: &str, #[case] name: &str, #[case] valid: bool) {
        assert_eq!(object_name_problem(workspace, name).is_none(), valid);
    }

    #[rstest]
    #[case::plain("app", true)]
    #[case::prefixed("example.com/app.kind_x", true)]
    #[case::empty_name("example.com/", false)]
    #[case::bad_prefix("Example/app", false)]
    #[case::two_slashes("a/b/c", false)]
    #[case::empty("", false)]
    fn label_keys(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(label_key_problem(text).is_none(), valid);
    }
}
