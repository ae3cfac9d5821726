use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn user(name: &str) -> Presented {
    Presented::User(name.to_owned())
}

fn token(user: Option<&str>, scopes: &[&str]) -> Presented {
    Presented::Token(TokenGrant {
        user: user.map(str::to_owned),
        scopes: scopes.iter().map(|repository| Scope::pull(repository)).collect(),
    })
}

fn private() -> Access {
    Access::Users(vec!["alice".to_owned(), "carol".to_owned()])
}

/// A decision in short: `allow`, `401`, `401 ERROR`, `403`.
fn short(decision: &Decision) -> String {
    match decision {
        Decision::Allow => "allow".to_owned(),
        Decision::Challenge { error: None, .. } => "401".to_owned(),
        Decision::Challenge { error: Some(error), .. } => format!("401 {error}"),
        Decision::Deny { .. } => "403".to_owned(),
    }
}

#[rstest]
// The version check.
#[case(Scheme::Basic, Action::Ping, None, Presented::Nothing, "401")]
#[case(Scheme::Basic, Action::Ping, None, user("bob"), "allow")]
#[case(Scheme::Basic, Action::Ping, None, Presented::Wrong("bob".to_owned()), "401")]
#[case(Scheme::Bearer, Action::Ping, None, Presented::Nothing, "401")]
#[case(Scheme::Bearer, Action::Ping, None, token(None, &[]), "allow")]
#[case(Scheme::Bearer, Action::Ping, None, Presented::StaleToken, "401 invalid_token")]
// A public repository.
#[case(Scheme::Basic, Action::Pull, Some(Access::Public), Presented::Nothing, "allow")]
#[case(Scheme::Basic, Action::Pull, Some(Access::Public), user("bob"), "allow")]
#[case(Scheme::Basic, Action::Pull, Some(Access::Public), Presented::Wrong("bob".to_owned()), "401")]
#[case(Scheme::Basic, Action::Push, Some(Access::Public), Presented::Nothing, "401")]
#[case(Scheme::Basic, Action::Push, Some(Access::Public), user("bob"), "403")]
#[case(Scheme::Bearer, Action::Pull, Some(Access::Public), Presented::Nothing, "401")]
#[case(Scheme::Bearer, Action::Pull, Some(Access::Public), token(None, &["r"]), "allow")]
#[case(Scheme::Bearer, Action::Push, Some(Access::Public), token(None, &["r"]), "401 insufficient_scope")]
// A private repository.
#[case(Scheme::Basic, Action::Pull, Some(private()), Presented::Nothing, "401")]
#[case(Scheme::Basic, Action::Pull, Some(private()), Presented::Malformed, "401")]
#[case(Scheme::Basic, Action::Pull, Some(private()), Presented::Wrong("alice".to_owned()), "401")]
#[case(Scheme::Basic, Action::Pull, Some(private()), user("alice"), "allow")]
#[case(Scheme::Basic, Action::Pull, Some(private()), user("bob"), "403")]
#[case(Scheme::Basic, Action::Push, Some(private()), user("alice"), "403")]
#[case(Scheme::Basic, Action::Pull, Some(private()), token(Some("alice"), &["r"]), "401")]
#[case(Scheme::Bearer, Action::Pull, Some(private()), user("alice"), "401")]
#[case(Scheme::Bearer, Action::Pull, Some(private()), token(Some("alice"), &["r"]), "allow")]
#[case(Scheme::Bearer, Action::Pull, Some(private()), token(Some("alice"), &["other"]), "401 insufficient_scope")]
#[case(Scheme::Bearer, Action::Pull, Some(private()), token(None, &[]), "401 insufficient_scope")]
#[case(Scheme::Bearer, Action::Push, Some(private()), token(Some("alice"), &["r"]), "401 insufficient_scope")]
// A repository that nobody was granted.
#[case(Scheme::Basic, Action::Pull, None, Presented::Nothing, "401")]
#[case(Scheme::Basic, Action::Pull, None, user("alice"), "403")]
fn requests_are_decided(
    #[case] scheme: Scheme,
    #[case] action: Action,
    #[case] access: Option<Access>,
    #[case] presented: Presented,
    #[case] expected: &str,
) {
    let repository = (action != Action::Ping).then_some("r");
    let question = Question { scheme, action, repository, access: access.as_ref(), presented: &presented };
    assert_eq!(short(&decide(&question)), expected);
}

