use proptest::prelude::*;
use rstest::rstest;

use super::{
    build::{arguments, go_line, new_enough},
    lock::{inherited, manifest},
    official::sum_of,
    template::Template,
    *,
};

const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn home() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn repository() -> Pins {
    Pins::load(home().join("pins.yaml")).unwrap()
}

#[test]
fn every_pinned_version_has_a_module_that_requires_it() {
    for (name, pin) in &repository().components {
        for version in &pin.versions {
            let module = home().join("components").join(name).join(version);
            let text = fs_err::read_to_string(module.join("go.mod")).unwrap();
            let required = format!("{} v{version}", pin.build.module);
            assert!(text.contains(&required), "{module} does not require {required}");
            assert!(module.join("go.sum").exists(), "{module} has no go.sum");
            let own_main = pin.build.programs.values().any(|package| package == ".");
            assert_eq!(module.join("main.go").exists(), own_main, "{module}");
        }
    }
}

#[test]
fn every_module_directory_is_pinned() {
    let pins = repository();
    for family in fs_err::read_dir(home().join("components")).unwrap() {
        let family = family.unwrap();
        let name = family.file_name().into_string().unwrap();
        let pin = pins.component(&name).unwrap_or_else(|| panic!("{name} is not pinned"));
        for version in fs_err::read_dir(family.path()).unwrap() {
            let version = version.unwrap().file_name().into_string().unwrap();
            assert!(pin.versions.contains(&version), "{name} {version} is not pinned");
        }
    }
}

#[test]
fn kubernetes_reports_its_version() {
    let pins = repository();
    let build = &pins.components["kubernetes"].build;
    let arguments = arguments(build, &Template::new("1.36.4").unwrap(), ".", "/out/kubernetes".into()).unwrap();
    insta::assert_snapshot!(arguments.join("\n"), @r"
    build
    -v
    -trimpath
    -buildvcs=false
    -tags=selinux,notest,grpcnotrace
    -ldflags=-s -w -X k8s.io/client-go/pkg/version.gitMajor=1 -X k8s.io/client-go/pkg/version.gitMinor=36 -X k8s.io/client-go/pkg/version.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=v1.36.4 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36 -X k8s.io/component-base/version.gitTreeState=clean -X k8s.io/component-base/version.gitVersion=v1.36.4
    -o
    /out/kubernetes
    .
    ");
}

#[rstest]
#[case("schema: sandproof.pins/v1", "schema: sandproof.pins/v9", "its schema is `sandproof.pins/v9`")]
#[case("kubernetes: 1.36.4,", "kubernetes: 1.35.4,", "1.35.4 is no release of 1.36")]
#[case("kubernetes: 1.36.4,", "kubernetes: 1.36.5,", "kubernetes 1.36.5, which is not pinned")]
#[case("criO: 1.36.3", "criO: 1.36.9", "cri-o 1.36.9, which is not pinned")]
#[case("containerd: [1.7.30]", "containerd: [1.7.31]", "containerd 1.7.31, which is not pinned")]
#[case("agentSandbox: [0.4.6, 0.5.6,", "agentSandbox: [0.4.6, 0.5.7,", "agent-sandbox 0.5.7, which is not pinned")]
#[case(
    "defaults:\n    kubernetes: \"1.36\"",
    "defaults:\n    kubernetes: \"1.38\"",
    "the default minor 1.38 is not on the axis"
)]
#[case(
    "gates: {ImageVolume: false}",
    "gates: {ImageVolumes: false}",
    "nothing is known of the feature gate `ImageVolumes`"
)]
#[case("runtimeVersion: 1.34.0", "runtimeVersion: 1.34.1", "cri-o 1.34.1 is not pinned")]
#[case("default: 1.4.3", "default: 1.4.4", "runc: its default 1.4.4 is not among its versions")]
#[case("programs: [runc]", "programs: [runc, other]", "its build does not make `other`")]
#[case("runc.{arch}", "runc.{platform}", "unknown placeholder `{platform}`")]
#[case("runc.{arch}", "runc.{arch", "a brace that is not closed")]
#[case("versions: [1.4.3]", "versions: [1.4.3, newest]", "`newest` is not a version of three numbers")]
#[case("members: {registry: registry}", "members: {}", "an archive has members, a file has none")]
fn pins_that_contradict_themselves_are_refused(#[case] text: &str, #[case] instead: &str, #[case] message: &str) {
    let good = fs_err::read_to_string(home().join("pins.yaml")).unwrap();
    assert!(good.contains(text), "{text}");
    let error = Pins::parse(&good.replace(text, instead), "pins.yaml".into()).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn an_unknown_field_is_an_error_with_its_line() {
    let good = fs_err::read_to_string(home().join("pins.yaml")).unwrap();
    let error = Pins::parse(&good.replacen("title: runc", "titel: runc", 1), "pins.yaml".into()).unwrap_err();
    assert!(error.to_string().contains("titel"), "{error}");
    assert!(error.to_string().contains("line"), "{error}");
}

#[rstest]
#[case::bare(&format!("{SUM}\n"), Some(SUM))]
#[case::lines(&format!("{}  other\n{SUM}  tool.tgz\n", "0".repeat(64)), Some(SUM))]
#[case::binary(&format!("{SUM} *tool.tgz\n"), Some(SUM))]
#[case::path(&format!("{SUM}  ./dist/tool.tgz\n"), Some(SUM))]
#[case::capitals(&format!("{}  tool.tgz\n", SUM.to_uppercase()), Some(SUM))]
#[case::another_file(&format!("{SUM}  other.tgz\n"), None)]
#[case::suffix(&format!("{SUM}  mytool.tgz\n"), None)]
#[case::too_short("0123  tool.tgz\n", None)]
#[case::two_bare(&format!("{SUM}\n{SUM}\n"), None)]
#[case::html("<html>not found</html>", None)]
#[case::nothing("", None)]
fn published_checksums_are_read(#[case] text: &str, #[case] expected: Option<&str>) {
    assert_eq!(sum_of(text, "tool.tgz").as_deref(), expected);
}

proptest! {
    #[test]
    fn a_checksum_is_only_ever_a_sum(text in "(?s).{0,300}") {
        if let Some(sum) = sum_of(&text, "tool.tgz") {
            prop_assert_eq!(sum.len(), 64);
        }
    }

    #[test]
    fn a_template_without_braces_is_itself(text in "[^{}]{0,60}") {
        prop_assert_eq!(Template::new("1.2.3").unwrap().expand(&text).unwrap(), text);
    }
}

#[test]
fn templates_know_the_parts_of_a_version() {
    let template = Template::new("1.36.4").unwrap().program("kubelet");
    assert_eq!(
        template.expand("{version} {series} {major} {minor} {patch} {program}").unwrap(),
        "1.36.4 1.36 1 36 4 kubelet"
    );
}

#[rstest]
#[case("go1.26.8", "auto", "1.26.0", true)]
#[case("go1.26.8", "local", "1.26.0", true)]
#[case("go1.26rc1", "local", "1.26", true)]
#[case("go1.25.1", "local", "1.26.0", false)]
#[case("go1.25.1", "auto", "1.26.0", true)]
#[case("go1.19.8", "auto", "1.26.0", false)]
#[case("devel", "local", "1.26.0", false)]
fn a_go_is_new_enough(#[case] found: &str, #[case] toolchain: &str, #[case] needed: &str, #[case] expected: bool) {
    assert_eq!(new_enough(found, toolchain, needed), expected);
}

#[test]
fn the_go_line_is_found() {
    assert_eq!(go_line("module m\n\ngo 1.26.3\n").as_deref(), Some("1.26.3"));
    assert_eq!(go_line("module m\n"), None);
}

const UPSTREAM: &str = "\
module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
\tgithub.com/spf13/cobra v1.10.2 // indirect
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/client-go => ./staging/src/k8s.io/client-go
\texample.com/fork => example.com/other v1.0.0
)
";

