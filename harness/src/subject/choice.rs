//! The subject of a run: what the command line and the profile say of it, checked before anything is created.

use std::{os::unix::fs::PermissionsExt, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_protocol::faults::{self, FAULTS};
use sandproof_scenarios::{SubjectProfile, yaml};

use super::{
    connection,
    reference::{Address, SubjectReference},
};
use crate::{cli::SubjectArguments, failure::Failure, paths::Paths};

/// The subject of a run.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// The driver; paths in it are absolute.
    pub(crate) reference: SubjectReference,
    /// What is known of it.
    pub(crate) profile: Arc<SubjectProfile>,
    /// How the profile was named, where it was.
    pub(crate) profile_name: Option<String>,
    /// Files of values for a chart, the last one first in rank; absolute.
    pub(crate) values: Vec<Utf8PathBuf>,
    /// Arguments for a process.
    pub(crate) arguments: Vec<String>,
    /// The namespace of the sandboxes of a driver that runs already.
    pub(crate) namespace: Option<String>,
    /// Faults of the reference driver: those of the profile, and those that were asked for.
    pub(crate) faults: Vec<String>,
}

impl Choice {
    /// Makes the choice, and refuses what cannot be run.
    pub(crate) fn make(paths: &Paths, arguments: &SubjectArguments) -> Result<Self, Failure> {
        let given = arguments.subject_profile.as_deref().map(|name| load(paths, name)).transpose()?;
        let reference = match (&arguments.subject, given.as_ref().and_then(|profile| profile.subject.as_deref())) {
            (Some(reference), _) => reference.clone(),
            (None, Some(text)) => SubjectReference::parse(text).map_err(|problem| {
                Failure::usage(format!("the subject profile names the subject `{text}`"), problem)
            })?,
            (None, None) => SubjectReference::Reference,
        };
        let profile = match given {
            Some(profile) => profile,
            None => load(paths, usual_profile(&reference))?,
        };
        let mut switched_on = profile.faults.clone();
        for fault in &arguments.faults {
            if faults::find(fault).is_none() {
                let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
                return Err(Failure::usage(
                    format!("there is no fault `{fault}`"),
                    format!("the faults are: {}", known.join(", ")),
                ));
            }
            if !switched_on.contains(fault) {
                switched_on.push(fault.clone());
            }
        }
        if reference != SubjectReference::Reference && !switched_on.is_empty() {
            return Err(Failure::usage(
                format!("{reference} has no faults to switch on: {}", switched_on.join(", ")),
                "faults are the reference driver's own; leave --subject out, or take a profile without `faults`",
            ));
        }
        Ok(Self {
            values: values(&reference, &arguments.values)?,
            arguments: words(&reference, &arguments.arguments)?,
            namespace: namespace(&reference, arguments.subject_namespace.as_deref())?,
            reference: found(reference)?,
            profile: Arc::new(profile),
            profile_name: arguments.subject_profile.clone(),
            faults: switched_on,
        })
    }

    /// Makes sure that somebody listens where a driver is said to run, before anything is created.
    pub(crate) async fn reach(&self) -> Result<(), Failure> {
        let SubjectReference::Grpc(address) = &self.reference else { return Ok(()) };
        connection::once(address).await.map(drop).map_err(|found| {
            Failure::usage(
                format!("no driver answers at {address}: {found}"),
                "start it first, with a kubeconfig of the cluster that --context names",
            )
        })
    }

    /// Whether it is this repository's own driver and chart, which is known to start.
    pub(crate) fn is_reference(&self) -> bool {
        self.reference == SubjectReference::Reference
    }

    /// Whether it is a driver that runs already.
    pub(crate) fn is_attached(&self) -> bool {
        matches!(self.reference, SubjectReference::Grpc(_))
    }

    /// The record's form of it.
    pub(crate) fn record(&self) -> sandproof_reports::Subject {
        sandproof_reports::Subject {
            reference: self.reference.to_string(),
            profile: self.profile.name.clone(),
            profile_file: self.profile_name.clone(),
            values: self.values.iter().map(ToString::to_string).collect(),
            arguments: self.arguments.clone(),
            namespace: self.namespace.clone(),
            faults: self.faults.clone(),
            absent: self
                .profile
                .absent
                .iter()
                .map(|absence| (absence.feature.to_string(), absence.reason.clone()))
                .collect(),
        }
    }
}

/// The profile of a subject for which none is named.
fn usual_profile(reference: &SubjectReference) -> &'static str {
    match reference {
        SubjectReference::Reference => "reference",
        SubjectReference::Chart(_) | SubjectReference::OciChart { .. } => "chart",
        SubjectReference::Process(_) => "process",
        SubjectReference::Grpc(_) => "attached",
    }
}

