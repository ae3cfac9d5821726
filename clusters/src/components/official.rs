//! Fetching a component's official downloads, from the project itself or from a mirror.
//!
//! A mirror keeps them under their host and path: `https://dl.k8s.io/release/…` is
//! `<mirror>/dl.k8s.io/release/…`, checksums included.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use thiserror::Error;

use super::{
    archive::{self, ArchiveError, PROGRAM_MODE},
    http::{Client, Fetched, HttpError},
    pins::{ComponentPin, Download, Format},
    template::{Template, TemplateError},
};

/// How often a download reports how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Why the downloads did not give the component.
#[derive(Debug, Error)]
pub(super) enum OfficialError {
    #[error("there is no official download")]
    None,
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{url} has no SHA-256 sum for {file}")]
    NoChecksum { url: String, file: String },
    #[error("{url} has SHA-256 {found}, and {expected} is published for it; it was thrown away")]
    WrongChecksum { url: String, expected: String, found: String },
    #[error("{url}: {source}")]
    Archive { url: String, source: ArchiveError },
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error("the extraction was interrupted")]
    Interrupted,
}

/// Fetches everything that `pin` names for one version into `directory`; returns the URLs.
pub(super) async fn fetch(
    client: &Client,
    mirror: Option<&str>,
    pin: &ComponentPin,
    template: &Template,
    directory: &Utf8Path,
    mut progress: impl FnMut(String),
) -> Result<Vec<String>, OfficialError> {
    if pin.official.is_empty() {
        return Err(OfficialError::None);
    }
    let mut urls = Vec::new();
    for download in &pin.official {
        for program in targets(download, pin) {
            let template = template.program(program);
            let official = template.expand(&download.url)?;
            let url = mirrored(mirror, &official);
            let sum = match download.sha256.get(&official) {
                Some(pinned) => pinned.clone(),
                None => published(client, mirror, &template.expand(&download.checksum.url)?, &url).await?,
            };
            let partial = directory.join(".download");
            let fetched = file(client, &url, &partial, &mut progress).await?;
            if fetched.sha256 != sum {
                return Err(OfficialError::WrongChecksum { url, expected: sum, found: fetched.sha256 });
            }
            unpack(download, &template, &url, &partial, directory, program).await?;
            urls.push(url);
        }
    }
    Ok(urls)
}

/// The programs that a download is fetched for: each of them, or one fetch for all.
fn targets<'a>(download: &Download, pin: &'a ComponentPin) -> Vec<&'a str> {
    let each = download.url.contains("{program}");
    let count = if each { pin.programs.len() } else { 1 };
    pin.programs.iter().take(count).map(String::as_str).collect()
}

fn mirrored(mirror: Option<&str>, url: &str) -> String {
    match (mirror, url.split_once("://")) {
        (Some(mirror), Some((_, rest))) => format!("{}/{rest}", mirror.trim_end_matches('/')),
        _ => url.to_owned(),
    }
}

async fn published(client: &Client, mirror: Option<&str>, checksum: &str, url: &str) -> Result<String, OfficialError> {
    let checksum = mirrored(mirror, checksum);
    let name = url.rsplit('/').next().unwrap_or(url);
    let text = client.text(&checksum).await?;
    sum_of(&text, name).ok_or_else(|| OfficialError::NoChecksum { url: checksum, file: name.to_owned() })
}

/// The sum of `name` in a checksum file: the line that names it, or a bare sum that stands alone.
pub(super) fn sum_of(text: &str, name: &str) -> Option<String> {
    let is_sum = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut bare = None;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some(sum), None) if is_sum(sum) => bare = Some(sum),
            (Some(sum), Some(file)) if is_sum(sum) => {
                let file = file.trim_start_matches('*');
                if file.rsplit('/').next() == Some(name) {
                    return Some(sum.to_ascii_lowercase());
                }
            }
            _ => {}
        }
    }
    let alone = text.split_whitespace().count() == 1;
    bare.filter(|_| alone).map(str::to_ascii_lowercase)
}

async fn file(
    client: &Client,
    url: &str,
    to: &Utf8Path,
    progress: &mut impl FnMut(String),
) -> Result<Fetched, OfficialError> {
    progress(url.to_owned());
    let mut reported = Instant::now();
    let fetched = client
        .file(url, to, |received, expected| {
            if reported.elapsed() < REPORT_EVERY {
                return;
            }
            reported = Instant::now();
            let megabytes = |bytes: u64| bytes / 1_000_000;
            progress(match expected {
                Some(expected) => format!("{url}: {} of {} MB", megabytes(received), megabytes(expected)),
                None => format!("{url}: {} MB", megabytes(received)),
            });
        })
        .await?;
    Ok(fetched)
}

async fn unpack(
    download: &Download,
    template: &Template,
    url: &str,
    partial: &Utf8Path,
    directory: &Utf8Path,
    program: &str,
) -> Result<(), OfficialError> {
    match download.format {
        Format::File => {
            fs_err::tokio::rename(partial, directory.join(program)).await?;
            set_program_mode(&directory.join(program))?;
        }
        Format::TarGz => {
            let members: BTreeMap<String, String> = download
                .members
                .iter()
                .map(|(program, path)| Ok((program.clone(), template.expand(path)?)))
                .collect::<Result<_, TemplateError>>()?;
            let (from, to) = (partial.to_owned(), directory.to_owned());
            tokio::task::spawn_blocking(move || archive::extract(&from, &members, &to))
                .await
                .map_err(|_| OfficialError::Interrupted)?
                .map_err(|source| OfficialError::Archive { url: url.to_owned(), source })?;
            fs_err::tokio::remove_file(partial).await?;
        }
    }
    Ok(())
}

fn set_program_mode(path: &Utf8Path) -> Result<(), std::io::Error> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(PROGRAM_MODE))
}
