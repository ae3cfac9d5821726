//! Records for tests.

use crate::{Adaptation, Axes, CaseResult, Cause, Cell, ChainLink, Harness, Phase, Record, Run, Subject, Verdict};

/// Text as a hostile driver could write it.
pub(crate) const NASTY: &str = "\u{1b}[31mred\u{1b}[0m | pipe </script><script>alert(1)</script> <!-- & ]]> \"quoted\" `tick` \
     *bold* \0NUL \u{202e}turned\r\nsecond line\u{2028}third 漢字 🦀";

pub(crate) fn run() -> Run {
    Run {
        id: "20261122-101500-ab12".to_owned(),
        started_at: "2026-11-22T10:15:00Z".parse().unwrap(),
        finished_at: "2026-11-22T10:16:42.5Z".parse().unwrap(),
        profile: "pr".to_owned(),
        argv: ["sandproof", "run", "--profile", "pr"].map(str::to_owned).into(),
        harness: Harness { version: "0.1.0".to_owned(), commit: Some("0123abc".to_owned()) },
        subject: None,
        seed: None,
    }
}

pub(crate) fn subject() -> Subject {
    Subject {
        reference: "reference".to_owned(),
        profile: "upstream-like".to_owned(),
        faults: ["a", "b"].map(str::to_owned).into(),
        ..Subject::default()
    }
}

pub(crate) fn bare_cell(id: &str) -> Cell {
    Cell::new(id, id, Axes::default())
}

/// A result with a title, a duration and a repro line.
pub(crate) fn result(
    cell: &Cell,
    scenario: &str,
    params: &[(&str, &str)],
    verdict: Verdict,
    expected: bool,
) -> CaseResult {
    let mut result = CaseResult::new(scenario, format!("title of {scenario}"), verdict);
    result.params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    result.expected = expected;
    result.seconds = 1.25;
    result.repro = format!("sandproof repro '{}/{scenario}'", cell.id);
    result
}

/// Two cells with every verdict, parameters, expected and undeclared verdicts, leftovers and hostile text.
pub(crate) fn record() -> Record {
    let mut old = Cell::new(
        "k1.33-crio-native",
        "1.33 cri-o native",
        Axes {
            kubernetes: "1.33.4".to_owned(),
            runtime: "cri-o".to_owned(),
            provider: "native".to_owned(),
            agent_sandbox: "v0.5.6".to_owned(),
            gates: [("ImageVolume".to_owned(), false)].into(),
            ..Axes::default()
        },
    );
    old.observed.apiserver = Some("v1.33.4".to_owned());
    old.observed.kubelet = Some("v1.33.4".to_owned());
    old.observed.runtime = Some("cri-o://1.33.0".to_owned());
    old.observed.gates = [("ImageVolume".to_owned(), false)].into();
    old.observed.adaptations = vec![Adaptation::new("no-swap-accounting", "the host has cgroup v1 | hybrid")];
    old.phases = [("create", 3.9), ("install", 2.04), ("probe", 0.35), ("scenarios", 64.0), ("delete", 0.6)]
        .map(|(name, seconds)| Phase::new(name, seconds))
        .into();
    old.results = vec![
        result(&old, "DC-01", &[], Verdict::Pass, true),
        result(&old, "PS-02", &[("registry", "plain")], Verdict::Pass, true),
        result(&old, "PS-02", &[("registry", "secure")], Verdict::Pass, true),
        result(&old, "PS-05", &[], Verdict::Fail, false),
        result(&old, "PS-09", &[], Verdict::KnownGap, true),
        result(&old, "PS-10", &[], Verdict::UnexpectedPass, false),
        result(&old, "SL-01", &[], Verdict::Unsupported, true),
        result(&old, "SL-02", &[], Verdict::UnsupportedSilent, false),
        result(&old, "SL-03", &[], Verdict::Skipped, true),
    ];
    old.results[3].cause = Some(
        Cause::new("pull-denied", "the kubelet pulled without the sandbox's own secret")
            .link(ChainLink::new("spec", "imagePullSecrets: [ps-05-own]").at("sandbox.spec.podTemplate"))
            .link(ChainLink::new("kubelet", "Failed to pull image: 401 Unauthorized").at("2026-11-22T10:15:31Z"))
            .link(ChainLink::new("registry", "GET /v2/ps-05/agent/manifests/a1: 401, tried: global")),
    );
    old.results[3].evidence = vec![
        "evidence/k1.33-crio-native/PS-05/pod.yaml".to_owned(),
        "evidence/k1.33-crio-native/PS-05/requests.json".to_owned(),
    ];
    old.results[4].cause =
        Some(Cause::new("expectation", "overrides are merged until #1589 is done (expires 2027-01-31)"));
    old.results[5].cause =
        Some(Cause::new("expectation", "expected a known gap, but the promise holds: remove the expectation"));
    old.results[6].cause = Some(Cause::new("refusal", "FailedPrecondition names the gate ImageVolume"));
    old.results[7].cause = Some(Cause::new("check", "the volume was dropped and the sandbox started without it"));
    old.results[8].cause = Some(Cause::new("expectation", "needs Kubernetes 1.35"));

    let mut new = Cell::new(
        "k1.36-crio-native",
        "1.36 | cri-o <native>",
        Axes {
            kubernetes: "1.36.4".to_owned(),
            runtime: "cri-o".to_owned(),
            provider: "native".to_owned(),
            agent_sandbox: "v0.5.6".to_owned(),
            gates: [("ImageVolume".to_owned(), true)].into(),
            ..Axes::default()
        },
    );
    new.phases = vec![Phase::new("create", 4.1), Phase::new("scenarios", 130.0)];
    new.leftovers = vec!["veth sp-1a2b\u{1b}[2J".to_owned()];
    new.results = vec![
        result(&new, "PS-02", &[("registry", "plain")], Verdict::Fail, false),
        result(&new, "PS-02", &[("registry", "secure")], Verdict::Flaky, false),
        result(&new, "PS-05", &[], Verdict::Fail, false),
        result(&new, "PS-09", &[], Verdict::Error, false),
        result(&new, "SL-01", &[], Verdict::NotRun, false),
        result(&new, "SL-02", &[], Verdict::UnsupportedSilent, true),
        result(&new, "SL-03", &[], Verdict::Skipped, false),
    ];
    new.results[0].title = NASTY.to_owned();
    new.results[0].params.insert("nasty|</script>".to_owned(), serde_json::json!(["a\nb", 1, null]));
    new.results[0].repro = "sandproof repro `rm -rf` | \u{1b}[2Jcat".to_owned();
    new.results[0].evidence = vec!["javascript:alert(1)".to_owned(), "evidence/a b/<x>.log".to_owned()];
    new.results[0].cause = Some(
        Cause::new("pull-denied</script>", NASTY)
            .link(ChainLink::new("spec|</script>", NASTY).at("a|b\n`c`"))
            .link(ChainLink::new("driver", "```\nfenced\n```\n</details>\nend")),
    );
    new.results[1].attempts = 3;
    new.results[1].cause = Some(Cause::new("deadline", "the pod was not running within 60 s at first"));
    new.results[2].cause = old.results[3].cause.clone();
    new.results[3].cause = Some(Cause::new("environment", "the API server ended: exit status 1"));
    new.results[6].cause = Some(Cause::new("runner", "the scenario was left out and nothing declares it"));
    new.results[4].attempts = 0;
    Record::new(run(), vec![old, new], false)
}

