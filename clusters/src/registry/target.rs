//! What a request asks for, read from its path.
//!
//! Only paths of a known shape pass, and every part of them is checked against the
//! distribution specification's grammar. So the gate and the registry behind it cannot
//! read one path in two ways, and no encoded path slips past the authorisation.

use http::Method;

/// Longest repository name, in bytes (distribution specification).
const LONGEST_NAME: usize = 255;

/// Words that are path separators of the API; as parts of a name they would make a path ambiguous.
const RESERVED: [&str; 5] = ["blobs", "manifests", "referrers", "tags", "uploads"];

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `/v2/`, the version check.
    Ping,
    /// `/token`, the token endpoint.
    Token,
    /// Something inside a repository.
    Repository {
        /// The repository's name, without the registry's address.
        repository: String,
        /// What inside it.
        resource: Resource,
    },
}

/// What a request names inside a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// A manifest, by tag or digest.
    Manifest(String),
    /// A blob, by digest.
    Blob(String),
    /// A blob upload: new, or the session with this identifier.
    Upload(Option<String>),
    /// The list of tags.
    Tags,
    /// The manifests that refer to a digest.
    Referrers(String),
}

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has none of the API's shapes.
    Unknown,
    /// Its repository name breaks the grammar.
    Name,
    /// Its tag, digest or upload identifier breaks the grammar.
    Reference,
}

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Prove credentials only.
    Ping,
    /// Read.
    Pull,
    /// Write or delete.
    Push,
}

impl Action {
    /// The word in a token's scope.
    pub(super) fn scope_word(self) -> &'static str {
        match self {
            Self::Ping => "",
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

impl Target {
    /// Reads a request's path.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        match path {
            "/v2" | "/v2/" => return Ok(Self::Ping),
            "/token" => return Ok(Self::Token),
            _ => {}
        }
        let rest = path.strip_prefix("/v2/").ok_or(Refusal::Unknown)?;
        let segments: Vec<&str> = rest.split('/').collect();
        let (name, resource) = match segments.as_slice() {
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => (name, Resource::Upload(None)),
            [name @ .., "blobs", "uploads", session] => (name, Resource::Upload(Some((*session).to_owned()))),
            [name @ .., "blobs", digest] => (name, Resource::Blob((*digest).to_owned())),
            [name @ .., "manifests", reference] => (name, Resource::Manifest((*reference).to_owned())),
            [name @ .., "tags", "list"] => (name, Resource::Tags),
            [name @ .., "referrers", digest] => (name, Resource::Referrers((*digest).to_owned())),
            _ => return Err(Refusal::Unknown),
        };
        let repository = name.join("/");
        if !is_repository_name(&repository) {
            return Err(Refusal::Name);
        }
        if resource.is_well_formed() { Ok(Self::Repository { repository, resource }) } else { Err(Refusal::Reference) }
    }

    /// What `method` does to this target.
    pub(super) fn action(&self, method: &Method) -> Action {
        match self {
            Self::Ping | Self::Token => Action::Ping,
            Self::Repository { resource: Resource::Upload(_), .. } => Action::Push,
            Self::Repository { .. } if method == Method::GET || method == Method::HEAD => Action::Pull,
            Self::Repository { .. } => Action::Push,
        }
    }
}

impl Resource {
    fn is_well_formed(&self) -> bool {
        match self {
            Self::Manifest(reference) => is_tag(reference) || is_digest(reference),
            Self::Blob(digest) | Self::Referrers(digest) => is_digest(digest),
            Self::Upload(Some(session)) => {
                session.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte))
            }
            Self::Upload(None) | Self::Tags => true,
        }
    }
}

/// Whether `name` is a repository name of the distribution specification and none of its
/// parts is a word of the API.
pub(super) fn is_repository_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.split('/').all(is_name_part)
}

/// Whether `tag` is a tag of the distribution specification.
pub(super) fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        matches!((algorithm, hex.len()), ("sha256", 64) | ("sha512", 128))
            && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Lower-case words joined by `.`, `_`, `__` or hyphens.
