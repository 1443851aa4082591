//! Rules for single texts of the file. Each says what it expected and what it found.

use port_model::Digest;

/// `http` or `https`, a host, and nothing that a URL of a configuration must not carry.
///
/// Gives the URL in one spelling (scheme and host in lower case, no default port, no `/` at the end), so
/// that two texts for one address compare equal.
pub(super) fn url(text: &str, query: Query) -> Result<String, UrlError> {
    let bad = |reason: String| Err(UrlError::Bad(reason));
    let expected = "expected `http://` or `https://` and a host";
    let Some((scheme, rest)) = text.split_once("://") else {
        // A slip in the scheme does not make a password less secret.
        return if text.contains('@') {
            Err(UrlError::Credentials)
        } else {
            bad(format!("{expected}, found `{text}`"))
        };
    };
    let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(split);
    if authority.contains('@') {
        return Err(UrlError::Credentials);
    }
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return bad(format!("{expected}, found the scheme `{scheme}`")),
    };
    if let Some(c) = text.chars().find(|c| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '#')) {
        return bad(format!("must not hold {c:?}"));
    }
    if query == Query::Refused && path.contains('?') {
        return bad("must not have a query (`?…`)".to_owned());
    }
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    host_and_port(authority).map_err(UrlError::Bad)?;
    Ok(format!("{scheme}://{authority}{}", path.trim_end_matches('/')))
}

/// Whether a URL may have a query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    /// It is fetched as it is.
    Taken,
    /// Paths are joined to it.
    Refused,
}

/// Why a text is not a URL that a configuration may hold.
pub(super) enum UrlError {
    /// It carries a user name or password.
    Credentials,
    /// Anything else.
    Bad(String),
}

fn host_and_port(authority: &str) -> Result<(), String> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("ipv6", rest),
        Some((address, _)) => return Err(format!("expected an IPv6 address, found `{address}`")),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        return Err(format!("expected a host of letters, digits, `.` and `-`, found `{host}`"));
    }
    match port.strip_prefix(':').map(str::parse::<u16>) {
        None if port.is_empty() => Ok(()),
        Some(Ok(1..)) => Ok(()),
        _ => Err(format!("expected a port from 1 to 65535, found `{}`", port.trim_start_matches(':'))),
    }
}

/// 64 hex digits of either case.
pub(super) fn sha256(text: &str) -> Result<Digest, String> {
    if let Some(c) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("expected 64 hex digits, found {c:?}"));
    }
    Digest::from_sha256_hex(text).map_err(|_| format!("expected 64 hex digits, found {}", text.len()))
}

/// The name of an environment variable.
pub(super) fn is_variable(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// The name of an HTTP header field (RFC 9110, 5.1).
pub(super) fn header(text: &str) -> Result<(), String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    unexpected("the name of an HTTP header", text, token)
}

/// A text that can be the value of an HTTP header field as it is.
pub(super) fn header_value(text: &str) -> Result<(), String> {
    unexpected("visible ASCII characters", text, |c| c.is_ascii_graphic() || c == ' ')
}

/// A key of an object store that can be joined to a URL.
pub(super) fn object_key(text: &str) -> Result<(), String> {
    unexpected("a key of letters, digits, `.`, `_`, `+`, `-` and `/`", text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-' | '/')
    })?;
    match text.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
        Some(segment) => {
            Err(format!("expected a key without empty, `.` or `..` segments, found `{segment}`"))
        }
        None => Ok(()),
    }
}

/// The name of a Debian package (Debian Policy, 5.6.7).
pub(super) fn debian_package(text: &str) -> Result<(), String> {
    unexpected("a Debian package name of lower-case letters, digits, `+`, `-` and `.`", text, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.')
    })?;
    if text.len() < 2 || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(format!(
            "expected a Debian package name of two or more characters, a letter or digit first, found `{text}`"
        ));
    }
    Ok(())
}

/// An attribute path of a flake's outputs. It ends on a command line, so it cannot start with `-`.
pub(super) fn flake_attribute(text: &str) -> Result<(), String> {
    if text.starts_with('-') {
        return Err(format!("expected a flake attribute, found `{text}`"));
    }
    unexpected("a flake attribute of letters, digits, `.`, `_`, `'` and `-`", text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '\'' | '-')
    })
}

/// A host name: it travels in the kernel's arguments and ends in `sethostname(2)`, which takes 64 bytes.
pub(super) fn hostname(text: &str) -> Result<(), String> {
    if text.len() > 64 {
        return Err(format!("expected a host name of at most 64 characters, found {}", text.len()));
    }
    if text.starts_with(['-', '.']) || text.ends_with(['-', '.']) {
        return Err(format!(
            "expected a host name that starts and ends with a letter or digit, found `{text}`"
        ));
    }
    unexpected("a host name of letters, digits, `-` and `.`", text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '.')
    })
}

fn unexpected(expected: &str, text: &str, allowed: impl Fn(char) -> bool) -> Result<(), String> {
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!("expected {expected}, found {c:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_address_are_equal() {
        for (text, expected) in [
            ("http://127.0.0.1:7040/", "http://127.0.0.1:7040"),
            ("HTTP://LocalHost:80", "http://localhost"),
            ("https://a.example:443/B/", "https://a.example/B"),
            ("http://[::1]:7040", "http://[::1]:7040"),
        ] {
            assert_eq!(url(text, Query::Refused).ok().as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "demo",
            "ftp://a",
            "file:///etc",
            "http://",
            "http:///x",
            "http://a:0",
            "http://a:x",
            "http://a:1:2",
            "http://[x]",
            "http://a b",
            "http://a/\\b",
            "http://a/#b",
            "http://a/?b",
            "http://u:p@a",
            "http://@a",
        ] {
            assert!(url(text, Query::Refused).is_err(), "{text} was taken");
        }
        assert!(url("http://a/x?y=1", Query::Taken).is_ok());
    }

    #[test]
    fn keys_and_packages_cannot_leave_their_place() {
        for key in ["", "/a", "a//b", "a/../b", "./a", "a?b", "a b"] {
            assert!(object_key(key).is_err(), "{key} was taken");
        }
        assert!(object_key("firecracker-ci/v1.14/x86_64/vmlinux-6.1.155").is_ok());
        for package in ["", "a", "-a", "A1", "a/b", "--simulate"] {
            assert!(debian_package(package).is_err(), "{package} was taken");
        }
        assert!(flake_attribute("--impure").is_err());
    }
}
