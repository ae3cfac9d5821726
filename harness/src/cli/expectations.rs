//! The arguments of `expectations`.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

/// `expectations`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExpectationsCommand {
    /// Propose edits of the expectations, as a diff that `git apply` takes; nothing is changed
    Update(UpdateArguments),
}

/// `expectations update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArguments {
    /// The report to propose them from: report.json or the directory it is in
    #[arg(long, env = "SANDPROOF_FROM", value_name = "REPORT")]
    pub(crate) from: Utf8PathBuf,
    /// The suite directory that the report is about; the project's own when not given
    #[arg(long, env = "SANDPROOF_SUITE", value_name = "DIR")]
    pub(crate) suite: Option<Utf8PathBuf>,
}
