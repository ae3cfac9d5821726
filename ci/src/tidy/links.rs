//! Links between the documents of the repository.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::tally::Tally;
use crate::workspace::TextFile;

pub(super) fn check(files: &[TextFile], tally: &mut Tally) {
    let texts: BTreeMap<&Utf8Path, &str> = files.iter().map(|file| (file.path.as_path(), file.text.as_str())).collect();
    let documents = files.iter().filter(|file| file.path.extension() == Some("md"));
    tally.add("links in documents resolve", documents.flat_map(|file| broken_links(file, &texts)).collect());
}

fn broken_links(file: &TextFile, texts: &BTreeMap<&Utf8Path, &str>) -> Vec<String> {
    let directory = file.path.parent().unwrap_or(Utf8Path::new(""));
    let mut broken = Vec::new();
    for target in link_targets(&file.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = if path.is_empty() { file.path.clone() } else { normal(&directory.join(path)) };
        let is_directory = texts.keys().any(|known| known.starts_with(&path) && **known != path);
        match texts.get(path.as_path()) {
            None if !is_directory => broken.push(format!("{}: `{target}` leads to no file", file.path)),
            Some(text) if !anchor.is_empty() && !anchors(text).contains(&anchor.to_owned()) => {
                broken.push(format!("{}: `{target}` leads to no heading", file.path));
            }
            _ => {}
        }
    }
    broken
}

/// The targets of `[text](target)`, outside of code blocks.
fn link_targets(text: &str) -> Vec<&str> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect()
}

/// The anchors that a renderer gives the headings.
fn anchors(text: &str) -> Vec<String> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component.as_str() {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::file("[a](b.md)", &[])]
    #[case::up("[a](../README.md)", &[])]
    #[case::directory("[a](../clusters)", &[])]
    #[case::anchor("[a](b.md#a-heading-with-code)", &[])]
    #[case::own_anchor("# Here\n[a](#here)", &[])]
    #[case::web("[a](https://docs.rs/x)", &[])]
    #[case::code("```\n[a](nowhere.md)\n```", &[])]
    #[case::missing("[a](nowhere.md)", &["docs/a.md: `nowhere.md` leads to no file"])]
    #[case::missing_anchor("[a](b.md#nowhere)", &["docs/a.md: `b.md#nowhere` leads to no heading"])]
    fn a_link_leads_somewhere(#[case] text: &str, #[case] findings: &[&str]) {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.to_owned() };
        let files = [
            file("docs/a.md", text),
            file("docs/b.md", "## A heading, with `code`\n"),
            file("README.md", ""),
            file("clusters/pins.yaml", ""),
        ];
        let mut tally = Tally::default();
        check(&files, &mut tally);
        assert_eq!(tally.findings(), findings);
    }
}