/// `scenarios` × `cells` × `params` results with every verdict in turn.
pub(crate) fn large(scenarios: usize, cells: usize, params: usize) -> Record {
    let cells = (0..cells).map(|column| {
        let mut cell = Cell::new(
            format!("k1.{}-crio-native-{column}", 30 + column),
            format!("1.{} cri-o native", 30 + column),
            Axes {
                kubernetes: format!("1.{}.0", 30 + column),
                runtime: "cri-o".to_owned(),
                provider: "native".to_owned(),
                agent_sandbox: "v0.5.6".to_owned(),
                gates: [("ImageVolume".to_owned(), column % 2 == 0)].into(),
                ..Axes::default()
            },
        );
        cell.phases = [("create", 3.9), ("install", 2.0), ("scenarios", 180.0), ("delete", 0.6)]
            .map(|(name, seconds)| Phase::new(name, seconds))
            .into();
        for row in 0..scenarios {
            for param in 0..params {
                let number = (row * 7 + column * 13 + param * 3) % 97;
                let verdict = if number < 80 { Verdict::Pass } else { Verdict::ALL[number % 10] };
                let expected = verdict == Verdict::Pass || number % 3 == 0;
                let id = format!("{}-{:02}", ["PS", "SL", "OV", "DC", "ST", "AS", "OP"][row % 7], row / 7);
                let mut result = result(&cell, &id, &[("variant", &format!("v{param}"))], verdict, expected);
                result.title = format!("a private image is pulled with the secret that rule {row} names and no other");
                if verdict != Verdict::Pass {
                    result.cause = Some(
                        Cause::new("pull-denied", format!("the kubelet pulled {id} without the sandbox's own secret"))
                            .link(
                                ChainLink::new("kubelet", "Failed to pull image: 401 Unauthorized")
                                    .at("2026-11-22T10:15:31Z"),
                            )
                            .link(ChainLink::new("registry", "GET /v2/agent/manifests/a1: 401, tried: global")),
                    );
                    result.evidence = vec![format!("evidence/{}/{id}/pod.yaml", cell.id)];
                }
                cell.results.push(result);
            }
        }
        cell
    });
    Record::new(run(), cells.collect(), false)
}
