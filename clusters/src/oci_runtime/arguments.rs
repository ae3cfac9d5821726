//! Finding what a runtime command line is about, by runc's conventions.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// Global options that take their value as the next argument.
const GLOBAL_WITH_VALUE: [&str; 5] = ["--log", "--log-format", "--root", "--criu", "--rootless"];

/// What a command line reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A bundle's directory.
    Bundle(PathBuf),
    /// A file with a process to execute.
    Process(PathBuf),
}

/// What this command line (without the program's name) reads, if anything that can be adjusted.
pub(super) fn target(arguments: &[OsString]) -> Option<Target> {
    let mut rest = arguments.iter();
    let command = loop {
        let argument = rest.next()?.to_str()?;
        if !argument.starts_with('-') {
            break argument;
        }
        if GLOBAL_WITH_VALUE.contains(&argument) {
            rest.next()?;
        }
    };
    let rest: Vec<&OsString> = rest.collect();
    match command {
        "create" | "run" | "restore" => {
            Some(Target::Bundle(option(&rest, &["--bundle", "-b"]).map_or_else(|| PathBuf::from("."), PathBuf::from)))
        }
        "exec" => option(&rest, &["--process", "-p"]).map(|file| Target::Process(file.into())),
        _ => None,
    }
}

/// The value of an option, as `--name value` or `--name=value`.
fn option(arguments: &[&OsString], names: &[&str]) -> Option<OsString> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str() else { continue };
        if text == "--" {
            return None;
        }
        for name in names {
            if text == *name {
                return arguments.next().map(|value| OsStr::to_owned(value));
            }
            if let Some(value) = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                return Some(value.into());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("--root /run/runc create --bundle /b --pid-file /p id", Some(Target::Bundle("/b".into())))]
    #[case("--root=/run/runc --systemd-cgroup create -b /b id", Some(Target::Bundle("/b".into())))]
    #[case("--log /l --log-format json run --bundle=/b id", Some(Target::Bundle("/b".into())))]
    #[case("create id", Some(Target::Bundle(".".into())))]
    #[case("--root /r exec --pid-file /p --process /proc.json --detach id", Some(Target::Process("/proc.json".into())))]
    #[case("exec -p=/proc.json id", Some(Target::Process("/proc.json".into())))]
    #[case("exec id sh -c true", None)]
    #[case("exec id -- --process x", None)]
    #[case("--root /r start id", None)]
    #[case("--root create delete id", None)]
    #[case("--version", None)]
    #[case("features", None)]
    #[case("", None)]
    fn a_command_line_tells_what_it_reads(#[case] line: &str, #[case] expected: Option<Target>) {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        assert_eq!(target(&arguments), expected);
    }
}
