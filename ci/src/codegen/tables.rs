//! Tables of the documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use sandproof_protocol::faults::{Fault, Part};
use sandproof_scenarios::{Explanation, Feature, Form, NotRun, Scenario};
use serde::Deserialize;

use crate::suite;

/// What the tables need of `clusters/pins.yaml`.
#[derive(Deserialize)]
struct Pins {
    axes: Axes,
    components: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Axes {
    kubernetes: Vec<KubernetesAxis>,
    agent_sandbox: Vec<String>,
    #[serde(default)]
    variants: Vec<Variant>,
    #[serde(default)]
    gates: BTreeMap<String, Vec<GateStage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubernetesAxis {
    minor: String,
    kubernetes: String,
    cri_o: Option<String>,
    #[serde(default)]
    containerd: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variant {
    kubernetes: String,
    runtime: String,
    runtime_version: Option<String>,
    agent_sandbox: Option<String>,
    #[serde(default)]
    gates: BTreeMap<String, bool>,
    #[serde(default)]
    kubelet_gates: BTreeMap<String, bool>,
    why: String,
}

#[derive(Deserialize)]
struct GateStage {
    since: String,
    default: bool,
    #[serde(default)]
    locked: bool,
}

#[derive(Deserialize)]
struct Component {
    title: String,
    default: String,
}

/// `text` with the lines between `<!-- NAME:begin …` and `<!-- NAME:end` replaced.
pub(super) fn with_block(text: &str, name: &str, block: &str) -> Result<String> {
    let begin = text.find(&format!("<!-- {name}:begin")).with_context(|| format!("no `<!-- {name}:begin` marker"))?;
    let inside = begin + text[begin..].find('\n').with_context(|| format!("nothing behind `<!-- {name}:begin`"))? + 1;
    let end = inside
        + text[inside..].find(&format!("<!-- {name}:end")).with_context(|| format!("no `<!-- {name}:end` marker"))?;
    Ok(format!("{}{block}{}", &text[..inside], &text[end..]))
}

/// The table of supported versions.
pub(super) fn versions(pins: &str) -> Result<String> {
    let pins: Pins = serde_saphyr::from_str(pins).context("reading clusters/pins.yaml")?;
    let mut table = "\n| Kubernetes | CRI-O | containerd | Image volumes |\n|---|---|---|---|\n".to_owned();
    for axis in &pins.axes.kubernetes {
        let _ = writeln!(
            table,
            "| {} ({}) | {} | {} | {} |",
            axis.minor,
            axis.kubernetes,
            axis.cri_o.as_deref().unwrap_or("-"),
            if axis.containerd.is_empty() { "-".to_owned() } else { axis.containerd.join(", ") },
            image_volumes(&pins.axes, &axis.minor),
        );
    }
    let _ = writeln!(table, "\nAgent Sandbox: {}.\n", pins.axes.agent_sandbox.join(", "));
    if !pins.axes.variants.is_empty() {
        table.push_str("Beside every pair of the table, these are run:\n\n");
    }
    for variant in &pins.axes.variants {
        let _ = writeln!(table, "- {}: {}", settings(variant), variant.why);
    }
    let in_the_table = ["kubernetes", "cri-o", "containerd", "containerd-1", "agent-sandbox"];
    let others: Vec<String> = pins
        .components
        .iter()
        .filter(|(name, _)| !in_the_table.contains(&name.as_str()))
        .map(|(_, component)| format!("{} {}", component.title, component.default))
        .collect();
    let _ = writeln!(table, "\nBeside them: {}.\n", others.join(", "));
    Ok(table)
}

/// What a minor does with image volumes where nobody sets the gate.
fn image_volumes(axes: &Axes, minor: &str) -> &'static str {
    let number = |minor: &str| minor.split_once('.').and_then(|(_, minor)| minor.parse::<u32>().ok()).unwrap_or(0);
    let mut stages = axes.gates.get("ImageVolume").into_iter().flatten();
    match stages.rfind(|stage| number(&stage.since) <= number(minor)) {
        None => "no",
        Some(stage) if stage.locked => "always",
        Some(stage) if stage.default => "on",
        Some(_) => "off",
    }
}

/// How a variant differs, in words.
fn settings(variant: &Variant) -> String {
    let mut text = format!("Kubernetes {} with {}", variant.kubernetes, variant.runtime);
    if let Some(version) = &variant.runtime_version {
        let _ = write!(text, " {version}");
    }
    if let Some(release) = &variant.agent_sandbox {
        let _ = write!(text, ", Agent Sandbox {release}");
    }
    let word = |on: &bool| if *on { "on" } else { "off" };
    for (gate, on) in &variant.gates {
        let _ = write!(text, ", `{gate}` {}", word(on));
    }
    for (gate, on) in &variant.kubelet_gates {
        let _ = write!(text, ", `{gate}` {} in the kubelet", word(on));
    }
    text
}

/// The table of the features that a profile can declare absent.
pub(super) fn features() -> String {
    let mut table = "\n| Feature | A subject that has it |\n|---|---|\n".to_owned();
    for feature in Feature::ALL {
        let _ = writeln!(table, "| `{feature}` | {} |", cell(feature.meaning()));
    }
    table.push('\n');
    table
}

/// The page of the faults.
pub(super) fn faults(faults: &[Fault], scenarios: &[Scenario]) -> String {
    let mut page = "\
<!-- Generated by `cargo xtask codegen` from reference-driver/protocol/src/faults.rs and scenarios/suite. -->

# Faults of the reference driver

A suite that cannot fail proves nothing.
The reference driver has these faults, and what is shipped has none of them:
those of the driver are compiled only into `sandproof-reference-driver-faults`, those of the supervisor only into `openshell-sandbox-faults`,
those of the chart are edits of a copy of it, and those of Agent Sandbox are changes of what a cell has installed of it.
`./sandproof run --fault NAME` deploys the driver with one of them;
`./sandproof selftest mutations` shows that each turns exactly the scenarios red that claim it.
A fault whose scenarios make no sense on the cell (nothing is converted where one version is served) is shown on another: `--cell EXPR`.

| Fault | In | What it then does | The promise that it breaks | Caught by |
|---|---|---|---|---|
"
    .to_owned();
    for fault in faults {
        let caught_by = suite::claims(scenarios, fault.name).into_iter().collect::<Vec<_>>().join(", ");
        let part = match fault.part {
            Part::Driver => "driver",
            Part::Supervisor => "supervisor",
            Part::Chart(_) => "chart",
            Part::AgentSandbox(_) => "Agent Sandbox",
        };
        let name = format!("`{}`", fault.name);
        let row = [name, part.to_owned(), cell(fault.description), cell(fault.promise), caught_by];
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
    page
}

/// The page of the scenarios.
pub(super) fn scenarios(scenarios: &[Scenario], not_run: &[NotRun]) -> String {
    let mut page = "\
<!-- Generated by `cargo xtask codegen` from scenarios/suite and scenarios/not-run.yaml. -->

# Scenarios

Each scenario is one clause of the contract between a sandbox driver and its users.
The page of a scenario says what it does, step by step, and what it checks; `./sandproof explain ID` prints the same.

| Scenario | What it shows | The promise | Where it comes from | Faults that it catches |
|---|---|---|---|---|
"
    .to_owned();
    let mut scenarios: Vec<&Scenario> = scenarios.iter().collect();
    scenarios.sort_by(|left, right| left.id.cmp(&right.id));
    for scenario in scenarios {
        let faults: Vec<String> = scenario.faults.iter().map(|fault| format!("`{fault}`")).collect();
        let row = [
            format!("[{0}](scenarios/{0}.md)", scenario.id),
            cell(&scenario.title),
            cell(&scenario.promise),
            cell(&scenario.source),
            faults.join(", "),
        ];
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
    page.push_str(
        "\n## Clauses that no scenario runs\n\n| Clause | What it is about | Why it is not run |\n|---|---|---|\n",
    );
    for clause in not_run {
        let row = [clause.id.clone(), cell(&clause.title), cell(&clause.reason)];
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
    page
}

/// The page of one scenario.
pub(super) fn scenario(scenario: &Scenario, faults: &[Fault]) -> String {
    let what = |name: &str| {
        let fault = faults.iter().find(|fault| fault.name == name)?;
        Some(fault.description.to_owned())
    };
    let file = scenario.file.components().rev().take(2).map(|part| part.as_str()).collect::<Vec<_>>();
    let file = file.into_iter().rev().collect::<Vec<_>>().join("/");
    format!(
        "<!-- Generated by `cargo xtask codegen` from scenarios/suite/{file}. -->\n\n{}",
        Explanation::of(scenario).page(Form::Markdown, &what)
    )
}

/// Text that cannot break out of its cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_replaced_and_its_markers_are_kept() {
        let text = "a\n<!-- x:begin (why) -->\nold\nold\n<!-- x:end -->\nb\n";
        let replaced = with_block(text, "x", "new\n").unwrap();
        assert_eq!(replaced, "a\n<!-- x:begin (why) -->\nnew\n<!-- x:end -->\nb\n");
        assert_eq!(with_block(&replaced, "x", "new\n").unwrap(), replaced);
        assert!(with_block("no markers", "x", "").is_err());
    }

    #[test]
    fn the_versions_come_from_the_pins() {
        let table = versions(
            "axes:\n  kubernetes:\n  - {minor: '1.30', kubernetes: 1.30.1, criO: 1.30.2}\n  - {minor: '1.36', kubernetes: 1.36.1, containerd: [2.2.1, 2.3.1]}\n  \
             agentSandbox: [1.0.3, 0.5.6]\n  gates: {ImageVolume: [{since: '1.31', default: false}, {since: '1.36', default: true, locked: true}]}\n  \
             variants: [{kubernetes: '1.36', runtime: containerd, kubeletGates: {Some: false}, why: because}]\n\
             components:\n  etcd: {title: etcd, default: 3.6.16, more: 1}\n  cri-o: {title: CRI-O, default: 1.30.2}\n",
        )
        .unwrap();
        assert!(table.contains("| 1.30 (1.30.1) | 1.30.2 | - | no |"), "{table}");
        assert!(table.contains("| 1.36 (1.36.1) | - | 2.2.1, 2.3.1 | always |"), "{table}");
        assert!(table.contains("- Kubernetes 1.36 with containerd, `Some` off in the kubelet: because\n"), "{table}");
        assert!(table.contains("Beside them: etcd 3.6.16."), "{table}");
    }

    #[test]
    fn a_cell_stays_one_cell() {
        assert_eq!(cell(" a\n b | c "), "a b \\| c");
    }
}
