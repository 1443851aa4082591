//! The head of a request: method, path, query, headers, as text that was bounded before it came here.

use base64ct::Encoding as _;
use hyper::Method;
use hyper::http::request::Parts;

use crate::gate::Presented;

/// See the module.
pub(crate) struct Head {
    /// The method.
    pub(crate) method: Method,
    /// The path as it came, percent-encoding and all.
    pub(crate) path: String,
    query: Vec<(String, String)>,
    parts: Parts,
}

impl Head {
    pub(crate) fn new(parts: Parts) -> Self {
        let query = parts.uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
        let pairs = query.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        Self { method, path, query: pairs.collect(), parts }
    }

    /// A header, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first value of a query's field.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a query's field.
    pub(crate) fn queries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// How large the head was, about.
    pub(crate) fn size(&self) -> usize {
        let headers = self.parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        let query = self.parts.uri.query().map_or(0, str::len);
        headers.sum::<usize>() + self.path.len() + query + self.method.as_str().len()
    }

    /// The length of the body, where the request says it.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length").and_then(|text| text.parse().ok())
    }

    /// What the request shows of its sender. `header` is one besides `authorization` that a token may come in.
    pub(crate) fn presented(&self, header: Option<&str>) -> Presented {
        let own = header.filter(|header| *header != "authorization").and_then(|header| self.header(header));
        let token = own.or_else(|| self.header("authorization")).map(token_of);
        Presented { token, audience: self.header("x-port-audience").map(str::to_owned) }
    }
}

/// The token in `Bearer TOKEN`, or the password in `Basic`, whoever the user is. Anything else is a token that nobody has.
fn token_of(value: &str) -> String {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return rest.trim().to_owned();
    }
    let pair = (scheme.eq_ignore_ascii_case("basic")).then(|| base64(rest.trim())).flatten();
    let password = pair.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
    password.unwrap_or_default().to_owned()
}

/// Standard base64 that holds UTF-8 text.
fn base64(text: &str) -> Option<String> {
    base64ct::Base64::decode_vec(text).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Percent-decoding. What is not text afterwards is left as it came, and fits no grammar.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = (byte == b'%').then(|| Some((hex(ahead.next()?)?, hex(ahead.next()?)?))).flatten();
        match digits {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = ahead;
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_as_bearer_or_as_anybodys_password() {
        for (value, expected) in [
            ("Bearer secret", "secret"),
            ("bearer  secret ", "secret"),
            ("Basic YW55Ym9keTpzZWNyZXQ=", "secret"),
            ("Basic OnNlOmNyZXQ=", "se:cret"),
            ("Basic ****", ""),
            ("Digest x", ""),
            ("", ""),
        ] {
            assert_eq!(token_of(value), expected, "{value}");
        }
    }

    #[test]
    fn decoding_leaves_what_is_no_encoding() {
        for (text, expected) in
            [("sha256%3Aab", "sha256:ab"), ("100%", "100%"), ("%zz", "%zz"), ("%2", "%2"), ("%ff", "%ff")]
        {
            assert_eq!(decoded(text), expected);
        }
    }
}
