//! The arguments of `bench`.

use clap::{Args, Subcommand};

use super::{Profile, SubjectArguments};

/// `bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArguments {
    /// What is measured; a few runs of the smoke profile when nothing is said
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    /// How often each measurement is taken
    #[arg(long, default_value_t = 3, env = "SANDPROOF_BENCH_RUNS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
}

/// `bench`'s own commands.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure cells side by side: each cell's phases, time, CPU and memory of the whole, and the gain
    Matrix(BenchMatrixArguments),
    /// Measure the same on each provider that makes clusters, side by side in one run
    Providers(BenchProvidersArguments),
    /// Measure a driver: sandboxes at once, its CPU and memory, its watch, and the API server's share
    Driver(BenchDriverArguments),
    /// Measure the suite on one warm cluster: its time, the slowest results, and who they waited for
    Suite(BenchSuiteArguments),
}

/// What is run side by side, and how it is shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct SideBySideArguments {
    /// A named selection of cells and scenarios
    #[arg(long, value_enum, default_value_t, env = "SANDPROOF_PROFILE")]
    pub(crate) profile: Profile,
    /// Only scenarios that match
    #[arg(long, env = "SANDPROOF_SCENARIO", value_name = "EXPR")]
    pub(crate) scenario: Option<String>,
    /// Cells that run at once; chosen by the host's size when not given
    #[arg(long, env = "SANDPROOF_CELLS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) cells: Option<u16>,
    /// Run each cell alone first, so that the gain is measured and not estimated
    #[arg(long, env = "SANDPROOF_ALONE")]
    pub(crate) alone: bool,
    /// Print JSON
    #[arg(long, env = "SANDPROOF_JSON")]
    pub(crate) json: bool,
}

/// `bench matrix`.
#[derive(Debug, Args)]
pub(crate) struct BenchMatrixArguments {
    #[command(flatten)]
    pub(crate) side_by_side: SideBySideArguments,
    /// Only cells that match
    #[arg(long, env = "SANDPROOF_CELL", value_name = "EXPR")]
    pub(crate) cell: Option<String>,
}

/// `bench providers`. The cells are those of the providers.
#[derive(Debug, Args)]
pub(crate) struct BenchProvidersArguments {
    #[command(flatten)]
    pub(crate) side_by_side: SideBySideArguments,
}

/// `bench driver`.
#[derive(Debug, Args)]
pub(crate) struct BenchDriverArguments {
    #[command(flatten)]
    pub(crate) subject: SubjectArguments,
    /// The cell; the default one when not given
    #[arg(long, env = "SANDPROOF_CELL", value_name = "EXPR")]
    pub(crate) cell: Option<String>,
    /// Sandboxes that are created at once, by commas
    #[arg(long, default_value = "1,10,50", env = "SANDPROOF_BENCH_AT_ONCE", value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) at_once: Vec<u16>,
    /// How often each round is run
    #[arg(long, default_value_t = 3, env = "SANDPROOF_BENCH_RUNS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Sandboxes, written without pods, that are watched; 0 leaves the watch out
    #[arg(long, default_value_t = 500, env = "SANDPROOF_BENCH_WATCHED", value_name = "N", value_parser = clap::value_parser!(u16).range(0..=5000))]
    pub(crate) watched: u16,
    /// Clients that watch them through the driver
    #[arg(long, default_value_t = 10, env = "SANDPROOF_BENCH_WATCHERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) watchers: u16,
}

/// `bench suite`.
#[derive(Debug, Args)]
pub(crate) struct BenchSuiteArguments {
    /// The cell; the default one when not given
    #[arg(long, env = "SANDPROOF_CELL", value_name = "EXPR")]
    pub(crate) cell: Option<String>,
    /// Only scenarios that match; all of them when not given
    #[arg(long, env = "SANDPROOF_SCENARIO", value_name = "EXPR")]
    pub(crate) scenario: Option<String>,
    /// How often the suite is run on the one cluster
    #[arg(long, default_value_t = 1, env = "SANDPROOF_BENCH_RUNS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// The seed of every run; drawn when not given
    #[arg(long, env = "SANDPROOF_SEED", value_name = "N")]
    pub(crate) seed: Option<u32>,
    /// Scenarios that run side by side; chosen by the host's cores when not given
    #[arg(long, short, env = "SANDPROOF_JOBS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Print JSON
    #[arg(long, env = "SANDPROOF_JSON")]
    pub(crate) json: bool,
}
