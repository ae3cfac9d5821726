//! A script in front of the engine's program, for kind alone.
//!
//! kind calls `docker` or `podman` by name and offers no way to label what it makes. The script adds the labels to
//! containers and volumes, and stands in for the host's kernel modules where there are none to mount.

use std::{fmt::Write as _, os::unix::fs::PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::{Engine, EngineError};
use crate::{kind::labels::Ownership, process::quoted};

/// What kind mounts into every node, read-only.
const MODULES: &str = "/lib/modules";

/// The script, in a directory that comes first on kind's search path.
#[derive(Debug)]
pub(crate) struct Front {
    directory: Utf8PathBuf,
}

impl Front {
    /// Writes the script beneath `directory`.
    pub(crate) fn write(engine: &Engine, ownership: &Ownership, directory: &Utf8Path) -> Result<Self, EngineError> {
        let without_modules = !Utf8Path::new(MODULES).is_dir();
        let empty = directory.join("no-modules");
        let bin = directory.join("bin");
        for path in [&empty, &bin] {
            fs::create_dir_all(path).map_err(|source| EngineError::Io { path: path.clone(), source })?;
        }
        let path = bin.join(engine.flavor().program());
        let text = script(engine.program(), ownership, without_modules.then_some(&empty));
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
            .map_err(|source| EngineError::Io { path: path.clone(), source })?;
        Ok(Self { directory: bin })
    }

    /// The search path for kind.
    pub(crate) fn search_path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        format!("{}:{path}", self.directory)
    }
}

fn script(program: &Utf8Path, ownership: &Ownership, modules: Option<&Utf8PathBuf>) -> String {
    let program = quoted(program.as_str());
    let labels = ownership.labels().iter().fold(String::new(), |mut text, (name, value)| {
        let _ = write!(text, " --label {}", quoted(&format!("{name}={value}")));
        text
    });
    let replace = modules.map_or_else(String::new, |empty| {
        let (found, mounted) = (format!("{MODULES}:{MODULES}:ro"), quoted(&format!("{empty}:{MODULES}:ro")));
        format!("    for word do\n      shift\n      [ \"$word\" != {found} ] || word={mounted}\n      set -- \"$@\" \"$word\"\n    done\n")
    });
    format!(
        "#!/bin/sh\n\
         # Written by sandproof for one cluster: what kind makes gets labels that a sweep finds.\n\
         case \"${{1-}} ${{2-}}\" in\n  \
           \"volume create\")\n    shift 2\n    exec {program} volume create{labels} \"$@\" ;;\n  \
           \"run \"*)\n    shift\n{replace}    exec {program} run{labels} \"$@\" ;;\n\
         esac\n\
         exec {program} \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ownership() -> Ownership {
        Ownership {
            run: "20260101-120000-1a2b".to_owned(),
            cluster: "it's one".to_owned(),
            id: "0a1b2c3d".to_owned(),
            state: "/state".into(),
        }
    }

    #[test]
    fn what_kind_makes_is_labelled() {
        insta::assert_snapshot!(script("/usr/bin/podman".into(), &ownership(), None));
    }

    #[test]
    fn a_host_without_modules_mounts_an_empty_directory() {
        insta::assert_snapshot!(script("/usr/bin/podman".into(), &ownership(), Some(&"/state/no modules".into())));
    }
}
