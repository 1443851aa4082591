//! `WWW-Authenticate`: what a registry wants to see (RFC 9110, section 11.6.1), read with limits.
//!
//! A header that is too long or not well-formed gives no challenge, never a panic: the refusal is then reported
//! as it came.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The most of one header that is read, in bytes.
const LONGEST: usize = 8 * 1024;
/// The most challenges and parameters that are read.
const MOST: usize = 16;

/// One challenge that Port can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password.
    Basic,
    /// A token of a token service.
    Bearer {
        /// Where tokens come from.
        realm: String,
        /// What they are for.
        service: Option<String>,
        /// What the request needs.
        scope: Option<String>,
    },
}

/// The challenges of an answer, in order.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .take(MOST)
        .filter_map(|value| value.to_str().ok())
        .filter(|text| text.len() <= LONGEST)
        .flat_map(parse)
        .take(MOST)
        .collect()
}

/// One header value: schemes, each with `key=value` parameters, all separated by commas.
fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() && found.len() <= MOST {
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        let trimmed = after.trim_start();
        if let Some(value) = trimmed.strip_prefix('=').filter(|_| !found.is_empty()) {
            let Some((value, after)) = parameter_value(value.trim_start()) else { break };
            if let Some((_, parameters)) = found.last_mut().filter(|(_, known)| known.len() < MOST) {
                parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let of = |key: &str| parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            Some(Challenge::Bearer { realm: of("realm")?, service: of("service"), scope: of("scope") })
        }
        _ => None,
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)));
    text.split_at(end.unwrap_or(text.len()))
}

/// A token or a quoted string, and what is behind it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_are_read() {
        let check = |text: &str, expected: &[Challenge]| assert_eq!(parse(text), expected, "{text}");
        check("Basic realm=\"x\"", &[Challenge::Basic]);
        check("basic", &[Challenge::Basic]);
        check(
            r#"Bearer realm="https://a/t",service="s",scope="repository:a:pull,push""#,
            &[bearer("https://a/t", Some("s"), Some("repository:a:pull,push"))],
        );
        check(
            r#"Bearer  Realm = "https://a/\"t" , service=plain, Basic realm="y""#,
            &[bearer("https://a/\"t", Some("plain"), None), Challenge::Basic],
        );
        check(r#"Negotiate, Bearer realm="r""#, &[bearer("r", None, None)]);
    }

    #[test]
    fn malformed_challenges_are_none() {
        for text in ["", "=", "Bearer", "Bearer realm=\"open", "Bearer realm=\"\\", ",,,", "\"", "Bearer é=1"]
        {
            assert_eq!(parse(text), [], "{text}");
        }
        assert!(parse(&"Basic,".repeat(100_000)).len() <= MOST + 1);
        let mut headers = HeaderMap::new();
        let long = format!("Bearer realm=\"{}\"", "x".repeat(LONGEST));
        headers.insert(WWW_AUTHENTICATE, long.parse().unwrap());
        assert_eq!(challenges(&headers), []);
    }
}
