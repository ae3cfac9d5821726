//! The logs of a node: of its programs, and of the containers in it.

use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;

use super::{Engine, KindError};
use crate::process::Process;

/// How long one log may take.
const LOG: Duration = Duration::from_secs(30);

/// The services of the node whose journals are kept.
const SERVICES: &[&str] = &["kubelet", "containerd"];

/// Where the node has one file for each container of a pod, named after both.
const CONTAINERS: &str = "/var/log/containers";

/// What stands before each file that is printed.
const MARK: &str = "==> sandproof:";

/// Prints every log in the directory `$1`, each after a line with the mark `$0` and its name. A container that ended
/// meanwhile has none.
const PRINT_ALL: &str = r#"cd "$1" && for file in *.log; do echo "$0 $file"; cat "$file" 2>/dev/null || true; done"#;

/// Lines that an error repeats.
const LINES: usize = 8;

/// Copies everything that explains a failure.
pub(super) async fn collect(engine: &Engine, node: &str, directory: &Utf8Path, to: &Utf8Path) -> Result<(), KindError> {
    fs::create_dir_all(to).map_err(KindError::io("create", to))?;
    for entry in directory.join("logs").read_dir_utf8().into_iter().flatten().flatten() {
        let _ = fs::copy(entry.path(), to.join(entry.file_name()));
    }
    programs(&|| engine.command(), node, to).await
}

/// Writes one file for each program of the node into `to`. What cannot be read is left out, unless nothing can.
pub(super) async fn programs(
    command: &(dyn Fn() -> Process + Sync),
    node: &str,
    to: &Utf8Path,
) -> Result<(), KindError> {
    fs::create_dir_all(to).map_err(KindError::io("create", to))?;
    let exec = |words: Vec<String>| command().args(["exec", node]).args(words).deadline(LOG).run();
    for service in SERVICES {
        let journal = ["journalctl", "--no-pager", "--output=short-iso", "--unit", service];
        let text = exec(journal.map(str::to_owned).into()).await?.stdout;
        write(&to.join(format!("{service}.log")), &text)?;
    }
    // One command for all of them: starting each takes the engine longer than reading it.
    let text = exec(["bash", "-c", PRINT_ALL, MARK, CONTAINERS].map(str::to_owned).into()).await?.stdout;
    for (file, text) in split(&text) {
        write(&to.join(format!("{}.log", container_name(file))), text)?;
    }
    Ok(())
}

/// The files that [`PRINT_ALL`] printed one after the other.
fn split(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(&format!("{MARK} ")[..]).skip(1).filter_map(|part| part.split_once('\n')).collect::<Vec<_>>().into_iter()
}

/// An error with the last lines that kind wrote before it, where it has none of its own.
pub(super) fn with_last_words(error: KindError, directory: &Utf8Path) -> KindError {
    match error {
        KindError::NotReady { what, seconds, found } => {
            let text = fs::read_to_string(directory.join("logs/kubelet.log")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(LINES)..].join("\n    ");
            let found = if tail.is_empty() { found } else { format!("{found}\n    {tail}") };
            KindError::NotReady { what, seconds, found }
        }
        other => other,
    }
}

/// `kube-apiserver` of `kube-apiserver-NODE_kube-system_kube-apiserver-HASH.log`; a pod that is not of the control
/// plane keeps its name and namespace.
fn container_name(file: &str) -> String {
    let stem = file.strip_suffix(".log").unwrap_or(file);
    let mut parts = stem.split('_');
    let (Some(pod), Some(namespace), Some(container)) = (parts.next(), parts.next(), parts.next()) else {
        return stem.to_owned();
    };
    let container = container.rsplit_once('-').map_or(container, |(name, _)| name);
    if namespace == "kube-system" { container.to_owned() } else { format!("{namespace}_{pod}_{container}") }
}

fn write(path: &Utf8Path, text: &str) -> Result<(), KindError> {
    fs::write(path, text).map_err(KindError::io("write", path))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn files_are_told_apart() {
        let printed = "==> sandproof: a.log\none\ntwo\n==> sandproof: b.log\n";
        assert_eq!(split(printed).collect::<Vec<_>>(), [("a.log", "one\ntwo\n"), ("b.log", "")]);
    }

    #[rstest]
    #[case("kube-apiserver-sandproof-1-control-plane_kube-system_kube-apiserver-0a1b.log", "kube-apiserver")]
    #[case("driver-7_sp-1_driver-0a1b.log", "sp-1_driver-7_driver")]
    #[case("odd.log", "odd")]
    fn a_log_is_named_after_its_program(#[case] file: &str, #[case] name: &str) {
        assert_eq!(container_name(file), name);
    }
}
