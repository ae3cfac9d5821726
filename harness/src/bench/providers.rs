//! `bench providers`: what the same cell costs on each provider, side by side in one run.

use sandproof_clusters::provider::Provider;
use sandproof_reports::ExitCode;

use super::matrix::matrix;
use crate::{
    cli::{BenchMatrixArguments, BenchProvidersArguments, GlobalArguments, Profile, SelectionArguments},
    commands::suite,
    failure::Failure,
    paths::Paths,
    plan::{self, Plan},
};

/// Measures the cell that each provider has in the profile `smoke`.
pub(super) async fn providers(
    global: &GlobalArguments,
    arguments: &BenchProvidersArguments,
) -> Result<ExitCode, Failure> {
    let paths = Paths::find()?;
    let (pins, suite) = (plan::load_pins(&paths)?, suite::load(&paths, None)?);
    let mut cells = Vec::new();
    // Nothing is created by existing, so there is nothing to measure of it.
    for provider in Provider::ALL.iter().filter(|provider| **provider != Provider::Existing) {
        let selection =
            SelectionArguments { profile: Profile::Smoke, provider: Some(*provider), ..SelectionArguments::default() };
        cells.extend(Plan::make(&selection, &pins, &suite)?.cells);
    }
    let ids: Vec<String> = cells.iter().map(|cell| format!("id == \"{}\"", cell.id)).collect();
    let arguments = BenchMatrixArguments { side_by_side: arguments.side_by_side.clone(), cell: Some(ids.join(" || ")) };
    matrix(global, &arguments).await
}
