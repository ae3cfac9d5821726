//! What holds for every record, whatever text it quotes.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use quick_junit::Report;

use crate::matrix::Matrix;
use crate::terminal::TerminalOptions;
use crate::{
    Adaptation, AgentSandboxParts, Axes, CaseResult, Cause, Cell, ChainLink, Harness, Observed, Phase, Record, Run,
    Subject, Verdict, diff, html, junit, markdown, merge, terminal,
};

/// Any characters, control characters and markup more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9 /:.=-]{0,12}".boxed(),
        1 => any::<char>().prop_map(String::from).boxed(),
        1 => proptest::sample::select(vec![
            "</script>", "<!--", "]]>", "|", "\n", "\r\n", "\u{1b}[31m", "\u{1b}]0;", "\0", "```", "\\", "\"", "&amp;", "\u{2028}",
        ])
        .prop_map(str::to_owned)
        .boxed(),
    ];
    vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn seconds() -> impl Strategy<Value = f64> {
    0.0..100_000.0
}

prop_compose! {
    fn cause()(summary in text(), rule in text(), links in vec((text(), proptest::option::of(text()), text()), 0..3)) -> Cause {
        let chain = links.into_iter().map(|(source, at, text)| ChainLink { source, at, text }).collect();
        Cause { summary, rule, chain }
    }
}

prop_compose! {
    fn result()(
        scenario in text(),
        title in text(),
        params in btree_map(text(), prop_oneof![text().prop_map(Into::into), any::<bool>().prop_map(Into::into), any::<i64>().prop_map(Into::into)], 0..3),
        verdict in proptest::sample::select(Verdict::ALL.to_vec()),
        expected in any::<bool>(),
        cause in proptest::option::of(cause()),
        attempts in 0..4_u32,
        seconds in seconds(),
        repro in text(),
        evidence in vec(text(), 0..3),
    ) -> CaseResult {
        CaseResult { scenario, title, params, verdict, expected, cause, attempts, seconds, repro, evidence }
    }
}

prop_compose! {
    fn parts()(
        release in proptest::option::of(text()),
        served in vec(text(), 0..3),
        conversion in proptest::option::of(any::<bool>()),
    ) -> AgentSandboxParts {
        AgentSandboxParts { release, served, conversion }
    }
}

prop_compose! {
    fn cell()(
        id in text(),
        name in text(),
        kubernetes in text(),
        gates in btree_map(text(), any::<bool>(), 0..3),
        kubelet in proptest::option::of(text()),
        parts in proptest::option::of(parts()),
        adaptations in vec((text(), text()), 0..2),
        phases in vec((text(), seconds()), 0..3),
        leftovers in vec(text(), 0..2),
        results in vec(result(), 0..6),
    ) -> Cell {
        let axes = Axes { kubernetes, gates: gates.clone(), ..Axes::default() };
        let adaptations = adaptations.into_iter().map(|(name, reason)| Adaptation { name, reason }).collect();
        let phases = phases.into_iter().map(|(name, seconds)| Phase { name, seconds }).collect();
        let observed = Observed { kubelet, agent_sandbox_parts: parts, gates, adaptations, ..Observed::default() };
        Cell { id, name, axes, observed, phases, leftovers, results }
    }
}

prop_compose! {
    fn subject()(reference in text(), profile in text(), faults in vec(text(), 0..3), absent in btree_map(text(), text(), 0..2)) -> Subject {
        Subject { reference, profile, faults, absent, ..Subject::default() }
    }
}

prop_compose! {
    fn record()(
        id in text(),
        profile in proptest::sample::select(vec!["smoke", "pr", "full", "release"]),
        argv in vec(text(), 0..3),
        commit in proptest::option::of(text()),
        started in 0..4_000_000_000_000_000_i64,
        took in 0..10_000_000_000_i64,
        cells in vec(cell(), 0..4),
        subject in proptest::option::of(subject()),
        seed in proptest::option::of(any::<u32>()),
        interrupted in any::<bool>(),
    ) -> Record {
        let at = |microsecond| jiff::Timestamp::from_microsecond(microsecond).unwrap();
        let run = Run {
            id,
            started_at: at(started),
            finished_at: at(started + took),
            profile: profile.to_owned(),
            argv,
            harness: Harness { version: "0.1.0".to_owned(), commit },
            subject,
            seed,
        };
        Record::new(run, cells, interrupted)
    }
}

proptest! {
    // A record is large: a quarter of the usual number of cases, still scaled by PROPTEST_CASES.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.div_ceil(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_record_reads_back_as_it_was_written(record in record()) {
        let read = Record::parse("report.json".into(), &record.to_json()).unwrap();
        prop_assert_eq!(read, record);
    }

    #[test]
    fn the_junit_file_is_well_formed(record in record()) {
        let report = Report::deserialize_from_str(&junit::render(&record)).unwrap();
        prop_assert_eq!(report.tests, record.summary.total());
        prop_assert_eq!(report.errors, record.summary.error);
        prop_assert_eq!(report.errors + report.failures, record.red_results().count());
    }

    #[test]
    fn the_html_file_has_no_element_but_its_own(record in record()) {
        let page = html::render(&record);
        prop_assert_eq!(page.matches("<script").count(), 2);
        prop_assert_eq!(page.matches("</script").count(), 2);
        prop_assert_eq!(page.matches("<!--").count(), 0);
        let entries = Matrix::of(&record).rows.iter().flat_map(|row| &row.entries).flatten().count();
        prop_assert_eq!(page.matches("<button tabindex=-1").count(), entries);
        let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        prop_assert_eq!(serde_json::from_str::<Vec<Cell>>(data).unwrap(), record.cells);
    }

    #[test]
    fn the_markdown_table_keeps_its_columns(record in record()) {
        let page = markdown::render(&record);
        let table: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("| Scenario")).take_while(|line| line.starts_with('|')).collect();
        let bars = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        prop_assert_eq!(table.len(), match Matrix::of(&record).rows.len() { 0 => 0, rows => rows + 2 });
        for line in &table {
            prop_assert_eq!(bars(line), record.cells.len() + 2, "{}", line);
        }
    }

    #[test]
    fn the_terminal_gets_no_control_character(record in record()) {
        let page = terminal::render(&record, TerminalOptions::default());
        prop_assert!(page.chars().all(|character| !character.is_control() || matches!(character, '\n' | '\t')));
    }

    #[test]
    fn a_record_does_not_differ_from_its_copy(record in record()) {
        // Results with the same key are matched once, as no run has two of them.
        let merged = merge::merge(std::slice::from_ref(&record)).unwrap().record;
        prop_assert!(diff::diff(&merged, &merged.clone()).is_empty());
    }
}
