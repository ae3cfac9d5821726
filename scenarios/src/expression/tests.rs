use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn parse(text: &str) -> Result<Expression, ExpressionError> {
    let any = ["id", "kubernetes", "runtime.*", "gates.*", "agentSandbox.*", "tags", "nodes", "missing", "a"];
    Expression::parse(text, &any)
}

fn facts() -> Value {
    json!({
        "id": "PS-02",
        "key": "PS-02[registry=plain]",
        "kubernetes": "1.36.4",
        "runtime": {"name": "cri-o", "version": "v1.34.6+k3s1"},
        "gates": {"ImageVolume": true},
        "agentSandbox": {"served": ["v1beta1", "v1alpha1"], "release": "1.1.0-rc.2"},
        "tags": ["smoke", "pull-secrets"],
        "nodes": 2,
    })
}

#[rstest]
#[case("PS-02", true)]
#[case("PS-03", false)]
#[case("\"PS-02[registry=plain]\"", true)]
#[case("id ~ \"^PS-\" && !(tags ~ \"slow\")", true)]
#[case("kubernetes>=1.35", true)]
#[case("kubernetes>=1.36.5", false)]
#[case("kubernetes==1.36", true)]
#[case("kubernetes==v1.36.4", true)]
#[case("kubernetes==1.3", false)]
#[case("kubernetes<=1.36", true)]
#[case("kubernetes>1.36", false)]
#[case("kubernetes<1.100", true)]
#[case("runtime.version>=1.34.6", true)]
#[case("runtime.name==cri-o", true)]
#[case("runtime.name!=containerd", true)]
#[case("runtime.name==CRI-O", false)]
#[case("gates.ImageVolume==true", true)]
#[case("agentSandbox.served==v1alpha1", true)]
#[case("agentSandbox.served==v1", false)]
#[case("agentSandbox.release<1.1.0", true)]
#[case("agentSandbox.release>=1.1", true)]
#[case("agentSandbox.release>1.1.0-rc.1", true)]
#[case("tags==smoke", true)]
#[case("tags!=smoke", false)]
#[case("nodes>=2", true)]
#[case("nodes>2", false)]
#[case("missing==x", false)]
#[case("missing!=x", true)]
#[case("missing>=1", false)]
#[case("missing<1", false)]
#[case("missing~'.*'", false)]
#[case("PS-03 || PS-02 && kubernetes<1", false)]
#[case("PS-02 || PS-03 && kubernetes<1", true)]
#[case("(PS-02 || PS-03) && kubernetes<1", false)]
#[case("!PS-03 && !!PS-02", true)]
fn holds(#[case] text: &str, #[case] expected: bool) {
    assert_eq!(parse(text).unwrap().matches(&facts()), expected);
}

#[rstest]
#[case("", "")]
#[case("kubernetes >=", "")]
#[case("kubernetes >= newest", "newest")]
#[case("kubernetes = 1.35", "=")]
#[case("a & b", "&")]
#[case("kubernetes>=1.35 runtime==cri-o", "runtime")]
#[case("(a == b", "(")]
#[case("a == b)", ")")]
#[case("a == 'b", "'b")]
#[case("id ~ \"[\"", "\"[\"")]
#[case("a == b && || c", "||")]
#[case("a == #", "#")]
#[case("== b", "==")]
fn errors_point_at_the_word(#[case] text: &str, #[case] word: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!(&text[error.span()], word, "{error}");
}

#[test]
fn an_unknown_field_is_named_with_the_one_that_was_meant() {
    let text = "runtime.name==cri-o && kuberntes>=1.35";
    let error = Expression::parse(text, &["kubernetes", "runtime.*", "gates.*"]).unwrap_err();
    assert_eq!(error.message(), "there is no field `kuberntes`");
    assert_eq!(error.advice(), Some("did you mean `kubernetes`?"));
    assert_eq!(&text[error.span()], "kuberntes");
}

#[test]
fn a_diagnostic_shows_the_expression_and_the_place() {
    let error = parse("kubernetes>=1.35 and runtime==cri-o").unwrap_err();
    insta::assert_snapshot!(crate::tests::rendered(&error.in_argument("--cell")));
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let text = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(parse(&text).unwrap_err().message(), "it is nested too deeply");
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z][a-zA-Z0-9.-]{0,8}".boxed(), "[ -~]{1,8}".boxed(), Just("1.35".to_owned()).boxed(),]
}

fn comparison() -> impl Strategy<Value = String> {
    prop_oneof![
        (word(), prop::sample::select(vec!["==", "!="]), word())
            .prop_map(|(field, operator, value)| format!("{field:?} {operator} {value:?}")),
        ("[a-z]{1,5}", prop::sample::select(vec![">=", "<=", ">", "<"]), "[1-9]\\.[0-9]{1,2}")
            .prop_map(|(field, operator, value)| format!("{field}{operator}{value}")),
        word().prop_map(|word| format!("{word:?}")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    comparison().prop_recursive(4, 32, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|terms| format!("({})", terms.join(" && "))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|terms| format!("({})", terms.join("||"))),
            inner.prop_map(|term| format!("!({term})")),
        ]
    })
}

proptest! {
    #[test]
    fn the_canonical_form_says_the_same(text in expression()) {
        let expression = Expression { root: parser::parse(&text).unwrap(), text };
        let again = Expression { root: parser::parse(&expression.to_string()).unwrap(), text: String::new() };
        prop_assert_eq!(&again.root, &expression.root);
        prop_assert_eq!(again.to_string(), expression.to_string());
    }

    #[test]
    fn no_text_makes_it_panic(text in "[ -~é]{0,24}") {
        if let Err(error) = parse(&text) {
            prop_assert!(text.get(error.span()).is_some());
        }
    }
}
