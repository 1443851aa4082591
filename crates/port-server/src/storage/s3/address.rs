//! Where a bucket is, and who asks for it: `s3://bucket/prefix`, the endpoint, the region, the credentials; checked once.
//!
//! Buckets are named in the path (`https://endpoint/bucket/key`), which every server understands and needs no name of its own in DNS.
//! Invariant: [`Credentials`] have no way into a message: neither `Debug` nor an error shows anything of them, and no text with an `@` in it is
//! repeated as an endpoint.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use super::super::Key;

/// The scheme that names a bucket in place of a folder.
pub const SCHEME: &str = "s3://";

/// A bucket, and what of it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    prefix: Option<Key>,
}

/// What is wrong with an address of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It names no bucket.
    #[error("`{text}` names no bucket: expected s3://BUCKET or s3://BUCKET/PREFIX, {reason}")]
    Bucket {
        /// As written.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// It is no endpoint.
    #[error("`{text}` is no S3 endpoint: expected https://HOST or https://HOST:PORT, {reason}")]
    Endpoint {
        /// As written, without what may be a password in it.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// It speaks in the clear, and nobody asked for that.
    #[error(
        "the S3 endpoint `{text}` speaks plain HTTP: whoever is on the way can read and change everything"
    )]
    Plain {
        /// As written.
        text: String,
    },
    /// It is no region.
    #[error("`{text}` is no region: expected letters, digits and `-`, as in eu-central-1")]
    Region {
        /// As written.
        text: String,
    },
}

impl FromStr for Bucket {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |reason: &str| AddressError::Bucket { text: text.to_owned(), reason: reason.to_owned() };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("beginning with s3://"))?;
        let (name, prefix) =
            rest.trim_end_matches('/').split_once('/').unwrap_or((rest.trim_end_matches('/'), ""));
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        if !(3..=63).contains(&name.len()) || !name.bytes().all(allowed) || name.starts_with(['.', '-']) {
            return Err(wrong("with a bucket's name of 3 to 63 lower-case letters, digits, `-` and `.`"));
        }
        let prefix = (!prefix.is_empty()).then(|| Key::new(prefix)).transpose();
        let prefix = prefix.map_err(|error| wrong(&format!("but {error}")))?;
        Ok(Self { name: name.to_owned(), prefix })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.name)?;
        self.prefix.as_ref().map_or(Ok(()), |prefix| write!(f, "/{prefix}"))
    }
}

impl Bucket {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name in the bucket of what is called `key` here.
    pub(super) fn object(&self, key: &str) -> String {
        self.prefix.as_ref().map_or_else(|| key.to_owned(), |prefix| format!("{prefix}/{key}"))
    }
}

/// Whether a server may be asked in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS only.
    Tls,
    /// Plain HTTP as well, since somebody said so.
    PlainAllowed,
}

/// Whom to ask: an origin, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    origin: String,
    host: String,
    loopback: bool,
}

impl Endpoint {
    /// The endpoint that is written so.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(text: &str, transport: Transport) -> Result<Self, AddressError> {
        let wrong = |reason| AddressError::Endpoint { text: text.to_owned(), reason };
        if text.contains('@') {
            // Not repeated, and not read either: what is before it may be a password, whatever a URL makes of it.
            let text = "https://…@…".to_owned();
            return Err(AddressError::Endpoint { text, reason: "without a user or password in it" });
        }
        let url = Url::parse(text).map_err(|_| wrong("as a URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if transport == Transport::PlainAllowed => {}
            "http" => return Err(AddressError::Plain { text: text.to_owned() }),
            _ => return Err(wrong("beginning with https://")),
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("without a path: the bucket is named with --storage"));
        }
        let name = url.host_str().ok_or_else(|| wrong("with a host"))?;
        let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        let loopback = name == "localhost" || address.is_ok_and(|address| address.is_loopback());
        Ok(Self { origin: format!("{}://{host}", url.scheme()), host, loopback })
    }

    /// Amazon's own of a region.
    ///
    /// # Errors
    /// [`AddressError::Region`].
    pub fn of_amazon(region: &Region) -> Result<Self, AddressError> {
        Self::new(&format!("https://s3.{region}.amazonaws.com"), Transport::Tls)
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// As the `host` header names it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn is_plain(&self) -> bool {
        self.origin.starts_with("http://")
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.loopback
    }
}

/// A region's name, which is part of signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl FromStr for Region {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fits = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(AddressError::Region { text: text.to_owned() }) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Region {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What requests are signed with.
#[derive(Clone)]
pub struct Credentials {
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
}

impl Credentials {
    /// An access key with its secret, and the token of the session that they are good for.
    pub fn new(
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
        session_token: Option<String>,
    ) -> Self {
        Self { access_key: access_key.into(), secret_key: secret_key.into(), session_token }
    }

    pub(super) fn access_key(&self) -> &str {
        &self.access_key
    }

    pub(super) fn secret_key(&self) -> &str {
        &self.secret_key
    }

    pub(super) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_read_and_others_refused() {
        let bucket: Bucket = "s3://port-demo/one/two/".parse().unwrap();
        assert_eq!(
            (bucket.to_string(), bucket.object("a/b")),
            ("s3://port-demo/one/two".into(), "one/two/a/b".into())
        );
        let whole: Bucket = "s3://port-demo".parse().unwrap();
        assert_eq!(whole.object("a/b"), "a/b");
        for bad in [
            "port",
            "s3://",
            "s3://ab",
            "s3://Port",
            "s3://-ab",
            "s3://a/../b",
            "s3://port/a//b",
            "s3://p?rt",
        ] {
            assert!(bad.parse::<Bucket>().is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_only_spoken_where_somebody_asks_for_it() {
        let plain = "http://127.0.0.1:9000";
        assert!(matches!(Endpoint::new(plain, Transport::Tls), Err(AddressError::Plain { .. })));
        let endpoint = Endpoint::new(plain, Transport::PlainAllowed).unwrap();
        assert_eq!(
            (endpoint.origin(), endpoint.host(), endpoint.is_loopback()),
            (plain, "127.0.0.1:9000", true)
        );
        let tls = Endpoint::new("https://s3.example.org:443/", Transport::Tls).unwrap();
        assert_eq!((tls.host(), tls.is_loopback()), ("s3.example.org", false));
        for bad in ["s3.example.org", "ftp://x", "https://x/bucket", "https://x?y"] {
            assert!(Endpoint::new(bad, Transport::Tls).is_err(), "{bad}");
        }
        // Some of these are no URLs, or have no user as URLs go: a `#` ends the host.
        for secret in [
            "https://user:hunter2@x",
            "https://key:hunter2#ss@x",
            "https://key:hunter2/s@x",
            "key:hunter2@x",
            "//k:hunter2@[",
        ] {
            for transport in [Transport::Tls, Transport::PlainAllowed] {
                let error = Endpoint::new(secret, transport).unwrap_err();
                let text = format!("{error} {error:?}");
                assert!(!text.contains("hunter2") && text.contains("without a user or password"), "{text}");
            }
        }
    }

    #[test]
    fn credentials_are_in_no_message() {
        let text = format!("{:?}", Credentials::new("AKIA", "hunter2", Some("hunter3".into())));
        assert!(!text.contains("hunter") && !text.contains("AKIA"), "{text}");
    }
}
