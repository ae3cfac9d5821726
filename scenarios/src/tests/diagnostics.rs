//! Every fault of a scenario file comes with its file, line and caret, and with what to do.

use camino::Utf8PathBuf;
use jiff::civil::date;
use rstest::rstest;

use crate::{Expectations, Suite, SuiteError, SuiteErrors};

const FAULTS: &[&str] = &["ignore-global-secrets", "writable-mount"];

/// A scenario without fault; tests replace parts of it.
const GOOD: &str = "\
id: PS-05
title: a title
promise: a promise
source: a thread
tags: [smoke]
faults: [writable-mount]
parameters:
  - {registry: plain}
  - {registry: secure}
unsupported:
  - when: 'param.registry == secure && capabilities.imageVolume != works'
    refusal:
      - {at: create.code, equals: FailedPrecondition}
steps:
  - image: {name: private, content: agent, access: [reader], registry: '${param.registry}'}
  - image: {name: supervisor, content: supervisor}
  - secret: {name: own, user: reader}
  - driver: {pullSecrets: [own], supervisorImage: supervisor}
  - watch: {}
  - create: {sandbox: {name: first, image: private, driverConfig: {supervisor_image: '${image.supervisor}'}}}
  - create: {as: many, cases: {one: {name: second, image: private}}}
  - await: {sandbox: first, until: running, within: 20s}
  - events: {until: {platform: first, matches: 'Err.*'}}
  - get: {sandbox: first}
  - requests: {image: private}
expect:
  - {at: create.code, equals: OK}
  - {at: many.one.code, sameAs: create.code}
";

fn load(text: &str) -> Result<Suite, SuiteErrors> {
    Suite::from_texts(&[(Utf8PathBuf::from("suite/PS-05-it.yaml"), text.to_owned())], FAULTS)
}

