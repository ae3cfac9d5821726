//! Tasks of the repository itself: its rules, its generated files, and the checks of what a live run left.

mod codegen;
mod kills;
mod leftover;
mod mutations;
mod record;
mod suite;
mod tally;
mod tidy;
mod verdicts;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::tally::Tally;
use crate::workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask TASK

  tidy                  check the rules of the repository
  codegen               write the generated files again
  codegen --check       fail where a generated file is not what it should be
  check-record PATH     check the report of a smoke run
  check-verdicts PATH RESULT=VERDICT...
                        check that a report says so
  check-leftover PATH   check the report of a run of ci/leftover, whose chart leaves something
  check-mutations PATH  check what `selftest mutations --json` printed
  check-kills PATH      check what `selftest kills --json` printed";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(tally) => tally.report(),
        Err(error) => tally::report_error(&error),
    }
}

async fn run(arguments: &[String]) -> Result<Tally> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workspace = Workspace::find()?;
    match arguments[..] {
        ["tidy"] => tidy::run(&workspace).await,
        ["codegen"] => codegen::write(&workspace),
        ["codegen", "--check"] => codegen::check(&workspace),
        ["check-record", path] => record::check(&workspace, path.as_ref()),
        ["check-verdicts", path, ref wanted @ ..] => verdicts::check(path.as_ref(), wanted),
        ["check-mutations", path] => mutations::check(&workspace, path.as_ref()),
        ["check-leftover", path] => leftover::check(path.as_ref()),
        ["check-kills", path] => kills::check(path.as_ref()),
        _ => bail!("{USAGE}"),
    }
}
