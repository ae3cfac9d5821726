//! The files of a report: reading one record, writing all forms of it.

use std::io::{self, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::Deserialize;

use crate::{Record, SCHEMA, html, junit, markdown};

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("could not read the report {path}: name a `report.json` or the directory of a run that holds one")]
    File {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not JSON, or is JSON that is no record.
    #[error(
        "could not read {path} as a report: line {line}, column {column}: {text}: \
         a report is never edited by hand; run again, or mend the file as schema/report.v1.json says"
    )]
    Syntax {
        /// The file.
        path: Utf8PathBuf,
        /// The line of the fault, from 1.
        line: usize,
        /// The column of the fault, from 1.
        column: usize,
        /// What is wrong there.
        text: String,
    },
    /// The file is of another version, or of another tool.
    #[error(
        "could not read {path}: its schema is `{found}` and this program reads `{SCHEMA}`: \
         use the version of sandproof that wrote it"
    )]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// The schema it names.
        found: String,
    },
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write the report file {path}: check that the directory may be written and has space")]
pub struct WriteError {
    /// The file.
    pub path: Utf8PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// The files of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The record itself: `report.json`.
    pub record: Utf8PathBuf,
    /// For CI systems: `junit.xml`.
    pub junit: Utf8PathBuf,
    /// For a step summary: `summary.md`.
    pub summary: Utf8PathBuf,
    /// For a browser: `matrix.html`.
    pub matrix: Utf8PathBuf,
}

impl Record {
    /// Reads a record from a file, or from `report.json` in a directory.
    pub fn read(path: impl AsRef<Utf8Path>) -> Result<Self, ReadError> {
        let mut path = path.as_ref().to_owned();
        if path.is_dir() {
            path.push("report.json");
        }
        match fs::read_to_string(&path) {
            Ok(json) => Self::parse(&path, &json),
            Err(source) => Err(ReadError::File { path, source }),
        }
    }

    /// Reads a record from JSON; `path` is what errors name.
    pub fn parse(path: &Utf8Path, json: &str) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let syntax = |error: serde_json::Error| {
            // The position is given as fields of its own.
            let text = error.to_string();
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text).to_owned();
            ReadError::Syntax { path: path.to_owned(), line: error.line(), column: error.column(), text }
        };
        // The version first: a field that another version added is no mistake in the file.
        let head: Head = serde_json::from_str(json).map_err(syntax)?;
        if head.schema != SCHEMA {
            return Err(ReadError::Version { path: path.to_owned(), found: head.schema });
        }
        serde_json::from_str(json).map_err(syntax)
    }

    /// The record as it is written to `report.json`.
    pub fn to_json(&self) -> String {
        let mut json = pretty(self);
        json.push('\n');
        json
    }

    /// Writes `report.json`, `junit.xml`, `summary.md` and `matrix.html` into a directory, which is made if need be.
    ///
    /// Each file appears whole or not at all. The record comes first, for all others can be rendered from it.
    pub fn write_all(&self, directory: impl AsRef<Utf8Path>) -> Result<Written, WriteError> {
        let directory = directory.as_ref();
        fs::create_dir_all(directory).map_err(|source| WriteError { path: directory.to_owned(), source })?;
        Ok(Written {
            record: write(directory, "report.json", &self.to_json())?,
            junit: write(directory, "junit.xml", &junit::render(self))?,
            summary: write(directory, "summary.md", &markdown::render(self))?,
            matrix: write(directory, "matrix.html", &html::render(self))?,
        })
    }
}

#[expect(clippy::expect_used, reason = "the types have string keys only, and memory does not fail")]
fn pretty(record: &Record) -> String {
    serde_json::to_string_pretty(record).expect("a record is always JSON")
}

/// Writes a file beside its place and moves it there.
fn write(directory: &Utf8Path, name: &str, text: &str) -> Result<Utf8PathBuf, WriteError> {
    let path = directory.join(name);
    let place = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".").suffix(".partial");
        // A report is read by others than its writer; the user's mask still applies.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.persist(&path)?;
        Ok(())
    };
    match place() {
        Ok(()) => Ok(path),
        Err(source) => Err(WriteError { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::fixture;

    fn directory() -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        (directory, path)
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let (_guard, path) = directory();
        let record = fixture::record();
        let written = record.write_all(path.join("deep/er")).unwrap();
        assert_eq!(Record::read(&written.record).unwrap(), record);
        assert_eq!(Record::read(path.join("deep/er")).unwrap(), record);
        let mut names: Vec<String> =
            path.join("deep/er").read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["junit.xml", "matrix.html", "report.json", "summary.md"]);
    }

    #[test]
    fn writing_again_replaces() {
        let (_guard, path) = directory();
        fixture::record().write_all(&path).unwrap();
        let record = Record::new(fixture::run(), Vec::new(), false);
        record.write_all(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), record);
    }

    #[rstest]
    #[case::not_json("{\n  nonsense", "line 2, column 3: key must be a string")]
    #[case::no_schema("{}", "line 1, column 2: missing field `schema`")]
    #[case::other_version(
        r#"{"schema": "sandproof.report/v2", "new": 1}"#,
        "its schema is `sandproof.report/v2` and this program reads `sandproof.report/v1`"
    )]
    #[case::missing("{\n\"schema\": \"sandproof.report/v1\"\n}", "line 3, column 1: missing field `run`")]
    #[case::unknown(
        "{\n\"schema\": \"sandproof.report/v1\",\n\"extra\": 1}",
        "line 3, column 7: unknown field `extra`, expected one of"
    )]
    fn a_fault_is_named_with_its_place(#[case] json: &str, #[case] part: &str) {
        let message = Record::parse(Utf8Path::new("old/report.json"), json).unwrap_err().to_string();
        assert!(message.starts_with("could not read old/report.json"), "{message}");
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = Record::read("/nowhere/report.json").unwrap_err().to_string();
        assert!(message.starts_with("could not read the report /nowhere/report.json: name a"), "{message}");
    }
}