fn changed(from: &str, to: &str) -> SuiteErrors {
    assert!(GOOD.contains(from), "{from}");
    load(&GOOD.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn the_good_scenario_is_good() {
    let suite = load(GOOD).unwrap();
    let keys: Vec<&str> = suite.instances().map(|instance| instance.key.as_str()).collect();
    assert_eq!(keys, ["PS-05[registry=plain]", "PS-05[registry=secure]"]);
}

/// The fault, with the text that the caret points at; one fault each.
#[rstest]
#[case::unknown_field(
    "access: [reader]",
    "acess: [reader]",
    "line 15, at acess: unknown field `acess` (did you mean `access`?)"
)]
#[case::unknown_top_field(
    "tags: [smoke]",
    "tag: [smoke]",
    "line 5, at tag: unknown field `tag` (did you mean `tags`?)"
)]
#[case::unknown_fact(
    "unsupported:",
    "applies: {when: 'kubernets >= 1.33', reason: none there}\nunsupported:",
    "line 10, at kubernets: there is no field `kubernets` (did you mean `kubernetes`?)"
)]
#[case::no_reason(
    "unsupported:",
    "applies: {when: 'kubernetes >= 1.33', reason: ''}\nunsupported:",
    "line 10, at '': say why it makes no sense elsewhere"
)]
#[case::an_axis_left_out(
    "unsupported:",
    "variesWith: [kubernetes, runtime]\nunsupported:",
    "line 12, at 'param.registry == secure && capabilities.imageVolume != works': `capabilities.imageVolume` can differ by `gates`, and `variesWith` says that the result does not (list it under `variesWith`, or leave that out: then the result may depend on everything)"
)]
#[case::an_axis_twice(
    "unsupported:",
    "variesWith: [kubernetes, runtime, gates, runtime]\nunsupported:",
    "line 10, at runtime: `runtime` is listed twice"
)]
#[case::an_axis_twice_in_a_combination(
    "unsupported:",
    "variesWith: [runtime, [kubernetes, gates, runtime]]\nunsupported:",
    "line 10, at runtime: `runtime` is listed twice"
)]
#[case::a_combination_of_one(
    "unsupported:",
    "variesWith: [[kubernetes], runtime, gates]\nunsupported:",
    "line 10, at [: a combination is of two axes or more (write the name of an axis without a list of its own for each of its values)"
)]
#[case::an_unknown_axis(
    "unsupported:",
    "variesWith: [kubernetes, runtimes]\nunsupported:",
    "line 10, at runtimes: unknown value `runtimes` (did you mean `runtime`?)"
)]
#[case::unknown_step("- watch: {}", "- wacth: {}", "line 19, at wacth: unknown step `wacth` (did you mean `watch`?)")]
#[case::shared(
    "- watch: {}",
    "- watch: {}\n  - change: {served: []}",
    "line 20, at change: this changes the cluster for every scenario (add `alone: true` to the scenario)"
)]
#[case::two_changes(
    "steps:",
    "alone: true\nsteps:\n  - change: {served: [], controller: stopped}",
    "line 16, at change: exactly one of `controller`, `served` and `release` is needed (write a step for each change)"
)]
#[case::unknown_version(
    "- watch: {}",
    "- watch: {}\n  - read: {sandbox: first, version: v1}",
    "line 20, at v1: unknown value `v1` (known here: v1alpha1, v1beta1)"
)]
#[case::two_verbs(
    "- watch: {}",
    "- {watch: {}, list: {}}",
    "line 19, at watch: a step is a map with one key, its verb"
)]
#[case::unknown_value(
    "until: running",
    "until: runs",
    "line 22, at runs: unknown value `runs` (known here: running, pull-refused, failed, cannot-start, gone)"
)]
#[case::missing_field(
    "{sandbox: first, until: running",
    "{until: running",
    "line 22, at await: missing field `sandbox`"
)]
#[case::unparsable_within(
    "within: 20s",
    "within: 20",
    "line 22, at 20: invalid type: integer `20`, expected a length of time such as `20s`"
)]
#[case::too_short(
    "within: 20s",
    "within: 20ms",
    "line 22, at 20ms: 20ms is too short for a wait: nothing can have happened by then (write something from 1s to 300s)"
)]
#[case::too_long(
    "within: 20s",
    "within: 20m",
    "line 22, at 20m: 1200s is too long for a wait: a scenario that waits so long hangs (write something from 1s to 300s)"
)]
#[case::too_quiet(
    "- watch: {}",
    "- watch: {}\n  - quiet: {for: 2m}",
    "line 20, at 2m: 120s is too long for a quiet time: a scenario that waits so long hangs (write something from 100ms to 60s)"
)]
#[case::impossible_time(
    "  - {at: create.code, equals: OK}",
    "  - {at: create.code, equals: OK}\n  - {at: await.seconds, atLeast: 21}",
    "line 28, at 21: `await` takes 20s at most, so this can never hold"
)]
#[case::unknown_unit(
    "within: 20s",
    "within: 20 s",
    "line 22, at 20 s: `20 s` is not a length of time, write a whole number and `ms`, `s` or `m`, for example `20s`"
)]
#[case::access(
    "access: [reader]",
    "access: everybody",
    "line 15, at everybody: invalid value: string \"everybody\", expected `public` or a list of the registry's users"
)]
#[case::empty_expect(
    "expect:\n  - {at: create.code, equals: OK}\n  - {at: many.one.code, sameAs: create.code}\n",
    "expect: []\n",
    "line 26, at expect: a scenario that expects nothing proves nothing (write at least one check)"
)]
#[case::no_matcher(
    "{at: create.code, equals: OK}",
    "{at: create.code}",
    "line 27, at at: a check needs a matcher, for example `equals`"
)]
#[case::two_matchers(
    "{at: create.code, equals: OK}",
    "{at: create.code, equals: OK, present: true}",
    "line 27, at at: a check has exactly one matcher, write a second check for the other one"
)]
#[case::false_matcher(
    "{at: create.code, equals: OK}",
    "{at: create.code, absent: false}",
    "line 27, at false: only `true` can be given; write the opposite matcher instead of `false`"
)]
#[case::unknown_parameter(
    "registry: '${param.registry}'",
    "registry: '${param.registri}'",
    "line 15, at '${param.registri}': unknown parameter `registri` (did you mean `registry`?)"
)]
#[case::unknown_reference(
    "user: reader}",
    "user: '${env.USER}'}",
    "line 17, at '${env.USER}': unknown reference `${env.USER}` (`${param.NAME}` can stand anywhere, `${image.NAME}` in `platformConfig` and `driverConfig`, `${volume.NAME}` in `settings`)"
)]
#[case::unknown_image(
    "image: private, driverConfig",
    "image: privat, driverConfig",
    "line 20, at privat: unknown image `privat` (did you mean `private`?)"
)]
#[case::unknown_image_in_config(
    "${image.supervisor}",
    "${image.other}",
    "line 20, at driverConfig: unknown image `other` (the images above are `private` and `supervisor`)"
)]
#[case::wrong_content(
    "supervisorImage: supervisor",
    "supervisorImage: private",
    "line 18, at private: `private` has other content than is needed here (give it content `supervisor`)"
)]
#[case::unknown_secret(
    "pullSecrets: [own]",
    "pullSecrets: [theirs]",
    "line 18, at theirs: unknown secret `theirs` (write a `secret` step, or begin the name with `missing` if it must not exist)"
)]
#[case::unknown_sandbox(
    "get: {sandbox: first}",
    "get: {sandbox: third}",
    "line 24, at third: unknown sandbox `third` (the sandboxes asked for above are `first` and `second`)"
)]
#[case::unknown_driver(
    "- watch: {}",
    "- watch: {}\n  - use: {driver: other}",
    "line 20, at other: unknown driver `other` (the drivers above are `driver`)"
)]
#[case::unknown_volume(
    "supervisorImage: supervisor",
    "supervisorImage: supervisor, settings: {workspaceStorageClass: '${volume.data}'}",
    "line 18, at '${volume.data}': unknown volume `data` (the volumes above are none)"
)]
#[case::two_supervisors(
    "supervisorImage: supervisor",
    "supervisorImage: supervisor, supervisorReference: 'a:b'",
    "line 18, at driver: either `supervisorImage` or `supervisorReference` (remove one of them)"
)]
#[case::no_socket(
    "- watch: {}",
    "- watch: {}\n  - socket: {}",
    "line 20, at socket: no driver listens on a socket here (write `socket: true` in the `driver` step)"
)]
#[case::no_relay(
    "- watch: {}",
    "- watch: {}\n  - apiServer: {state: silent}",
    "line 20, at apiServer: no driver has its API server behind a relay here (write `throughRelay: true` in the `driver` step)"
)]
#[case::shared_node(
    "- watch: {}",
    "- watch: {}\n  - taint: {key: a, effect: NoSchedule}",
    "line 20, at taint: this changes the cluster for every scenario (add `alone: true` to the scenario)"
)]
#[case::nothing_run(
    "- watch: {}",
    "- watch: {}\n  - run: {image: private, cases: {}}",
    "line 20, at run: nothing is run (write at least one case)"
)]
#[case::unknown_watch(
    "events: {until",
    "events: {watch: other, until",
    "line 23, at other: unknown watch `other` (the watches above are `watch`)"
)]
#[case::bad_pattern(
    "matches: 'Err.*'",
    "matches: 'Err('",
    "line 23, at 'Err(': this is not a regular expression: unclosed group"
)]
#[case::unknown_observation(
    "at: create.code, equals: OK",
    "at: creates.code, equals: OK",
    "line 27, at creates.code: unknown observation `creates` (did you mean `create`?)"
)]
#[case::unknown_observed_field(
    "at: create.code, equals: OK",
    "at: create.codes, equals: OK",
    "line 27, at create.codes: unknown field `codes` (did you mean `code`?)"
)]
#[case::unknown_case(
    "at: many.one.code",
    "at: many.two.code",
    "line 28, at many.two.code: unknown case `two` (observed here: `one`)"
)]
#[case::unknown_other_path(
    "sameAs: create.code",
    "sameAs: get.cod",
    "line 28, at get.cod: unknown field `cod` (did you mean `code`?)"
)]
#[case::bad_path(
    "at: create.code, equals: OK",
    "at: create..code, equals: OK",
    "line 27, at create..code: a key is missing at character 8 of the path `create..code`"
)]
#[case::same_name_twice(
    "get: {sandbox: first}",
    "get: {as: events, sandbox: first}",
    "line 24, at get: a step above is named `events` already (name the observation of one of them with `as:`)"
)]
#[case::get_without_sandbox(
    "get: {sandbox: first}",
    "get: {name: first}",
    "line 24, at get: either `sandbox`, or `id` with or without `name` (`id` and `name` are sent as they are)"
)]
#[case::sandbox_and_cases(
    "create: {sandbox: {",
    "create: {cases: {x: {name: x}}, sandbox: {",
    "line 20, at create: exactly one of `sandbox` and `cases` is needed (write one sandbox, or cases by name)"
)]
#[case::unknown_fault(
    "faults: [writable-mount]",
    "faults: [writeable-mount]",
    "line 6, at writeable-mount: unknown fault `writeable-mount` (did you mean `writable-mount`?)"
)]
#[case::bad_id(
    "id: PS-05",
    "id: PS5",
    "line 1, at PS5: `PS5` is not an ID (an ID is two capital letters, a hyphen and two or more digits, for example `PS-02`)"
)]
#[case::other_file(
    "id: PS-05",
    "id: PS-06",
    "line 1, at PS-06: the file's name does not begin with the ID (name it `PS-06-<what it is about>.yaml`)"
)]
#[case::empty_text("promise: a promise", "promise: ''", "line 3, at '': `promise` is empty")]
#[case::unknown_fact(
    "capabilities.imageVolume != works",
    "capability.imageVolume != works",
    "line 11, at capability.imageVolume: there is no field `capability.imageVolume` (did you mean `capabilities.imageVolume`?)"
)]
#[case::bad_condition(
    "param.registry == secure",
    "param.registry = secure",
    "line 11, at =: `=` has no meaning here (equality is written `==`)"
)]
#[case::unused_parameter("- {registry: plain}\n  - {registry: secure}", "- {registry: plain, more: 1}", "")]
#[case::parameter_sets_differ("- {registry: secure}", "- {registri: secure}", "")]
#[case::same_parameters_twice(
    "- {registry: secure}",
    "- {registry: plain}",
    "line 9, at registry: the same values are given above"
)]
#[case::no_refusal(
    "    refusal:\n      - {at: create.code, equals: FailedPrecondition}\n",
    "    refusal: []\n",
    "line 12, at refusal: a refusal without checks cannot be told from silence (write what the driver is documented to answer)"
)]
#[case::duplicate_key("tags: [smoke]", "tags: [smoke]\ntags: [slow]", "line 6, at tags: duplicate mapping key: tags")]
#[case::no_driver("  - driver: {pullSecrets: [own], supervisorImage: supervisor}\n", "", "")]
fn a_fault_is_at_its_place(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let errors = changed(from, to);
    let found: Vec<String> = errors
        .errors()
        .iter()
        .map(|error| {
            let (line, _) = error.position().unwrap();
            let advice = error.advice().map(|advice| format!(" ({advice})")).unwrap_or_default();
            format!("line {line}, at {}: {}{advice}", error.pointed_at(), error.message())
        })
        .collect();
    if expected.is_empty() {
        insta::with_settings!({snapshot_suffix => to.chars().filter(char::is_ascii_alphanumeric).collect::<String>()}, {
            insta::assert_snapshot!(found.join("\n"));
        });
    } else {
        assert_eq!(found, [expected]);
    }
}