/// Loads a profile: a name of one that comes with the project, or a file.
fn load(paths: &Paths, name: &str) -> Result<SubjectProfile, Failure> {
    let own = paths.subjects();
    let file = if name.contains('/') || matches!(Utf8Path::new(name).extension(), Some("yaml" | "yml")) {
        Utf8PathBuf::from(name)
    } else {
        own.join(format!("{name}.yaml"))
    };
    if !file.is_file() {
        return Err(Failure::usage(
            format!("there is no subject profile {name}"),
            format!("name a YAML file, or one of those that come with the project: {}", shipped(&own).join(", ")),
        ));
    }
    let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    SubjectProfile::load(&file, &known).map_err(Failure::source)
}

/// The names of the profiles in a directory.
fn shipped(directory: &Utf8Path) -> Vec<String> {
    let entries = directory.read_dir_utf8().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.path().file_stem().map(str::to_owned)).collect();
    names.sort();
    names
}

/// The reference with absolute paths, once what it names is found.
fn found(reference: SubjectReference) -> Result<SubjectReference, Failure> {
    match reference {
        SubjectReference::Reference
        | SubjectReference::OciChart { .. }
        | SubjectReference::Grpc(Address::Socket(_) | Address::Http(_)) => Ok(reference),
        SubjectReference::Chart(path) => {
            let absolute = absolute(&path, "chart")?;
            let is_chart = if absolute.is_dir() {
                absolute.join("Chart.yaml").is_file()
            } else {
                absolute.extension() == Some("tgz")
            };
            if is_chart {
                return Ok(SubjectReference::Chart(absolute));
            }
            Err(Failure::usage(
                format!("{path} is no chart"),
                "a chart is a directory with Chart.yaml in it, or a .tgz archive of one",
            ))
        }
        SubjectReference::Process(path) => {
            let absolute = absolute(&path, "program")?;
            let executable =
                absolute.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
            if executable {
                return Ok(SubjectReference::Process(absolute));
            }
            Err(Failure::usage(format!("{path} is no program"), "name a file that can be executed (chmod +x)"))
        }
    }
}

fn absolute(path: &Utf8Path, what: &str) -> Result<Utf8PathBuf, Failure> {
    path.canonicalize_utf8().map_err(|error| {
        Failure::usage(format!("there is no {what} at {path}: {error}"), "paths start at the current directory")
    })
}

/// The files of values, once each of them is found to hold a map.
fn values(reference: &SubjectReference, files: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>, Failure> {
    if matches!(reference, SubjectReference::Process(_) | SubjectReference::Grpc(_)) && !files.is_empty() {
        return Err(Failure::usage(
            format!("{reference} takes no values"),
            "--values is for a chart; a process takes --args, and a driver that runs already takes neither",
        ));
    }
    let mut absolutes = Vec::new();
    for file in files {
        let absolute = absolute(file, "file of values")?;
        let content = yaml::load(file).map_err(Failure::source)?;
        if !content.is_object() && !content.is_null() {
            return Err(Failure::usage(format!("{file} holds no values"), "a file of values is a YAML map"));
        }
        absolutes.push(absolute);
    }
    Ok(absolutes)
}

/// A driver that runs already cannot be given a namespace of each scenario's own: it has one.
fn namespace(reference: &SubjectReference, given: Option<&str>) -> Result<Option<String>, Failure> {
    match (reference, given) {
        (SubjectReference::Grpc(_), None) => Err(Failure::usage(
            format!("{reference} has its sandboxes in a namespace that nobody has named"),
            "name it with --subject-namespace; it should hold no sandboxes",
        )),
        (SubjectReference::Grpc(_), Some(namespace)) => Ok(Some(namespace.to_owned())),
        (_, None) => Ok(None),
        (_, Some(_)) => Err(Failure::usage(
            format!("{reference} gets a namespace of its own for each scenario"),
            "--subject-namespace is for a driver that runs already (grpc:ADDRESS)",
        )),
    }
}

fn words(reference: &SubjectReference, arguments: &[String]) -> Result<Vec<String>, Failure> {
    if !matches!(reference, SubjectReference::Process(_)) && !arguments.is_empty() {
        return Err(Failure::usage(
            format!("{reference} takes no arguments"),
            "--args is for a process; a chart takes --values",
        ));
    }
    Ok(arguments.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_that_come_with_the_project_are_without_fault() {
        let directory = Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/subjects");
        let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        let names = shipped(&directory);
        for name in &names {
            let file = directory.join(format!("{name}.yaml"));
            let profile = SubjectProfile::load(&file, &known).unwrap_or_else(|errors| panic!("{:?}", errors.errors()));
            assert_eq!(profile.name, *name);
        }
        assert_eq!(names, ["attached", "chart", "process", "reference", "upstream", "upstream-like"]);
    }
}
