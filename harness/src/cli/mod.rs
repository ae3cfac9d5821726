//! The command line. These types know clap; the rest of the program does not.

mod bench;
mod expectations;
mod run;
mod selftest;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use bench::{
    BenchArguments, BenchCommand, BenchDriverArguments, BenchMatrixArguments, BenchProvidersArguments,
    BenchSuiteArguments,
};
pub(crate) use expectations::{ExpectationsCommand, UpdateArguments};
pub(crate) use run::{ExistingArguments, Keep, Profile, RunArguments, SelectionArguments, SubjectArguments};
pub(crate) use selftest::{SelftestCommand, SoakArguments};

use crate::terminal::ColorChoice;

/// Proves, on real clusters, that a Kubernetes sandbox driver does what it promises.
#[derive(Debug, Parser)]
#[command(
    name = "sandproof",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 conformant, 1 nonconformant, 2 usage or configuration, 3 environment error, 4 nothing ran, 5 something was left behind, 130 interrupted."
)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArguments {
    /// When to use color
    #[arg(long, global = true, value_enum, default_value_t, env = "SANDPROOF_COLOR", value_name = "WHEN")]
    pub(crate) color: ColorChoice,
    /// Show each step of each scenario
    #[arg(long, short, global = true, env = "SANDPROOF_VERBOSE")]
    pub(crate) verbose: bool,
    /// Where components come from.
    #[command(flatten)]
    pub(crate) sources: SourceArguments,
}

/// Where components come from, after the cache.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct SourceArguments {
    /// Take components from this mirror of the official downloads before any other source but the cache
    #[arg(long, global = true, env = "SANDPROOF_MIRROR", value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Never try official downloads
    #[arg(long, global = true, env = "SANDPROOF_OFFLINE")]
    pub(crate) offline: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios on clusters and report the compatibility matrix
    Run(Box<RunArguments>),
    /// Show what a run would do, without doing it
    Plan(PlanArguments),
    /// List cells, scenarios, components or faults
    List(ListArguments),
    /// Say what a scenario does, step by step, what it checks and why
    Explain(ExplainArguments),
    /// Run one result of a report again, keep its cluster and say where to look
    Repro(ReproArguments),
    /// Create, inspect and remove clusters
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Render, merge or compare reports
    #[command(subcommand)]
    Report(ReportCommand),
    /// Say what this host can run, what is missing and what mends it
    Doctor(DoctorArguments),
    /// Obtain, list and verify the programs that clusters are made of
    #[command(subcommand)]
    Components(ComponentsCommand),
    /// Remove what dead runs left, and nothing of a living one
    Sweep(SweepArguments),
    /// Check a suite directory: file, line and caret for every mistake in it
    Lint(LintArguments),
    /// Keep what is known to differ in step with what was seen
    #[command(subcommand)]
    Expectations(ExpectationsCommand),
    /// Test the harness on itself
    #[command(subcommand)]
    Selftest(SelftestCommand),
    /// Measure the phases of a run, a matrix, a driver or the suite
    Bench(BenchArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    /// Print JSON: the matrix for a CI system
    #[arg(long, env = "SANDPROOF_JSON")]
    pub(crate) json: bool,
}

/// What `list` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListSubject {
    /// The cells that pins.yaml makes possible
    Cells,
    /// The scenarios of the suite
    Scenarios,
    /// The pinned components
    Components,
    /// The switchable faults of the reference driver
    Faults,
}

/// `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// What to list
    #[arg(value_enum)]
    pub(crate) subject: ListSubject,
    /// The suite directory
    #[arg(long, env = "SANDPROOF_SUITE", value_name = "DIR")]
    pub(crate) suite: Option<Utf8PathBuf>,
    /// Print JSON
    #[arg(long, env = "SANDPROOF_JSON")]
    pub(crate) json: bool,
}

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The scenario, for example PS-05; the key of one of its results will do
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The suite directory
    #[arg(long, env = "SANDPROOF_SUITE", value_name = "DIR")]
    pub(crate) suite: Option<Utf8PathBuf>,
}

/// `repro`.
#[derive(Debug, Args)]
pub(crate) struct ReproArguments {
    /// REPORT#CELL/SCENARIO, as a report prints it; REPORT is report.json or the directory it is in
    #[arg(value_name = "REPORT#CELL/SCENARIO")]
    pub(crate) target: String,
    /// What to do with the cluster afterwards
    #[arg(long, value_enum, default_value = "always", env = "SANDPROOF_KEEP", value_name = "WHEN")]
    pub(crate) keep: Keep,
    /// The seed; that of the report when not given
    #[arg(long, env = "SANDPROOF_SEED", value_name = "N")]
    pub(crate) seed: Option<u32>,
    /// The suite directory; that of the report when not given
    #[arg(long, env = "SANDPROOF_SUITE", value_name = "DIR")]
    pub(crate) suite: Option<Utf8PathBuf>,
    /// Where the cell is a cluster that was already there; what is not said is as in the report.
    #[command(flatten)]
    pub(crate) existing: ExistingArguments,
}

