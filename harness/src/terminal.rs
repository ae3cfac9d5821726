//! The one place that writes to standard output and standard error.

#![expect(clippy::print_stderr, reason = "this is the terminal sink")]

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    sync::OnceLock,
};

use clap::ValueEnum;
use miette::{GraphicalReportHandler, GraphicalTheme, NarratableReportHandler};
use sandproof_reports::ExitCode as Code;

use crate::failure::Failure;

/// When to use color.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

static COLOR: OnceLock<ColorChoice> = OnceLock::new();

/// Remembers the choice for everything that is printed later.
pub(crate) fn prepare(choice: ColorChoice) {
    let _ = COLOR.set(choice);
}

/// Whether results on standard output are colored.
pub(crate) fn stdout_color() -> bool {
    color(std::io::stdout().is_terminal())
}

/// Whether progress on standard error is colored.
pub(crate) fn stderr_color() -> bool {
    color(std::io::stderr().is_terminal())
}

/// Whether progress may redraw lines.
pub(crate) fn progress_is_live() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("CI").is_none()
        && std::env::var("TERM").map_or(true, |term| term != "dumb")
}

/// Columns of the terminal on standard output; 100 where it has none.
pub(crate) fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns >= 40)
        .unwrap_or(100)
}

/// Writes a result; a closed pipe is the reader's choice and no error.
pub(crate) fn result(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = stdout.write_all(b"\n");
    }
    let _ = stdout.flush();
}

/// Writes a value as JSON to standard output.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::environment("write the result as JSON", error))?;
    result(&text);
    Ok(())
}

/// Writes a line of progress to standard error.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Shows a mistake in the command line, or the help or version that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Code::USAGE } else { Code::CONFORMANT }.code())
}

/// Shows an error and gives its exit code.
pub(crate) fn failure(error: &Failure) -> ExitCode {
    let mut text = String::new();
    let rendered = if std::io::stderr().is_terminal() {
        let theme = if stderr_color() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        GraphicalReportHandler::new_themed(theme).render_report(&mut text, error)
    } else {
        GraphicalReportHandler::new_themed(GraphicalTheme::none())
            .render_report(&mut text, error)
            .or_else(|_| NarratableReportHandler::new().render_report(&mut text, error))
    };
    if rendered.is_ok() {
        eprint!("{}", text.trim_start_matches('\n'));
    } else {
        eprintln!("error: {error}");
    }
    ExitCode::from(error.exit_code())
}

fn color(terminal: bool) -> bool {
    match COLOR.get().copied().unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}