#[test]
fn a_diagnostic_shows_the_file_the_line_and_the_caret() {
    insta::assert_snapshot!(super::rendered(&changed("access: [reader]", "acess: [reader]")));
}

#[test]
fn a_fault_inside_an_expression_is_shown_at_its_word() {
    insta::assert_snapshot!(super::rendered(&changed("capabilities.imageVolume != works", "kubernetes >= newest")));
}

#[test]
fn what_is_no_yaml_is_shown_at_its_place() {
    insta::assert_snapshot!(super::rendered(&changed("tags: [smoke]", "tags: [smoke")));
}

#[test]
fn an_id_that_is_taken_is_shown_in_both_files() {
    let second = GOOD.replacen("title: a title", "title: another", 1);
    let texts = [
        (Utf8PathBuf::from("suite/a/PS-05-one.yaml"), GOOD.to_owned()),
        (Utf8PathBuf::from("suite/b/PS-05-two.yaml"), second),
    ];
    insta::assert_snapshot!(super::rendered(&Suite::from_texts(&texts, FAULTS).unwrap_err()));
}

#[test]
fn all_faults_of_all_files_are_reported_at_once() {
    let texts = [
        (Utf8PathBuf::from("PS-01-a.yaml"), "id: PS-01\n".to_owned()),
        (Utf8PathBuf::from("PS-02-b.yaml"), "[]\n".to_owned()),
        (Utf8PathBuf::from("PS-03-c.yaml"), String::new()),
        (Utf8PathBuf::from("PS-04-d.yaml"), GOOD.replacen("get: {sandbox: first}", "get: {sandbox: x}", 1)),
    ];
    let errors = Suite::from_texts(&texts, FAULTS).unwrap_err();
    let found: Vec<String> =
        errors.errors().iter().map(|error| format!("{}: {}", error.file(), error.message())).collect();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn a_directory_without_scenarios_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(directory.path()).unwrap();
    let errors = Suite::load(path, FAULTS).unwrap_err();
    assert!(errors.errors()[0].message().starts_with("there is no scenario file"));
    let errors = Suite::load(&path.join("nowhere"), FAULTS).unwrap_err();
    assert!(errors.errors()[0].message().contains("nowhere"));
}