/// `cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Create a cluster with the reference driver's prerequisites and keep it
    Up {
        /// Its name
        #[arg(default_value = "dev")]
        name: String,
        /// Which cell of the matrix, as an expression; the first that matches
        #[arg(long, env = "SANDPROOF_CELL", value_name = "EXPR")]
        cell: Option<String>,
        /// Do not install missing Debian packages: say what is missing and stop
        #[arg(long, env = "SANDPROOF_NO_INSTALL")]
        no_install: bool,
    },
    /// Remove a cluster and everything that belongs to it
    Down {
        /// Its name
        name: String,
    },
    /// List clusters
    List {
        /// Print JSON
        #[arg(long, env = "SANDPROOF_JSON")]
        json: bool,
    },
    /// Print the path of a cluster's kubeconfig; the user's own is never touched
    Kubeconfig {
        /// The cluster's name
        name: String,
        /// Print its content instead
        #[arg(long, env = "SANDPROOF_RAW")]
        raw: bool,
    },
    /// Open a shell, or run a command, inside the node with KUBECONFIG set
    Shell {
        /// The cluster's name
        name: String,
        /// The command to run instead of a shell
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Print the logs of a cluster's programs
    Logs {
        /// The cluster's name
        name: String,
        /// One program, for example kubelet
        component: Option<String>,
        /// Lines from the end of each log; 0 prints all
        #[arg(long, env = "SANDPROOF_TAIL", default_value_t = 40, value_name = "N")]
        tail: usize,
    },
}

/// `report`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Render a report again
    Render {
        /// report.json or the directory it is in
        report: Utf8PathBuf,
        /// The form
        #[arg(long, env = "SANDPROOF_FORMAT", value_enum, default_value_t)]
        format: ReportFormat,
    },
    /// Merge the reports of shards into one directory
    Merge {
        /// The reports
        #[arg(required = true)]
        reports: Vec<Utf8PathBuf>,
        /// Where the merged report goes
        #[arg(long, env = "SANDPROOF_OUT", value_name = "DIR")]
        out: Utf8PathBuf,
    },
    /// Show what changed between two reports; exit 1 where something got worse, 3 where that is not known
    Diff {
        /// The older one
        old: Utf8PathBuf,
        /// The newer one
        new: Utf8PathBuf,
        /// Print JSON
        #[arg(long, env = "SANDPROOF_JSON")]
        json: bool,
    },
    /// Show each scenario's verdict over several reports, oldest first
    History {
        /// The reports
        #[arg(required = true)]
        reports: Vec<Utf8PathBuf>,
        /// Print JSON
        #[arg(long, env = "SANDPROOF_JSON")]
        json: bool,
    },
}

/// The forms of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// The matrix for a terminal
    #[default]
    Terminal,
    /// `JUnit` XML
    Junit,
    /// Markdown
    Markdown,
    /// One self-contained page
    Html,
    /// The record itself
    Json,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Install what is missing
    #[arg(long, env = "SANDPROOF_FIX")]
    pub(crate) fix: bool,
    /// Print JSON
    #[arg(long, env = "SANDPROOF_JSON")]
    pub(crate) json: bool,
}

/// `components`.
#[derive(Debug, Subcommand)]
pub(crate) enum ComponentsCommand {
    /// List the pinned components and which of them the cache has
    List {
        /// Print JSON
        #[arg(long, env = "SANDPROOF_JSON")]
        json: bool,
    },
    /// Obtain components from the cache, a mirror, the official download or a build
    #[command(visible_alias = "fetch")]
    Build {
        /// Which: NAME, or NAME@VERSION for another version than the default one; all defaults when none is given;
        /// node-image or node-image@MINOR assembles an image for kind clusters
        #[arg(value_name = "NAME[@VERSION]")]
        names: Vec<String>,
        /// Every version that the cells of the matrix need
        #[arg(long, env = "SANDPROOF_EVERY", conflicts_with = "names")]
        every: bool,
    },
    /// Compare every cached file with the checksum that was recorded for it
    Verify,
    /// Write the Go module files of a pinned version again
    Lock {
        /// The component, and a version that need not be pinned yet
        #[arg(value_name = "NAME[@VERSION]")]
        name: String,
    },
    /// Print the path of one program of a component
    Path {
        /// The component
        #[arg(value_name = "NAME[@VERSION]")]
        name: String,
        /// The program
        program: String,
    },
}

/// `sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// Print JSON
    #[arg(long, env = "SANDPROOF_JSON")]
    pub(crate) json: bool,
    /// Remove kept clusters too
    #[arg(long, env = "SANDPROOF_KEPT")]
    pub(crate) kept: bool,
}

/// `lint`.
#[derive(Debug, Args)]
pub(crate) struct LintArguments {
    /// The suite directory; the project's own when not given
    pub(crate) suite: Option<Utf8PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    /// The flags of a command and of those beneath it that no environment variable sets.
    fn without_a_variable(command: &clap::Command) -> Vec<String> {
        let is_ours =
            |name: Option<&std::ffi::OsStr>| name.is_some_and(|name| name.to_string_lossy().starts_with("SANDPROOF_"));
        let own = command.get_arguments().filter(|flag| flag.get_long().is_some() && !is_ours(flag.get_env()));
        let own = own.map(|flag| format!("{} --{}", command.get_name(), flag.get_long().unwrap_or_default()));
        own.chain(command.get_subcommands().flat_map(without_a_variable)).collect()
    }

    #[test]
    fn every_flag_can_be_set_by_the_environment() {
        assert_eq!(without_a_variable(&Cli::command()), [""; 0]);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
