//! `repro`: one result of a report again, on a cluster that stays.

use camino::Utf8PathBuf;
use sandproof_clusters::provider::Provider;
use sandproof_reports::{Axes, Cell, ExitCode, Run};

use super::report;
use crate::{
    cli::{GlobalArguments, Profile, ReproArguments, RunArguments, SelectionArguments, SubjectArguments},
    failure::Failure,
    paths::Paths,
    plan,
    subject::reference::SubjectReference,
    terminal,
};

/// Finds the result in its report and runs exactly that cell and that scenario.
pub(crate) async fn repro(global: &GlobalArguments, arguments: &ReproArguments) -> Result<ExitCode, Failure> {
    let (path, cell, key) = parse(&arguments.target)?;
    let record = report::read(&path)?;
    let found = record.results().find(|(found, result)| found.id == cell && result.key() == key);
    let Some((Cell { axes, .. }, result)) = found else {
        let known: Vec<String> =
            record.results().map(|(cell, result)| format!("{}/{}", cell.id, result.key())).collect();
        return Err(Failure::usage(
            format!("{path} has no result {cell}/{key}"),
            format!("it has: {}", known.join(", ")),
        ));
    };
    terminal::progress(&format!("{cell} {key} was {} in that report", result.verdict));
    let subject = subject(&record.run)?;
    let known = plan::cells(&plan::load_pins(&Paths::find()?)?).iter().any(|planned| planned.id == cell);
    let suite = arguments.suite.clone().or_else(|| value(&record.run.argv, "--suite").map(Utf8PathBuf::from));
    let selection =
        SelectionArguments { profile: Profile::Full, scenario: Some(key), suite, ..SelectionArguments::default() };
    let selection = if axes.provider == Provider::Existing.name() {
        let said = |flag| value(&record.run.argv, flag);
        let mut existing = arguments.existing.clone();
        existing.context = existing.context.or_else(|| said("--context"));
        existing.kubeconfig = existing.kubeconfig.or_else(|| said("--kubeconfig").map(Utf8PathBuf::from));
        SelectionArguments { provider: Some(Provider::Existing), existing, ..selection }
    } else if known {
        SelectionArguments { cell: Some(cell), ..selection }
    } else {
        // It was put together on the command line: its axes say how.
        SelectionArguments { custom_cells: vec![settings(axes)], allow_skew: axes.skew.is_some(), ..selection }
    };
    let seed = arguments.seed.or(record.run.seed);
    let run = RunArguments { selection, subject, keep: arguments.keep, seed, ..RunArguments::default() };
    super::run::run(global, run).await
}

/// `REPORT#CELL/SCENARIO`.
fn parse(target: &str) -> Result<(Utf8PathBuf, String, String), Failure> {
    let parts = target.rsplit_once('#').and_then(|(report, rest)| {
        let (cell, scenario) = rest.split_once('/')?;
        Some((Utf8PathBuf::from(report), cell.to_owned(), scenario.to_owned()))
    });
    parts
        .filter(|(report, cell, scenario)| !report.as_str().is_empty() && !cell.is_empty() && !scenario.is_empty())
        .ok_or_else(|| {
            Failure::usage(
                format!("`{target}` is not REPORT#CELL/SCENARIO"),
                "copy it from the report, for example 'sandproof-out/latest#CELL/PS-05'",
            )
        })
}

/// The settings of `--custom-cell` that make a cell with these axes again.
fn settings(axes: &Axes) -> String {
    let mut words = vec![
        format!("kubernetes={}", axes.kubernetes),
        format!("runtime={}", axes.runtime.replace(' ', "@")),
        format!("agentSandbox={}", axes.agent_sandbox),
    ];
    let groups = [("gates", &axes.gates), ("kubeletGates", &axes.kubelet_gates)];
    for (group, gates) in groups {
        words.extend(gates.iter().map(|(gate, on)| format!("{group}.{gate}={on}")));
    }
    words.join(" ")
}

/// The subject of a run, as it was named; the names of records before that are the arguments of their command line.
fn subject(run: &Run) -> Result<SubjectArguments, Failure> {
    let Some(subject) = &run.subject else {
        let faults = value(&run.argv, "--fault").into_iter().collect();
        return Ok(SubjectArguments { faults, ..SubjectArguments::default() });
    };
    let reference = SubjectReference::parse(&subject.reference)
        .map_err(|problem| Failure::usage(format!("the report's subject is `{}`", subject.reference), problem))?;
    Ok(SubjectArguments {
        subject: Some(reference),
        subject_profile: subject.profile_file.clone(),
        values: subject.values.iter().map(Utf8PathBuf::from).collect(),
        arguments: subject.arguments.clone(),
        subject_namespace: subject.namespace.clone(),
        faults: subject.faults.clone(),
    })
}

/// What a flag said in the run of the report: it is said again.
fn value(argv: &[String], flag: &str) -> Option<String> {
    let position = argv
        .iter()
        .position(|word| word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))?;
    match argv[position].split_once('=') {
        Some((_, name)) => Some(name.to_owned()),
        None => argv.get(position + 1).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_from_its_end() {
        let (report, cell, scenario) =
            parse("out/a#b/report.json#k1.36-crio1.36-native/PS-02[registry=plain]").unwrap();
        assert_eq!(report, "out/a#b/report.json");
        assert_eq!(cell, "k1.36-crio1.36-native");
        assert_eq!(scenario, "PS-02[registry=plain]");
    }

    #[test]
    fn a_custom_cell_is_put_together_again() {
        let axes = Axes {
            kubernetes: "1.34.10".to_owned(),
            runtime: "containerd 2.2.8".to_owned(),
            agent_sandbox: "v0.5.6".to_owned(),
            gates: [("ImageVolume".to_owned(), true)].into(),
            kubelet_gates: [("ImageVolume".to_owned(), false)].into(),
            ..Axes::default()
        };
        assert_eq!(
            settings(&axes),
            "kubernetes=1.34.10 runtime=containerd@2.2.8 agentSandbox=v0.5.6 gates.ImageVolume=true kubeletGates.ImageVolume=false"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for target in ["", "report.json", "report.json#cell", "#cell/PS-01", "report.json#/PS-01"] {
            assert!(parse(target).is_err(), "{target}");
        }
    }

    #[test]
    fn what_a_report_was_made_with_comes_along() {
        let fault = |argv: &[String]| value(argv, "--fault");
        let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(fault(&argv(&["sandproof", "run", "--fault", "merge-override"])).as_deref(), Some("merge-override"));
        assert_eq!(fault(&argv(&["sandproof", "run", "--fault=merge-override"])).as_deref(), Some("merge-override"));
        assert_eq!(fault(&argv(&["sandproof", "run"])), None);
    }
}
