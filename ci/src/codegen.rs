//! The generated files, and whether they are what they should be.

mod tables;

use anyhow::{Context, Result};
use camino::Utf8PathBuf;
use sandproof_scenarios::schema;
use serde::Serialize;

use crate::suite;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Where each scenario has a page.
const PAGES: &str = "docs/scenarios";

/// A file and what it should hold.
struct Generated {
    path: Utf8PathBuf,
    text: String,
}

/// Writes every generated file that is not what it should be.
pub(crate) fn write(workspace: &Workspace) -> Result<Tally> {
    let mut tally = Tally::default();
    let generated = generated(workspace)?;
    for orphan in orphans(workspace, &generated)? {
        fs_err::remove_file(workspace.path(&orphan))?;
        tally.add(format!("{orphan} removed"), Vec::new());
    }
    for file in generated {
        let path = workspace.path(&file.path);
        let changed = current(workspace, &file) != file.text;
        if changed {
            if let Some(directory) = path.parent() {
                fs_err::create_dir_all(directory)?;
            }
            fs_err::write(&path, &file.text)?;
        }
        tally.add(format!("{} {}", file.path, if changed { "written" } else { "unchanged" }), Vec::new());
    }
    Ok(tally)
}

/// Finds every generated file that is not what it should be.
pub(crate) fn check(workspace: &Workspace) -> Result<Tally> {
    let mut tally = Tally::default();
    let generated = generated(workspace)?;
    let orphans = orphans(workspace, &generated)?;
    tally.add(
        format!("{PAGES} has the pages of the suite's scenarios and no others"),
        orphans
            .iter()
            .map(|path| format!("{path}: there is no such scenario; `cargo xtask codegen` removes it"))
            .collect(),
    );
    for file in generated {
        let found = current(workspace, &file);
        tally.expect(format!("{} is what it is generated from", file.path), found == file.text, || {
            let line = found.lines().zip(file.text.lines()).take_while(|(is, should)| is == should).count() + 1;
            format!("it differs from line {line} on; `cargo xtask codegen` writes it again")
        });
    }
    Ok(tally)
}

fn generated(workspace: &Workspace) -> Result<Vec<Generated>> {
    let pins = fs_err::read_to_string(workspace.path("clusters/pins.yaml"))?;
    let readme = fs_err::read_to_string(workspace.path("README.md"))?;
    let authors = fs_err::read_to_string(workspace.path("docs/driver-authors.md"))?;
    let scenarios = suite::load(workspace)?;
    let file = |path: &str, text: String| Generated { path: path.into(), text };
    Ok([
        file("reports/schema/report.v1.json", json(&sandproof_reports::schema())?),
        file("scenarios/schema/scenario.v1.json", schema::text(&schema::scenario())),
        file("scenarios/schema/expectations.v1.json", schema::text(&schema::expectations())),
        file("scenarios/schema/subject-profile.v1.json", schema::text(&schema::subject_profile())),
        file("README.md", tables::with_block(&readme, "versions", &tables::versions(&pins)?).context("in README.md")?),
        file(
            "docs/driver-authors.md",
            tables::with_block(&authors, "features", &tables::features()).context("in docs/driver-authors.md")?,
        ),
        file("docs/faults.md", tables::faults(sandproof_protocol::faults::FAULTS, &scenarios.scenarios)),
        file("docs/scenarios.md", tables::scenarios(&scenarios.scenarios, &suite::not_run(workspace, &scenarios)?)),
    ]
    .into_iter()
    .chain(scenarios.scenarios.iter().map(|scenario| {
        file(&format!("{PAGES}/{}.md", scenario.id), tables::scenario(scenario, sandproof_protocol::faults::FAULTS))
    }))
    .collect())
}

/// Pages of scenarios that there are no more.
fn orphans(workspace: &Workspace, generated: &[Generated]) -> Result<Vec<Utf8PathBuf>> {
    let directory = workspace.path(PAGES);
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut orphans = Vec::new();
    for entry in directory.read_dir_utf8()? {
        let path = Utf8PathBuf::from(PAGES).join(entry?.file_name());
        if generated.iter().all(|file| file.path != path) {
            orphans.push(path);
        }
    }
    Ok(orphans)
}

fn json(value: &impl Serialize) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

fn current(workspace: &Workspace, file: &Generated) -> String {
    // A file that is missing or unreadable is not what it should be either.
    fs_err::read_to_string(workspace.path(&file.path)).unwrap_or_default()
}