#[rstest]
#[case("alice", "right", user("alice"))]
#[case("alice", "wrong", Presented::Wrong("alice".to_owned()))]
#[case("alice", "", Presented::Wrong("alice".to_owned()))]
#[case("nobody", "right", Presented::Wrong("nobody".to_owned()))]
#[case("", "right", Presented::Wrong(String::new()))]
#[case("", "", Presented::Nothing)]
fn passwords_are_checked(#[case] name: &str, #[case] password: &str, #[case] expected: Presented) {
    let mut accounts = Accounts::default();
    accounts.add_user("alice", "right");
    assert_eq!(accounts.check(name, password), expected);
    assert_eq!(accounts.check_basic(&STANDARD.encode(format!("{name}:{password}"))), expected);
}

#[test]
fn a_changed_password_replaces_the_old_one() {
    let mut accounts = Accounts::default();
    accounts.add_user("alice", "old");
    accounts.add_user("alice", "new");
    assert_eq!(accounts.check("alice", "old"), Presented::Wrong("alice".to_owned()));
    assert_eq!(accounts.check("alice", "new"), user("alice"));
}

#[rstest]
#[case(user("a"), Some("a"), Some("a"))]
#[case(token(Some("a"), &[]), Some("a"), Some("a"))]
#[case(token(None, &["r"]), None, None)]
#[case(Presented::Wrong("a".to_owned()), None, Some("a"))]
#[case(Presented::StaleToken, None, None)]
fn credentials_name_a_user(
    #[case] presented: Presented,
    #[case] authenticated: Option<&str>,
    #[case] tried: Option<&str>,
) {
    assert_eq!(presented.authenticated().as_deref(), authenticated);
    assert_eq!(presented.user_name().as_deref(), tried);
}

#[rstest]
#[case("%%%")]
#[case("YWxpY2U=")] // no colon
#[case("/////w==")] // not UTF-8
fn unreadable_credentials_are_malformed(#[case] encoded: &str) {
    assert_eq!(Accounts::default().check_basic(encoded), Presented::Malformed);
}

#[test]
fn a_token_gets_what_its_user_is_entitled_to() {
    let mut accounts = Accounts::default();
    accounts.grant("open", Access::Public);
    accounts.grant("closed", Access::Users(vec!["alice".to_owned()]));
    let wanted: Vec<Scope> = ["repository:open:pull,push", "repository:closed:pull", "repository:none:pull"]
        .into_iter()
        .filter_map(Scope::parse)
        .collect();
    assert_eq!(accounts.entitled(None, &wanted), [Scope::pull("open")]);
    assert_eq!(accounts.entitled(Some("bob"), &wanted), [Scope::pull("open")]);
    assert_eq!(accounts.entitled(Some("alice"), &wanted), [Scope::pull("open"), Scope::pull("closed")]);
    let only_push: Vec<Scope> = Scope::parse("repository:open:push").into_iter().collect();
    assert_eq!(accounts.entitled(Some("alice"), &only_push), []);
}

proptest! {
    #[test]
    fn nobody_but_the_granted_user_reads_a_private_repository(
        scheme in prop_oneof![Just(Scheme::Basic), Just(Scheme::Bearer)],
        name in "[a-z]{1,6}",
        scope in "[a-z]{1,3}",
        shape in 0..6_u8,
    ) {
        let presented = match shape {
            0 => Presented::Nothing,
            1 => Presented::User(name),
            2 => Presented::Wrong(name),
            3 => token(Some(&name), &[scope.as_str()]),
            4 => Presented::StaleToken,
            _ => Presented::Malformed,
        };
        let access = Access::Users(vec!["alice".to_owned()]);
        let question = Question {
            scheme,
            action: Action::Pull,
            repository: Some("r"),
            access: Some(&access),
            presented: &presented,
        };
        if decide(&question) == Decision::Allow {
            let entitled = match &presented {
                Presented::User(name) => name == "alice",
                Presented::Token(grant) => grant.allows_pull("r"),
                _ => false,
            };
            prop_assert!(entitled);
        }
    }
}
