//! Reads a directory of scenario files.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::language::{Parameters, Scenario, ScenarioFile, ScenarioInstance};
use crate::lint;
use crate::nearest::{did_you_mean, or_list};
use crate::parameters::Substitution;
use crate::source::{Document, Step};
use crate::suite_error::{SuiteError, SuiteErrors};

/// The file in a suite's directory that is no scenario: what its results should be where that is not a pass.
pub const EXPECTATIONS: &str = "expectations.yaml";

/// The scenarios of a directory, in the order of their IDs.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
}

/// A scenario file that was read, and where its ID stands.
struct Read {
    scenario: Scenario,
    document: Document,
}

impl Suite {
    /// Reads every `.yaml` file below `directory` but its [`EXPECTATIONS`], and reports every fault that is found in any of them.
    /// `known_faults` are the names that `faults:` may list.
    pub fn load(directory: &Utf8Path, known_faults: &[&str]) -> Result<Self, SuiteErrors> {
        let mut files = Vec::new();
        collect_files(directory, &mut files).map_err(|error| SuiteErrors::unreadable(directory, &error))?;
        files.retain(|file| *file != directory.join(EXPECTATIONS));
        files.sort();
        if files.is_empty() {
            return Err(vec![SuiteError::new(
                format!("there is no scenario file (*.yaml) below {directory}"),
                directory,
            )]
            .into());
        }
        let mut texts = Vec::with_capacity(files.len());
        for file in files {
            let text = fs_err::read_to_string(&file).map_err(|error| SuiteErrors::unreadable(&file, &error))?;
            texts.push((file, text));
        }
        Self::from_texts(&texts, known_faults)
    }

    /// Reads scenario files whose texts are at hand.
    pub fn from_texts(texts: &[(Utf8PathBuf, String)], known_faults: &[&str]) -> Result<Self, SuiteErrors> {
        let mut errors = Vec::new();
        let mut scenarios: BTreeMap<String, Read> = BTreeMap::new();
        for (file, text) in texts {
            match read(file, text, known_faults) {
                Err(found) => errors.extend(found),
                Ok(read) => match scenarios.get(&read.scenario.id) {
                    Some(first) => errors.push(duplicate_id(&read, first)),
                    None => {
                        scenarios.insert(read.scenario.id.clone(), read);
                    }
                },
            }
        }
        if errors.is_empty() {
            Ok(Self { scenarios: scenarios.into_values().map(|read| read.scenario).collect() })
        } else {
            Err(errors.into())
        }
    }

    /// The scenario with this ID.
    pub fn scenario(&self, id: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.id == id)
    }

    /// Every instance of every scenario.
    pub fn instances(&self) -> impl Iterator<Item = &ScenarioInstance> {
        self.scenarios.iter().flat_map(|scenario| &scenario.instances)
    }
}

fn collect_files(directory: &Utf8Path, into: &mut Vec<Utf8PathBuf>) -> std::io::Result<()> {
    for entry in fs_err::read_dir(directory)? {
        let path = Utf8PathBuf::try_from(entry?.path()).map_err(camino::FromPathBufError::into_io_error)?;
        if path.is_dir() {
            collect_files(&path, into)?;
        } else if matches!(path.extension(), Some("yaml" | "yml")) {
            into.push(path);
        }
    }
    Ok(())
}

fn duplicate_id(second: &Read, first: &Read) -> SuiteError {
    let id = [Step::from("id")];
    second
        .document
        .error(format!("the ID `{}` is taken", second.scenario.id), &id)
        .with_help("give it the next free number of its area")
        .with_related(first.document.error(format!("`{}` is here too", first.scenario.id), &id))
}

fn read(file: &Utf8Path, text: &str, known_faults: &[&str]) -> Result<Read, Vec<SuiteError>> {
    let document = Document::parse(file, text).map_err(|error| vec![error])?;
    let mut found = Faults::default();
    if !document.value().is_object() {
        let error = document.error("this is no scenario", &[]);
        return Err(vec![error.with_help("a scenario is a map that begins with `id:`")]);
    }
    let sets = parameter_sets(&document, &mut found);
    if !found.0.is_empty() {
        return Err(found.0);
    }
    let mut used = BTreeSet::new();
    let mut instances = Vec::with_capacity(sets.len());
    for parameters in &sets {
        let mut substitution = Substitution::new(parameters);
        let value = substituted(document.value(), &mut substitution);
        used.append(&mut substitution.used);
        if !substitution.unknown.is_empty() {
            for unknown in substitution.unknown {
                found.add(document.error(unknown.message, &unknown.path).with_optional_help(unknown.help));
            }
            continue;
        }
        match document.read::<ScenarioFile>(&value) {
            Err(error) => found.add(error),
            Ok(file) => {
                let instance = ScenarioInstance::new(file, parameters.clone());
                for error in lint::instance(&instance, &document) {
                    found.add(error);
                }
                instances.push(instance);
            }
        }
    }
    if let Some(first) = instances.first() {
        lint_parameters(&sets, &used, &document, &mut found);
        lint_names(file, first, known_faults, &document, &mut found);
    }
    match instances.first() {
        Some(first) if found.0.is_empty() => {
            let title = document.value().get("title").and_then(Value::as_str).unwrap_or(&first.title);
            let scenario = Scenario {
                id: first.id.clone(),
                title: title.to_owned(),
                promise: first.promise.clone(),
                source: first.source.clone(),
                tags: first.tags.clone(),
                faults: first.faults.clone(),
                features: instances.iter().flat_map(|instance| instance.features.iter().copied()).collect(),
                parameters: sets,
                file: file.to_owned(),
                instances,
            };
            Ok(Read { scenario, document })
        }
        _ => Err(found.0),
    }
}

