//! What reaches the agent's process: environment and command, within what Linux can hand to a process.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::{InvalidRequest, check, quoted};

/// The most variables a sandbox may bring: the pod has each of them twice, and the object must fit into etcd.
pub const MAXIMUM_VARIABLES: usize = 2048;
/// The longest JSON that fits into one variable, in bytes.
///
/// Linux hands a process no string of more than 128 KiB (`MAX_ARG_STRLEN`); the supervisor gets the environment and the command
/// as JSON in one variable each, whose name and final NUL count too.
pub const MAXIMUM_JSON: usize = 131_072 - 64;

/// The environment of both places; the sandbox's own goes before the template's.
pub(super) fn environment(
    template: HashMap<String, String>,
    own: HashMap<String, String>,
) -> Result<BTreeMap<String, String>, InvalidRequest> {
    check_variables("template.environment", &template)?;
    check_variables("spec.environment", &own)?;
    let mut environment: BTreeMap<String, String> = template.into_iter().collect();
    environment.extend(own);
    if environment.len() > MAXIMUM_VARIABLES {
        let found = environment.len();
        return Err(both(&format!("have {found} variables; at most {MAXIMUM_VARIABLES} are allowed")));
    }
    let length = json!(environment).to_string().len();
    if length > MAXIMUM_JSON {
        return Err(both(&format!("have {length} bytes as JSON; at most {MAXIMUM_JSON} fit into the process")));
    }
    Ok(environment)
}

/// The command of the main process.
pub(super) fn command(command: Vec<String>) -> Result<Vec<String>, InvalidRequest> {
    if let Some(index) = command.iter().position(|word| word.contains('\0')) {
        return Err(InvalidRequest::Field { field: format!("spec.command[{index}]"), problem: NUL.to_owned() });
    }
    if command.first().is_some_and(String::is_empty) {
        return Err(InvalidRequest::Field {
            field: "spec.command[0]".to_owned(),
            problem: "must not be empty: it is the program".to_owned(),
        });
    }
    let length = json!(command).to_string().len();
    if length > MAXIMUM_JSON {
        let problem = format!("has {length} bytes as JSON; at most {MAXIMUM_JSON} fit into the process");
        return Err(InvalidRequest::Field { field: "spec.command".to_owned(), problem });
    }
    Ok(command)
}

const NUL: &str = "must not contain a NUL character";

fn both(problem: &str) -> InvalidRequest {
    InvalidRequest::Field {
        field: "spec.environment".to_owned(),
        problem: format!("with template.environment, {problem}"),
    }
}

fn check_variables(path: &str, variables: &HashMap<String, String>) -> Result<(), InvalidRequest> {
    // In order, so that one request is always refused with the same words.
    let mut names: Vec<&String> = variables.keys().collect();
    names.sort_unstable();
    for name in names {
        check(&format!("name in {path}"), name, name_problem)?;
        // A value may be a secret, so it is never shown.
        if variables.get(name).is_some_and(|value| value.contains('\0')) {
            return Err(InvalidRequest::Field { field: format!("{path}[{}]", quoted(name)), problem: NUL.to_owned() });
        }
    }
    Ok(())
}

/// Why `name` is not a name of an environment variable in every Kubernetes version, or nothing if it is one.
fn name_problem(name: &str) -> Option<&'static str> {
    let first_is_good = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    let all_are_good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !first_is_good || !all_are_good {
        return Some("must be letters, digits, '_', '-' and '.', and must not begin with a digit");
    }
    // Kubernetes takes these for a path.
    if matches!(name, "." | "..") || name.starts_with("..") {
        return Some("must not be '.' and must not begin with '..'");
    }
    None
}