fn is_name_part(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = |byte: Option<u8>| byte.is_some_and(word);
    ends_well(part.bytes().next())
        && ends_well(part.bytes().last())
        && part
            .split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
        && !RESERVED.contains(&part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn inside(repository: &str, resource: Resource) -> Target {
        Target::Repository { repository: repository.to_owned(), resource }
    }

    #[rstest]
    #[case("/v2/", Ok(Target::Ping))]
    #[case("/v2", Ok(Target::Ping))]
    #[case("/token", Ok(Target::Token))]
    #[case("/v2/a/b/manifests/v1", Ok(inside("a/b", Resource::Manifest("v1".to_owned()))))]
    #[case("/v2/a/tags/list", Ok(inside("a", Resource::Tags)))]
    #[case("/v2/a/blobs/uploads/", Ok(inside("a", Resource::Upload(None))))]
    #[case("/v2/a/blobs/uploads", Ok(inside("a", Resource::Upload(None))))]
    #[case("/v2/a/blobs/uploads/b1-c2", Ok(inside("a", Resource::Upload(Some("b1-c2".to_owned())))))]
    #[case("/v2/a__b/c-d.e/manifests/_x", Ok(inside("a__b/c-d.e", Resource::Manifest("_x".to_owned()))))]
    #[case("/", Err(Refusal::Unknown))]
    #[case("/v2/_catalog", Err(Refusal::Unknown))]
    #[case("/v2/manifests/v1", Err(Refusal::Name))]
    #[case("/v2/a%2Fb/manifests/v1", Err(Refusal::Name))]
    #[case("/v2/a/../b/manifests/v1", Err(Refusal::Name))]
    #[case("/v2/a//b/manifests/v1", Err(Refusal::Name))]
    #[case("/v2/A/manifests/v1", Err(Refusal::Name))]
    #[case("/v2/a-/manifests/v1", Err(Refusal::Name))]
    #[case("/v2/a/manifests/b/blobs/uploads/", Err(Refusal::Name))]
    #[case("/v2/a/manifests/v1%00", Err(Refusal::Reference))]
    #[case("/v2/a/manifests/sha256:abc", Err(Refusal::Reference))]
    #[case("/v2/a/blobs/v1", Err(Refusal::Reference))]
    #[case("/v2/a/blobs/uploads/..", Err(Refusal::Reference))]
    fn paths_are_read(#[case] path: &str, #[case] expected: Result<Target, Refusal>) {
        assert_eq!(Target::parse(path), expected);
    }

    #[rstest]
    #[case(Method::GET, "/v2/a/manifests/v1", Action::Pull)]
    #[case(Method::HEAD, "/v2/a/manifests/v1", Action::Pull)]
    #[case(Method::PUT, "/v2/a/manifests/v1", Action::Push)]
    #[case(Method::DELETE, "/v2/a/manifests/v1", Action::Push)]
    #[case(Method::GET, "/v2/a/blobs/uploads/x", Action::Push)]
    #[case(Method::POST, "/v2/a/blobs/uploads/", Action::Push)]
    #[case(Method::GET, "/v2/", Action::Ping)]
    fn methods_are_actions(#[case] method: Method, #[case] path: &str, #[case] expected: Action) {
        assert_eq!(Target::parse(path).unwrap().action(&method), expected);
    }

    #[test]
    fn a_blob_is_named_by_its_digest() {
        assert_eq!(Target::parse(&format!("/v2/a/blobs/{DIGEST}")), Ok(inside("a", Resource::Blob(DIGEST.to_owned()))));
    }

    proptest! {
        #[test]
        fn an_accepted_path_has_no_second_reading(path in "/v2/[a-z0-9%./_:-]{0,40}") {
            if let Ok(Target::Repository { repository, .. }) = Target::parse(&path) {
                let prefix = format!("/v2/{repository}/");
                prop_assert!(path.starts_with(&prefix));
                prop_assert!(!path.contains('%') && !path.contains(".."));
            }
        }
    }
}
