//! Bad input through the real program: the exit code, the word that is wrong, and nothing created.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use camino::{Utf8Path, Utf8PathBuf};
use rstest::rstest;
use sandproof_clusters::process::{Captured, Process};

/// Runs the program in an empty directory; gives what it left and the names in the directory.
async fn run(arguments: &[&str]) -> (Captured, Vec<String>) {
    let place = tempfile::tempdir().unwrap();
    let directory = Utf8Path::from_path(place.path()).unwrap();
    let home = Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let captured = Process::new(env!("CARGO_BIN_EXE_sandproof"))
        .args(arguments)
        .env("SANDPROOF_HOME", home)
        .env("SANDPROOF_STATE", directory.join(".state"))
        .env("SANDPROOF_CACHE", directory.join(".cache"))
        .current_dir(directory)
        .output()
        .await
        .unwrap();
    let names = directory.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    (captured, names)
}

#[rstest]
#[case::flag(&["run", "--profle", "smoke"], 2, "a similar argument exists: '--profile'")]
#[case::profile(&["run", "--profile", "smok"], 2, "a similar value exists: 'smoke'")]
#[case::axis(&["run", "--cell", "kubernets>=1.35"], 2, "did you mean `kubernetes`?")]
#[case::expression(&["run", "--scenario", "id =="], 2, "in the expression after --scenario")]
#[case::fault(&["run", "--fault", "nope"], 2, "there is no fault `nope`")]
#[case::subject(&["run", "--subject", "image:x"], 2, "a subject is `reference`, `chart:PATH`")]
#[case::no_chart(&["run", "--subject", "chart:elsewhere"], 2, "there is no chart at elsewhere")]
#[case::not_a_chart(&["run", "--subject", "chart:."], 2, ". is no chart")]
#[case::no_program(&["run", "--subject", "process:elsewhere"], 2, "there is no program at elsewhere")]
#[case::not_a_program(&["run", "--subject", "process:/dev/null"], 2, "/dev/null is no program")]
#[case::no_profile(&["run", "--subject-profile", "nope"], 2, "attached, chart, process, reference, upstream, upstream-like")]
#[case::no_values(&["run", "--values", "elsewhere.yaml"], 2, "there is no file of values at elsewhere.yaml")]
#[case::values_of_a_process(&["run", "--subject", "process:/bin/sh", "--values", "x"], 2, "takes no values")]
#[case::nobody_listens(&["run", "--subject", "grpc:unix:elsewhere.sock", "--subject-namespace", "x"], 2, "no driver answers at unix:elsewhere.sock")]
#[case::no_port(&["run", "--subject", "grpc:http://127.0.0.1:9", "--subject-namespace", "x"], 2, "no driver answers at http://127.0.0.1:9")]
#[case::no_namespace(&["run", "--subject", "grpc:unix:elsewhere.sock"], 2, "name it with --subject-namespace")]
#[case::arguments_of_a_chart(&["run", "--args", "--x"], 2, "reference takes no arguments")]
#[case::faults_of_another(&["run", "--subject", "process:/bin/sh", "--fault", "merge-override"], 2, "has no faults to switch on")]
#[case::shard(&["run", "--shard", "3/2"], 2, "a shard is I/N")]
#[case::suite(&["run", "--suite", "elsewhere"], 2, "there is no suite directory elsewhere")]
#[case::baseline(&["run", "--baseline", "elsewhere"], 2, "could not read the report elsewhere")]
#[case::no_cell(&["run", "--cell", "kubernetes<1.20"], 4, "no cell matches kubernetes<1.20")]
#[case::no_scenario(&["run", "--scenario", "PS-99"], 4, "no scenario matches PS-99")]
#[case::target(&["repro", "PS-05"], 2, "is not REPORT#CELL/SCENARIO")]
#[case::component(&["components", "build", "nope"], 2, "there is no component `nope`")]
#[tokio::test]
async fn bad_input_is_refused_before_anything_is_created(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] said: &str,
) {
    let (captured, names) = run(arguments).await;
    assert_eq!(captured.status.code(), Some(code), "{}", captured.stderr);
    assert!(captured.stderr.contains(said), "{}", captured.stderr);
    assert_eq!(captured.stdout, "");
    assert_eq!(names, Vec::<String>::new());
}

#[tokio::test]
async fn a_mistake_in_a_scenario_is_shown_with_its_file_line_and_caret() {
    let place = tempfile::tempdir().unwrap();
    let suite = Utf8Path::from_path(place.path()).unwrap();
    fs_err::write(suite.join("XX-01.yaml"), "id: XX-01\ntitle: t\npromise: p\nsource: s\nstepz: []\nexpect: []\n")
        .unwrap();
    let (captured, _) = run(&["lint", suite.as_str()]).await;
    assert_eq!(captured.status.code(), Some(2));
    assert!(captured.stderr.contains("XX-01.yaml:5:1"), "{}", captured.stderr);
    assert!(captured.stderr.contains("unknown field `stepz`"), "{}", captured.stderr);
    assert!(captured.stderr.contains("^^|^^"), "{}", captured.stderr);
}

#[rstest]
#[case::values("--values", "image:\n  tag: [\n", "wrong.yaml:2:8", "unclosed bracket")]
#[case::profile(
    "--subject-profile",
    "name: own\nabout: a\nabsent:\n- {feature: telepathy, reason: r}\n",
    "wrong.yaml:4:13",
    "unknown value `telepathy`"
)]
#[case::field("--subject-profile", "name: own\nabout: a\nabsnt: []\n", "wrong.yaml:3:1", "did you mean `absent`?")]
#[tokio::test]
async fn a_mistake_in_what_is_known_of_a_subject_is_shown_with_its_file_line_and_caret(
    #[case] flag: &str,
    #[case] text: &str,
    #[case] place: &str,
    #[case] said: &str,
) {
    let directory = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(directory.path()).unwrap().join("wrong.yaml");
    fs_err::write(&file, text).unwrap();
    let (captured, names) = run(&["run", flag, file.as_str()]).await;
    assert_eq!(captured.status.code(), Some(2), "{}", captured.stderr);
    assert!(captured.stderr.contains(place), "{}", captured.stderr);
    assert!(captured.stderr.contains(said), "{}", captured.stderr);
    assert_eq!(names, Vec::<String>::new());
}

#[rstest]
#[case(&["list", "scenarios", "--json"], &["id", "title", "promise", "source", "tags", "faults"])]
#[case(&["list", "cells", "--json"], &["id", "kubernetes", "runtime", "provider"])]
#[case(&["list", "faults", "--json"], &["name", "description", "promise", "caughtBy"])]
#[tokio::test]
async fn a_list_has_the_fields_that_tools_rely_on(#[case] arguments: &[&str], #[case] fields: &[&str]) {
    let (captured, _) = run(arguments).await;
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&captured.stdout).unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        for field in fields {
            assert!(row.contains_key(*field), "{field} is missing in {row:?}");
        }
    }
}