#[test]
fn the_lock_of_kubernetes_replaces_its_staging_modules() {
    let pins = repository();
    let text = manifest(&pins.components["kubernetes"], "kubernetes", "1.36.4", &inherited(UPSTREAM), Some("v0.36.4"));
    insta::assert_snapshot!(text, @r"
    module sandproof.test/components/kubernetes

    go 1.26.0

    godebug default=go1.26

    require k8s.io/kubernetes v1.36.4

    replace (
    	k8s.io/api => k8s.io/api v0.36.4
    	k8s.io/client-go => k8s.io/client-go v0.36.4
    )
    ");
}

#[test]
fn the_lock_of_a_tool_names_its_packages() {
    let pins = repository();
    let text = manifest(&pins.components["cri-o"], "cri-o", "1.36.3", &inherited("module m\ngo 1.26.3\n"), None);
    insta::assert_snapshot!(text, @r"
    module sandproof.test/components/cri-o

    go 1.26.3

    tool (
    	github.com/cri-o/cri-o/cmd/crio
    )

    require github.com/cri-o/cri-o v1.36.3
    ");
}

#[test]
fn a_component_names_its_programs_when_asked_for_another() {
    let component = Component {
        name: "cri-o".to_owned(),
        version: "1.36.3".to_owned(),
        directory: "/cache/cri-o".into(),
        files: [("crio".to_owned(), "/cache/cri-o/crio".into())].into(),
        source: Source::Build,
        origin: String::new(),
        cached: true,
        seconds: 0.1,
    };
    assert_eq!(component.file("crio").unwrap(), "/cache/cri-o/crio");
    let error = component.file("conmon").unwrap_err().to_string();
    assert_eq!(error, "cri-o has no program `conmon`; it has crio");
}
