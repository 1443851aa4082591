//! AWS Signature Version 4, as S3 reads it: from a request to the headers that prove who sends it, and what.
//!
//! ```text
//! canonical request ─► SHA-256 ─► string to sign (time, day/region/s3) ─► HMAC with a key of that day, region and service
//! ```
//!
//! Pure: the time and the body's digest come from outside. Signed are `host`, the conditions, ranges, copy sources, marks and types that
//! the client sets, and the `x-amz-` headers that are added here; `user-agent`, `accept` and `content-length`, which HTTP clients write and
//! proxies rewrite, are not. So a proxy cannot take a condition away or change one. One that adds a condition can only have the request refused. Not here: presigned URLs and chunked signatures; bodies are in memory, and their digest is signed.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use port_content::hashing::digest_of;
use sha2::Sha256;

use super::address::Credentials;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What of a request is signed besides the time.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// Encoded, see [`encoded_path`].
    pub(super) path: &'a str,
    /// Encoded and sorted, see [`encoded_query`].
    pub(super) query: &'a str,
    /// Names in lower case, with `host`, without those that [`sign`] adds.
    pub(super) headers: &'a [(&'static str, String)],
    /// The SHA-256 of the body, in hex.
    pub(super) body: &'a str,
}

/// The headers to add: when it was signed, the body's digest, the session's token where there is one, and the signature.
pub(super) fn sign(
    signed: &Signed<'_>,
    region: &str,
    credentials: &Credentials,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = now.strftime("%Y%m%d").to_string();
    let mut added = vec![("x-amz-content-sha256", signed.body.to_owned()), ("x-amz-date", time.clone())];
    added.extend(credentials.session_token().map(|token| ("x-amz-security-token", token.to_owned())));

    let mut headers: Vec<(&str, &str)> =
        signed.headers.iter().chain(&added).map(|(name, value)| (*name, value.trim())).collect();
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().fold(String::new(), |mut lines, (name, value)| {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{name}:{value}");
        lines
    });
    let Signed { method, path, query, body, .. } = signed;
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{body}");

    let scope = format!("{day}/{region}/s3/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", digest_of(canonical.as_bytes()).hex());
    let key = [day.as_str(), region, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{}", credentials.secret_key()).into_bytes(), |key, part| {
            mac(&key, part.as_bytes())
        });
    let signature = hex(&mac(&key, to_sign.as_bytes()));
    let access_key = credentials.access_key();
    added.push((
        "authorization",
        format!("{ALGORITHM} Credential={access_key}/{scope},SignedHeaders={names},Signature={signature}"),
    ));
    added
}

/// A path whose parts are encoded, with its slashes.
pub(super) fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

/// A query in the one order that is signed.
pub(super) fn encoded_query(pairs: &[(&str, String)]) -> String {
    let mut encoded_pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    encoded_pairs.sort_unstable();
    encoded_pairs.join("&")
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const HOST: &str = "examplebucket.s3.amazonaws.com";

    /// The examples of Amazon's own page on signing S3 requests with a header (24 May 2013, us-east-1).
    #[test]
    fn signatures_are_those_that_amazon_publishes() {
        let credentials =
            Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None);
        let now: Timestamp = "2013-05-24T00:00:00Z".parse().unwrap();
        let body = digest_of(b"Welcome to Amazon S3.");
        let case =
            |method, path, query: &[(&'static str, &str)], headers: &[(&'static str, &str)], body: &str| {
                let owned = |pairs: &[(&'static str, &str)]| {
                    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
                };
                let headers = [owned(&[("host", HOST)]), owned(headers)].concat();
                let (path, query) = (encoded_path(path), encoded_query(&owned(query)));
                let signed = Signed { method, path: &path, query: &query, headers: &headers, body };
                let added = sign(&signed, "us-east-1", &credentials, now);
                added.last().unwrap().1.rsplit_once("Signature=").unwrap().1.to_owned()
            };
        assert_eq!(
            case("GET", "/test.txt", &[], &[("range", "bytes=0-9")], EMPTY),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let put = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        assert_eq!(
            case("PUT", "/test$file.text", &[], &put, body.hex()),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            case("GET", "/", &[("lifecycle", "")], &[], EMPTY),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            case("GET", "/", &[("prefix", "J"), ("max-keys", "2")], &[], EMPTY),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let credentials = Credentials::new("A", "B", Some("C".to_owned()));
        let headers = [("host", HOST.to_owned())];
        let signed = Signed { method: "GET", path: "/", query: "", headers: &headers, body: EMPTY };
        let added = sign(&signed, "eu-central-1", &credentials, Timestamp::UNIX_EPOCH);
        assert!(added.contains(&("x-amz-security-token", "C".to_owned())));
        assert!(added.last().unwrap().1.contains("x-amz-date;x-amz-security-token,Signature="));
    }

    #[test]
    fn parts_of_paths_are_encoded_and_slashes_are_not() {
        assert_eq!(encoded_path("/b/artifacts/127.0.0.1:5510/[x]"), "/b/artifacts/127.0.0.1%3A5510/%5Bx%5D");
        assert_eq!(
            encoded_query(&[("uploads", String::new()), ("a b", "c/d".to_owned())]),
            "a%20b=c%2Fd&uploads="
        );
    }
}
