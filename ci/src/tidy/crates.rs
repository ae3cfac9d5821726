//! The crates: what they may depend on, and what their manifests must say.

use anyhow::Result;

use crate::tally::Tally;
use crate::workspace::{Crate, Workspace};

/// Which crates of the workspace each may depend on. Dependencies go one way.
const DEPENDENCIES: [(&str, &[&str]); 9] = [
    ("sandproof", &["sandproof-clusters", "sandproof-protocol", "sandproof-reports", "sandproof-scenarios"]),
    ("sandproof-clusters", &[]),
    ("sandproof-probe", &[]),
    ("sandproof-protocol", &[]),
    ("sandproof-reference-driver", &["sandproof-protocol"]),
    ("sandproof-reports", &[]),
    ("sandproof-scenarios", &["sandproof-reports"]),
    ("sandproof-supervisor", &[]),
    ("xtask", &["sandproof-clusters", "sandproof-protocol", "sandproof-reports", "sandproof-scenarios"]),
];

pub(super) fn check(workspace: &Workspace, crates: &[Crate], tally: &mut Tally) -> Result<()> {
    let mut without_lints = Vec::new();
    for member in crates {
        let manifest = member.directory.join("Cargo.toml");
        if !fs_err::read_to_string(workspace.path(&manifest))?.contains("[lints]\nworkspace = true\n") {
            without_lints.push(format!("{manifest}: lacks `[lints]` with `workspace = true`"));
        }
    }
    tally.add("every crate has the lints of the workspace", without_lints);
    tally.add("dependencies between crates go one way", crates.iter().flat_map(wrong_dependencies).collect());
    tally.add("every crate is under the licence of the repository", crates.iter().filter_map(wrong_licence).collect());
    tally.expect("the licence is there", workspace.path("LICENSE").is_file(), || "LICENSE is missing".to_owned());
    Ok(())
}

fn wrong_dependencies(member: &Crate) -> Vec<String> {
    let Some((_, allowed)) = DEPENDENCIES.iter().find(|(name, _)| *name == member.name) else {
        return vec![format!("{}: say in ci/src/tidy/crates.rs what it may depend on", member.name)];
    };
    let wrong = member.dependencies.iter().filter(|name| !allowed.contains(&name.as_str()));
    wrong.map(|name| format!("{} must not depend on {name}", member.name)).collect()
}

fn wrong_licence(member: &Crate) -> Option<String> {
    (member.license.as_deref() != Some("Apache-2.0"))
        .then(|| format!("{}: lacks `license.workspace = true`", member.name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::allowed("sandproof-scenarios", "sandproof-reports", false)]
    #[case::backwards("sandproof-reports", "sandproof-scenarios", true)]
    #[case::driver_knows_no_harness("sandproof-reference-driver", "sandproof-clusters", true)]
    #[case::unknown_crate("newcomer", "sandproof-reports", true)]
    fn a_dependency_has_a_direction(#[case] name: &str, #[case] on: &str, #[case] wrong: bool) {
        let member =
            Crate { name: name.to_owned(), directory: "x".into(), license: None, dependencies: vec![on.to_owned()] };
        assert_eq!(!wrong_dependencies(&member).is_empty(), wrong);
    }
}
