//! The grammar of an image reference: `[registry[:port]/]path[:tag][@digest]`.
//!
//! It follows the distribution project's grammar, so that what passes here is also understood by every runtime.

/// The longest repository name (registry and path), in bytes.
const NAME_LIMIT: usize = 255;
/// The longest tag, in bytes.
const TAG_LIMIT: usize = 128;
/// The shortest digest, in hexadecimal digits.
const DIGEST_MINIMUM: usize = 32;

/// Why `text` is not an image reference, or nothing if it is one.
pub fn reference_problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("must not be empty");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Some("has a malformed digest after '@'");
    }
    // A colon before the last slash belongs to the registry's port.
    let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest.get(path_start..).and_then(|last| last.find(':')) {
        Some(colon) => rest.split_at(path_start + colon),
        None => (rest, ""),
    };
    if !tag.is_empty() && !tag.strip_prefix(':').is_some_and(is_tag) {
        return Some("has a malformed tag after ':'");
    }
    if name.len() > NAME_LIMIT {
        return Some("has a name of more than 255 characters");
    }
    let path = match name.split_once('/') {
        Some((first, path)) if is_registry_like(first) => {
            if !is_registry(first) {
                return Some("has a malformed registry before the first '/'");
            }
            path
        }
        _ => name,
    };
    if !path.split('/').all(is_path_component) {
        return Some(
            "must be [registry[:port]/]path[:tag][@digest] with a path of lower-case letters, digits and single separators",
        );
    }
    None
}

fn is_registry_like(first: &str) -> bool {
    first.contains(['.', ':', '[']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_is_good = port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    let host_is_good = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|part| {
            part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
                && part.bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
    };
    port_is_good && host_is_good
}

/// Lower-case letters and digits, joined by one '.', one or two '_', or any number of '-'.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_well = bytes.first().copied().is_some_and(alphanumeric) && bytes.last().copied().is_some_and(alphanumeric);
    ends_well
        && text
            .split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_LIMIT
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hexadecimal)) = text.split_once(':') else {
        return false;
    };
    let algorithm_is_good = algorithm.split(['-', '_', '+', '.']).all(|part| {
        part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    algorithm_is_good && hexadecimal.len() >= DIGEST_MINIMUM && hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[rstest]
    #[case::short("busybox")]
    #[case::tagged("busybox:1.36")]
    #[case::path("library/busybox:latest")]
    #[case::registry("ghcr.io/nvidia/openshell/supervisor:0.1.0")]
    #[case::port("10.0.0.1:5000/a/b_c__d-e---f.g:v1")]
    #[case::localhost("localhost/a")]
    #[case::ipv6("[fd00::1]:5000/a:b")]
    #[case::upper_case_registry("Registry.Example/a")]
    #[case::digest(&format!("r.example/a@{DIGEST}"))]
    #[case::tag_and_digest(&format!("r.example:5000/a:v1@{DIGEST}"))]
    fn accepted(#[case] text: &str) {
        assert_eq!(reference_problem(text), None);
    }

    #[rstest]
    #[case::empty("")]
    #[case::blank(" ")]
    #[case::inner_blank("a b")]
    #[case::upper_case("Busybox")]
    #[case::empty_tag("busybox:")]
    #[case::two_tags("busybox:a:b")]
    #[case::two_colons("busybox::a")]
    #[case::bad_tag("busybox:-a")]
    #[case::trailing_slash("r.example/a/")]
    #[case::leading_slash("/a")]
    #[case::double_slash("r.example//a")]
    #[case::scheme("https://r.example/a")]
    #[case::bad_port("r.example:port/a")]
    #[case::short_digest("a@sha256:00")]
    #[case::no_digest("a@")]
    #[case::two_dots("a..b")]
    #[case::shell("$(id)")]
    #[case::newline("a\nb")]
    fn refused(#[case] text: &str) {
        assert!(reference_problem(text).is_some());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in ".*") {
            let _ = reference_problem(&text);
        }
    }
}