/// A fault with its line, what the caret points at, and what to do.
fn described(error: &SuiteError) -> String {
    let (line, _) = error.position().unwrap();
    let advice = error.advice().map(|advice| format!(" ({advice})")).unwrap_or_default();
    format!("line {line}, at {}: {}{advice}", error.pointed_at(), error.message())
}

/// Rows that could never be used, or of which it is unclear which one is.
#[rstest]
#[case::unknown_scenario(
    "{scenario: PS-06, verdict: skipped, reason: r}",
    &["line 2, at PS-06: no scenario is called `PS-06` (did you mean `PS-05`?)"]
)]
#[case::unknown_glob("{scenario: 'XX-*', verdict: skipped, reason: r}", &["line 2, at 'XX-*': no scenario is called `XX-*` (remove the row)"])]
#[case::unknown_parameters(
    "{scenario: PS-05, params: {registry: own}, verdict: skipped, reason: r}",
    &["line 2, at params: no result has these parameters (there is `PS-05[registry=plain]` and `PS-05[registry=secure]`)"]
)]
#[case::unprobed_fact(
    "{scenario: PS-05, when: capabilities.imageVolumes == works, verdict: skipped, reason: r}",
    &["line 2, at capabilities.imageVolumes: there is no field `capabilities.imageVolumes` (did you mean `capabilities.imageVolume`?)"]
)]
#[case::impossible(
    "{scenario: PS-05, when: kubernetes >= 1.36 && kubernetes < 1.35, verdict: skipped, reason: r}",
    &["line 2, at kubernetes >= 1.36 && kubernetes < 1.35: this can hold on no cluster (two of its conditions exclude each other)"]
)]
#[case::rivals(
    "{scenario: 'PS-*', when: kubernetes >= 1.35, verdict: skipped, reason: r}
  - {scenario: PS-05, when: runtime.name == cri-o, verdict: skipped, reason: r}",
    &["line 3, at PS-05: this row and an earlier one can both fit PS-05[registry=plain] (let their conditions exclude each other; the first that fits would win)"]
)]
#[case::one_ends_where_the_other_begins(
    "{scenario: PS-05, when: kubernetes >= 1.35, verdict: skipped, reason: r}
  - {scenario: PS-05, when: kubernetes < 1.35, verdict: skipped, reason: r}",
    &[]
)]
#[case::other_parameters(
    "{scenario: PS-05, params: {registry: plain}, verdict: skipped, reason: r}
  - {scenario: PS-05, params: {registry: secure}, verdict: skipped, reason: r}",
    &[]
)]
#[case::an_exemption(
    "{scenario: PS-05, when: provider == kind, verdict: pass, reason: r}
  - {scenario: PS-05, verdict: skipped, reason: r}",
    &[]
)]
fn rows_have_to_be_of_use(#[case] rows: &str, #[case] expected: &[&str]) {
    let suite = super::suite_of(&[("PS-05", &["plain", "secure"]), ("SL-01", &[])]);
    let text = format!("expectations:\n  - {rows}\n");
    let parsed = Expectations::parse(&text, "expectations.yaml".into(), &suite, date(2026, 11, 1));
    let found: Vec<String> = parsed.err().iter().flat_map(SuiteErrors::errors).map(described).collect();
    assert_eq!(found, expected);
}

