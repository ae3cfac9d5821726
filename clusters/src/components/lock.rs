//! Writing `go.mod` and `go.sum` of a component's version: its lock.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::{error::LockError, pins::ComponentPin, template::Template};
use crate::process::Process;

const DEADLINE: Duration = Duration::from_mins(15);

/// Lines that a component's own `go.mod` hands down, since they count only in a main module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inherited {
    /// The `go` line's version.
    pub(super) go: String,
    /// `godebug` lines, without the word.
    pub(super) godebug: Vec<String>,
    /// Modules that it takes from its own `staging` directory, which is not in its module.
    pub(super) staging: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModuleDownload {
    go_mod: Option<Utf8PathBuf>,
    dir: Option<Utf8PathBuf>,
}

/// Writes the lock of one version into `directory`.
pub(super) async fn lock(
    pin: &ComponentPin,
    family: &Utf8Path,
    name: &str,
    version: &str,
    directory: &Utf8Path,
) -> Result<(), LockError> {
    let template = Template::new(version).map_err(|_| LockError::Version { version: version.to_owned() })?;
    fs_err::create_dir_all(directory)?;
    if pin.build.programs.values().any(|package| package == ".") {
        provide_main(family, directory)?;
    }
    let own = own_module(&pin.build.module, version).await?;
    let inherited = inherited(&own.manifest);
    let staging = match &pin.build.staging {
        Some(staging) => {
            Some(template.expand(staging).map_err(|_| LockError::Version { version: version.to_owned() })?)
        }
        None => None,
    };
    let text = manifest(pin, name, version, &inherited, staging.as_deref());
    fs_err::write(directory.join("go.mod"), text)?;
    // Its own sums come first: they were verified with the module, and have modules that the checksum database lacks.
    fs_err::write(directory.join("go.sum"), own.sums)?;
    go(directory).args(["mod", "tidy"]).run().await?;
    Ok(())
}

/// A `go.mod` before `go mod tidy` completes it.
pub(super) fn manifest(
    pin: &ComponentPin,
    name: &str,
    version: &str,
    inherited: &Inherited,
    staging: Option<&str>,
) -> String {
    let mut text = format!("module sandproof.test/components/{name}\n\ngo {}\n", inherited.go);
    for setting in &inherited.godebug {
        let _ = write!(text, "\ngodebug {setting}\n");
    }
    let tools: Vec<&String> = pin.build.programs.values().filter(|package| *package != ".").collect();
    if !tools.is_empty() {
        text.push_str("\ntool (\n");
        for tool in tools {
            let _ = writeln!(text, "\t{tool}");
        }
        text.push_str(")\n");
    }
    let _ = write!(text, "\nrequire {} v{version}\n", pin.build.module);
    let staged = staging.into_iter().flat_map(|staging| {
        inherited.staging.iter().map(move |module| (module.as_str(), staging.trim_start_matches('v')))
    });
    let replaced =
        pin.replacements.get(version).into_iter().flatten().map(|(module, at)| (module.as_str(), at.as_str()));
    // A replacement that is written down wins over the rule for staging modules.
    let replacements: BTreeMap<&str, &str> = staged.chain(replaced).collect();
    if !replacements.is_empty() {
        text.push_str("\nreplace (\n");
        for (module, at) in replacements {
            let _ = writeln!(text, "\t{module} => {module} v{at}");
        }
        text.push_str(")\n");
    }
    text
}

/// Reads what a `go.mod` hands down.
pub(super) fn inherited(text: &str) -> Inherited {
    let mut inherited = Inherited { go: "1.24.0".to_owned(), ..Inherited::default() };
    let mut block = "";
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if let Some(opened) = line.strip_suffix('(') {
            block = opened.trim();
            continue;
        }
        if line == ")" {
            block = "";
            continue;
        }
        let (word, rest) = match block {
            "" => line.split_once(' ').unwrap_or((line, "")),
            block => (block, line),
        };
        match word {
            "go" => rest.trim().clone_into(&mut inherited.go),
            "godebug" if !rest.is_empty() => inherited.godebug.push(rest.trim().to_owned()),
            "replace" => {
                if let Some((module, target)) = rest.split_once("=>")
                    && target.trim().starts_with("./staging/")
                    && let Some(module) = module.split_whitespace().next()
                {
                    inherited.staging.push(module.to_owned());
                }
            }
            _ => {}
        }
    }
    inherited
}

/// What a component's own module says.
struct OwnModule {
    /// Its `go.mod`.
    manifest: String,
    /// Its `go.sum`; empty where it has none.
    sums: String,
}

/// The component's own module, through the module mirror.
async fn own_module(module: &str, version: &str) -> Result<OwnModule, LockError> {
    // Outside of any module, so that nothing but this one module is looked at.
    let answer =
        go(Utf8Path::new("/")).args(["mod", "download", "-json", &format!("{module}@v{version}")]).run().await?.stdout;
    let Some(ModuleDownload { go_mod: Some(manifest), dir: Some(directory) }) = serde_json::from_str(&answer).ok()
    else {
        return Err(LockError::Answer { module: module.to_owned(), answer });
    };
    let sums = match fs_err::read_to_string(directory.join("go.sum")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    Ok(OwnModule { manifest: fs_err::read_to_string(manifest)?, sums })
}

fn go(directory: &Utf8Path) -> Process {
    Process::new("go").current_dir(directory).env("GOFLAGS", "-mod=mod").env("GOWORK", "off").deadline(DEADLINE)
}

/// Takes `main.go` from the newest version that has one, where this version has none.
fn provide_main(family: &Utf8Path, directory: &Utf8Path) -> Result<(), LockError> {
    if directory.join("main.go").exists() {
        return Ok(());
    }
    let mut versions: Vec<(semver::Version, Utf8PathBuf)> = Vec::new();
    for entry in fs_err::read_dir(family)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let main = family.join(&name).join("main.go");
        if let Ok(version) = semver::Version::parse(&name)
            && main.exists()
        {
            versions.push((version, main));
        }
    }
    match versions.into_iter().max() {
        Some((_, main)) => {
            fs_err::copy(main, directory.join("main.go"))?;
            Ok(())
        }
        None => Err(LockError::NoMain { directory: directory.to_owned() }),
    }
}
