//! The switchable faults. Without the feature `faults` the question is answered with no, at compile time.
//!
//! A supervisor has neither flags nor an environment of its own in a sandbox, so its image says which faults are on: the file
//! `<program>.faults` has their names, one a line.

/// Whether a fault is on.
#[cfg(feature = "faults")]
pub(crate) fn is_on(name: &str) -> bool {
    let Ok(program) = std::env::current_exe() else { return false };
    let mut file = program.into_os_string();
    file.push(".faults");
    std::fs::read_to_string(file).is_ok_and(|names| names.lines().any(|line| line.trim() == name))
}

/// Whether a fault is on.
#[cfg(not(feature = "faults"))]
pub(crate) fn is_on(_name: &str) -> bool {
    false
}
