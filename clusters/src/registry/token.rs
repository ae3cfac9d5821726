//! Bearer tokens after the distribution token specification: scopes, the token store, and
//! the reading of token requests.
//!
//! Tokens are short opaque words, known only to this process.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{secret::random_word, target::is_repository_name};

/// How long a token is good: 300 s (the specification's minimum is 60 s).
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_mins(5);

/// What a token was asked for or opens: actions on one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) repository: String,
    pub(super) actions: Vec<String>,
}

/// What a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenGrant {
    /// Its user; `None` is anonymous.
    pub(super) user: Option<String>,
    /// What it opens.
    pub(super) scopes: Vec<Scope>,
}

/// The tokens that were given out.
#[derive(Default)]
pub(super) struct Tokens {
    given: HashMap<String, (TokenGrant, Instant)>,
}

/// A token request, from its query or its form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TokenRequest {
    pub(super) scopes: Vec<Scope>,
    pub(super) grant_type: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// The answer of the token endpoint.
#[derive(Debug, Serialize)]
pub(super) struct TokenAnswer {
    pub(super) token: String,
    pub(super) access_token: String,
    /// Seconds.
    pub(super) expires_in: u64,
    pub(super) issued_at: String,
    pub(super) scope: String,
}

impl Scope {
    /// The scope that opens `repository` for reading.
    pub(super) fn pull(repository: &str) -> Self {
        Self { repository: repository.to_owned(), actions: vec!["pull".to_owned()] }
    }

    /// Reads `repository:NAME:ACTION,ACTION`; other types and malformed text give `None`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (repository, actions) = text.strip_prefix("repository:")?.rsplit_once(':')?;
        is_repository_name(repository).then(|| Self {
            repository: repository.to_owned(),
            actions: actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned).collect(),
        })
    }

    /// Whether reading is among the actions.
    pub(super) fn wants_pull(&self) -> bool {
        self.actions.iter().any(|action| action == "pull")
    }
}

impl TokenGrant {
    /// Whether the token opens `repository` for reading.
    pub(super) fn allows_pull(&self, repository: &str) -> bool {
        self.scopes.iter().any(|scope| scope.repository == repository && scope.wants_pull())
    }
}

impl Tokens {
    /// Gives out a token for `grant`.
    pub(super) fn issue(&mut self, grant: TokenGrant, now: Instant) -> String {
        self.given.retain(|_, (_, until)| *until > now);
        let token = random_word();
        self.given.insert(token.clone(), (grant, now + TOKEN_LIFETIME));
        token
    }

    /// What `token` stands for, unless it is unknown or has expired.
    pub(super) fn find(&self, token: &str, now: Instant) -> Option<TokenGrant> {
        self.given.get(token).filter(|(_, until)| *until > now).map(|(grant, _)| grant.clone())
    }
}

impl TokenRequest {
    /// Reads a query string or a form, both `application/x-www-form-urlencoded`.
    pub(super) fn parse(text: &str) -> Self {
        let mut request = Self::default();
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = form_decoded(value);
            match form_decoded(key).as_str() {
                // Several scopes come as repeated fields (GET) or separated by spaces (POST).
                // CRI-O's client repeats one when it asks again.
                "scope" => {
                    for scope in value.split(' ').filter_map(Scope::parse) {
                        if !request.scopes.contains(&scope) {
                            request.scopes.push(scope);
                        }
                    }
                }
                "grant_type" => request.grant_type = Some(value),
                "username" => request.username = Some(value),
                "password" => request.password = Some(value),
                _ => {}
            }
        }
        request
    }
}

impl TokenAnswer {
    /// The answer that hands out `token`, which opens `scopes`.
    pub(super) fn new(token: String, scopes: &[Scope]) -> Self {
        let scope: Vec<String> =
            scopes.iter().map(|scope| format!("repository:{}:{}", scope.repository, scope.actions.join(","))).collect();
        Self {
            access_token: token.clone(),
            token,
            expires_in: TOKEN_LIFETIME.as_secs(),
            issued_at: jiff::Timestamp::now().to_string(),
            scope: scope.join(" "),
        }
    }
}

fn form_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => {
                let mut digits = rest.clone();
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                match (digit(digits.next()), digit(digits.next())) {
                    (Some(high), Some(low)) => {
                        rest = digits;
                        u8::try_from(high * 16 + low).unwrap_or(b'%')
                    }
                    _ => b'%',
                }
            }
            plain => plain,
        };
        bytes.push(decoded);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn scope(repository: &str, actions: &[&str]) -> Scope {
        Scope {
            repository: repository.to_owned(),
            actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        }
    }

    #[rstest]
    #[case("repository:a/b:pull", Some(scope("a/b", &["pull"])))]
    #[case("repository:a:pull,push", Some(scope("a", &["pull", "push"])))]
    #[case("repository:a:", Some(scope("a", &[])))]
    #[case("registry:catalog:*", None)]
    #[case("repository:a", None)]
    #[case("repository:A:pull", None)]
    #[case("", None)]
    fn scopes_are_read(#[case] text: &str, #[case] expected: Option<Scope>) {
        assert_eq!(Scope::parse(text), expected);
    }

    #[test]
    fn a_request_has_scopes_from_repeated_fields_and_from_one_field() {
        let expected = vec![scope("a", &["pull"]), scope("b", &["pull", "push"])];
        let repeated = "service=x&scope=repository%3Aa%3Apull&scope=repository:b:pull%2Cpush&scope=repository:a:pull";
        let one = "scope=repository%3Aa%3Apull+repository%3Ab%3Apull%2Cpush";
        assert_eq!(TokenRequest::parse(repeated).scopes, expected);
        assert_eq!(TokenRequest::parse(one).scopes, expected);
    }

    #[test]
    fn a_form_carries_the_password_grant() {
        let request = TokenRequest::parse("grant_type=password&username=al%2Bice&password=a%26b+c%zz%c3%a9");
        assert_eq!(request.grant_type.as_deref(), Some("password"));
        assert_eq!(request.username.as_deref(), Some("al+ice"));
        assert_eq!(request.password.as_deref(), Some("a&b c%zzé"));
    }

    #[test]
    fn a_token_is_known_until_it_expires() {
        let mut tokens = Tokens::default();
        let now = Instant::now();
        let grant = TokenGrant { user: Some("alice".to_owned()), scopes: vec![Scope::pull("a")] };
        let token = tokens.issue(grant.clone(), now);
        assert_eq!(tokens.find(&token, now), Some(grant.clone()));
        assert_eq!(tokens.find("other", now), None);
        let later = now + TOKEN_LIFETIME;
        assert_eq!(tokens.find(&token, later), None);
        tokens.issue(grant, later);
        assert_eq!(tokens.given.len(), 1, "expired tokens are forgotten");
    }
}