#[rstest]
#[case::no_expiry(
    "verdict: known-gap",
    "line 4, at known-gap: an expected `known-gap` needs an end (add `expires: YYYY-MM-DD`, the last day on which it is excused)"
)]
#[case::bad_date("verdict: known-gap\n    expires: soon", "")]
#[case::unknown_verdict("verdict: broken\n    expires: 2027-01-01", "")]
#[case::unknown_field("verdict: pass\n    isue: x", "line 5, at isue: unknown field `isue` (did you mean `issue`?)")]
#[case::bad_condition("verdict: pass\n    when: runtime==cri-o", "")]
fn faults_of_expectations_are_at_their_place(#[case] rest: &str, #[case] expected: &str) {
    let text = format!("expectations:\n  - scenario: PS-05\n    reason: it is known\n    {rest}\n");
    let suite = super::suite_of(&[("PS-05", &[])]);
    let errors = Expectations::parse(&text, "expectations.yaml".into(), &suite, date(2026, 11, 1)).unwrap_err();
    let found = described(&errors.errors()[0]);
    if expected.is_empty() {
        insta::with_settings!({snapshot_suffix => rest.chars().filter(char::is_ascii_alphanumeric).collect::<String>()}, {
            insta::assert_snapshot!(found);
        });
    } else {
        assert_eq!(found, expected);
    }
}
