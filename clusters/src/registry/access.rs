//! Who may do what: accounts, grants, and the decision as a pure function.
//!
//! What the gate answers follows the common registries:
//!
//! | Situation | Basic listener | Bearer listener |
//! |---|---|---|
//! | `/v2/`, no credentials | 401 and the challenge | 401 and the challenge |
//! | public repository, no credentials | allowed | 401; an anonymous token opens it |
//! | private repository, no credentials | 401 `UNAUTHORIZED` | 401 `insufficient_scope` |
//! | wrong password, any repository | 401 `UNAUTHORIZED` | the token endpoint answers 401 |
//! | known user without a grant | 403 `DENIED` | 401 `insufficient_scope` |
//!
//! `/v2/` challenges although public repositories need no credentials, because CRI-O's
//! client only uses the challenge it saw there. Without credentials that client sends an
//! empty user name and password, which therefore count as none.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{
    target::Action,
    token::{Scope, TokenGrant},
};

/// Who may pull from a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without credentials.
    Public,
    /// These users only.
    Users(Vec<String>),
}

/// How a listener asks for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Basic,
    Bearer,
}

/// The credentials of a request after they were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presented {
    /// None, or an empty user name and password.
    Nothing,
    /// A user with the right password.
    User(String),
    /// A user name with a wrong password, or an unknown user.
    Wrong(String),
    /// A token of ours.
    Token(TokenGrant),
    /// A token that is not ours or has expired.
    StaleToken,
    /// An `Authorization` header that cannot be read.
    Malformed,
}

/// Everything a decision depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) scheme: Scheme,
    pub(super) action: Action,
    /// The repository; `None` for the version check.
    pub(super) repository: Option<&'a str>,
    /// The repository's grant; `None` when it has none.
    pub(super) access: Option<&'a Access>,
    pub(super) presented: &'a Presented,
}

/// What the gate does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// It passes.
    Allow,
    /// 401 with a challenge.
    Challenge {
        /// The `error` parameter of a bearer challenge.
        error: Option<&'static str>,
        /// Why, for the request log only.
        reason: String,
    },
    /// 403.
    Deny {
        /// Why, for the request log only.
        reason: String,
    },
}

/// Users with their password digests, and grants by repository.
#[derive(Default)]
pub(super) struct Accounts {
    passwords: BTreeMap<String, [u8; 32]>,
    grants: BTreeMap<String, Access>,
}

impl Presented {
    /// The user whose credentials were right; `None` is anonymous.
    pub(super) fn authenticated(&self) -> Option<String> {
        match self {
            Self::User(name) => Some(name.clone()),
            Self::Token(grant) => grant.user.clone(),
            Self::Nothing | Self::Wrong(_) | Self::StaleToken | Self::Malformed => None,
        }
    }

    /// The user name that was tried, right or wrong.
    pub(super) fn user_name(&self) -> Option<String> {
        match self {
            Self::Wrong(name) => Some(name.clone()),
            _ => self.authenticated(),
        }
    }
}

impl Accounts {
    /// Adds a user, or changes the password of one.
    pub(super) fn add_user(&mut self, name: &str, password: &str) {
        self.passwords.insert(name.to_owned(), password_digest(password));
    }

    /// Sets who may pull from `repository`.
    pub(super) fn grant(&mut self, repository: &str, access: Access) {
        self.grants.insert(repository.to_owned(), access);
    }

    /// The grant of `repository`.
    pub(super) fn access(&self, repository: &str) -> Option<&Access> {
        self.grants.get(repository)
    }

    /// Checks a user name and password.
    pub(super) fn check(&self, name: &str, password: &str) -> Presented {
        if name.is_empty() && password.is_empty() {
            return Presented::Nothing;
        }
        // An unknown user costs the same comparison as a known one.
        let known = self.passwords.get(name);
        let matches = same(&password_digest(password), known.unwrap_or(&[0; 32]));
        if known.is_some() && matches { Presented::User(name.to_owned()) } else { Presented::Wrong(name.to_owned()) }
    }

    /// Reads and checks the value of a `Basic` authorization.
    pub(super) fn check_basic(&self, encoded: &str) -> Presented {
        let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((name, password)) => self.check(name, password),
            None => Presented::Malformed,
        }
    }

    /// The part of `wanted` that `user` (`None` is anonymous) is entitled to.
    pub(super) fn entitled(&self, user: Option<&str>, wanted: &[Scope]) -> Vec<Scope> {
        wanted
            .iter()
            .filter(|scope| scope.wants_pull() && may_pull(self.access(&scope.repository), user))
            .map(|scope| Scope::pull(&scope.repository))
            .collect()
    }
}

/// Decides about a request; depends on nothing but the question.
pub(super) fn decide(question: &Question<'_>) -> Decision {
    match question.scheme {
        Scheme::Basic => decide_basic(question),
        Scheme::Bearer => decide_bearer(question),
    }
}

fn decide_basic(question: &Question<'_>) -> Decision {
    let challenge = |reason: String| Decision::Challenge { error: None, reason };
    let user = match question.presented {
        Presented::Nothing => None,
        Presented::User(name) => Some(name.as_str()),
        Presented::Wrong(name) => return challenge(format!("wrong user name or password for \"{name}\"")),
        Presented::Token(_) | Presented::StaleToken => {
            return challenge("a token was sent to a listener that takes passwords".to_owned());
        }
        Presented::Malformed => return challenge("the authorization header cannot be read".to_owned()),
    };
    match (question.repository, user) {
        (None, None) => challenge("no credentials".to_owned()),
        (None, Some(_)) => Decision::Allow,
        (Some(_), user) if question.action == Action::Pull && may_pull(question.access, user) => Decision::Allow,
        (Some(_), None) => challenge("no credentials for a private repository".to_owned()),
        (Some(_), Some(user)) => {
            Decision::Deny { reason: format!("\"{user}\" has no grant to {}", question.action.scope_word()) }
        }
    }
}

fn decide_bearer(question: &Question<'_>) -> Decision {
    let challenge = |error, reason: String| Decision::Challenge { error, reason };
    let grant = match question.presented {
        Presented::Token(grant) => grant,
        Presented::Nothing => return challenge(None, "no token".to_owned()),
        Presented::StaleToken => {
            return challenge(Some("invalid_token"), "the token is unknown or has expired".to_owned());
        }
        Presented::User(_) | Presented::Wrong(_) => {
            return challenge(None, "a password was sent to a listener that takes tokens".to_owned());
        }
        Presented::Malformed => return challenge(None, "the authorization header cannot be read".to_owned()),
    };
    let Some(repository) = question.repository else {
        return Decision::Allow;
    };
    if question.action == Action::Pull && grant.allows_pull(repository) {
        return Decision::Allow;
    }
    let holder = grant.user.as_ref().map_or_else(|| "anonymous".to_owned(), |user| format!("\"{user}\""));
    challenge(
        Some("insufficient_scope"),
        format!("the token of {holder} has no scope to {}", question.action.scope_word()),
    )
}

fn may_pull(access: Option<&Access>, user: Option<&str>) -> bool {
    match (access, user) {
        (Some(Access::Public), _) => true,
        (Some(Access::Users(users)), Some(user)) => users.iter().any(|name| name == user),
        (Some(Access::Users(_)), None) | (None, _) => false,
    }
}

/// Passwords are random, so one round of a hash keeps them out of memory dumps well enough.
fn password_digest(password: &str) -> [u8; 32] {
    Sha256::digest(password.as_bytes()).into()
}

/// Compares without ending at the first difference.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0, |all, (one, other)| all | (one ^ other));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests;