/// The faults of one file; the same fault in several instances is one.
#[derive(Default)]
struct Faults(Vec<SuiteError>);

impl Faults {
    fn add(&mut self, error: SuiteError) {
        if !self.0.iter().any(|other| other.is_same(&error)) {
            self.0.push(error);
        }
    }
}

/// The sets of parameters; one empty set where there are none.
fn parameter_sets(document: &Document, found: &mut Faults) -> Vec<Parameters> {
    let none = || vec![Parameters::new()];
    let Some(Value::Array(entries)) = document.value().get("parameters") else { return none() };
    let sets: Vec<Parameters> = entries.iter().filter_map(|entry| entry.as_object().cloned()).collect();
    let (Some(first), true) = (sets.first(), sets.len() == entries.len()) else {
        // What is wrong with them is found again, with its place, when the whole file is read.
        return none();
    };
    for (position, set) in sets.iter().enumerate() {
        let at = ["parameters".into(), position.into()];
        if !set.keys().eq(first.keys()) || set.is_empty() {
            found.add(document.error("every entry needs a value for the same parameters", &at));
        }
        if sets[..position].contains(set) {
            found.add(document.error("the same values are given above", &at));
        }
    }
    sets
}

/// The file with the parameters in place wherever they may stand.
fn substituted(value: &Value, substitution: &mut Substitution<'_>) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let mut fields = fields.clone();
    for name in ["title", "applies", "unsupported", "steps", "expect"] {
        if let Some(field) = fields.get_mut(name) {
            *field = substitution.apply(field, &mut vec![name.into()]);
        }
    }
    Value::Object(fields)
}

fn lint_parameters(sets: &[Parameters], used: &BTreeSet<String>, document: &Document, found: &mut Faults) {
    let text = |field: &str| document.value().get(field).map(Value::to_string).unwrap_or_default();
    let conditions = text("applies") + &text("unsupported");
    for name in sets.iter().flat_map(Parameters::keys) {
        if !used.contains(name) && !conditions.contains(&format!("param.{name}")) {
            let at = ["parameters".into(), 0.into(), name.as_str().into()];
            found.add(document.error(format!("the parameter `{name}` is not used"), &at));
        }
    }
}

/// What is the same for every instance: the ID, the words for people, the faults.
fn lint_names(
    file: &Utf8Path,
    first: &ScenarioInstance,
    known_faults: &[&str],
    document: &Document,
    found: &mut Faults,
) {
    if !is_id(&first.id) {
        let message = format!("`{}` is not an ID", first.id);
        let help = "an ID is two capital letters, a hyphen and two or more digits, for example `PS-02`";
        found.add(document.error(message, &["id".into()]).with_help(help));
    } else if !file.file_name().unwrap_or_default().starts_with(&format!("{}-", first.id)) {
        let help = format!("name it `{}-<what it is about>.yaml`", first.id);
        found.add(document.error("the file's name does not begin with the ID", &["id".into()]).with_help(help));
    }
    for (name, text) in [("title", &first.title), ("promise", &first.promise), ("source", &first.source)] {
        if text.trim().is_empty() {
            found.add(document.error(format!("`{name}` is empty"), &[name.into()]));
        }
    }
    for (position, fault) in first.faults.iter().enumerate() {
        if !known_faults.contains(&fault.as_str()) {
            let known = known_faults.iter().copied();
            let help =
                did_you_mean(fault, known.clone()).unwrap_or_else(|| format!("the faults are {}", or_list(known)));
            let at = ["faults".into(), position.into()];
            found.add(document.error(format!("unknown fault `{fault}`"), &at).with_help(help));
        }
    }
}

pub(crate) fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(area, number)| {
        area.len() == 2
            && area.chars().all(|letter| letter.is_ascii_uppercase())
            && number.len() >= 2
            && number.chars().all(|digit| digit.is_ascii_digit())
    })
}
