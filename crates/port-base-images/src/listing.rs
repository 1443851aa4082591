//! Listings of the CI bucket: addresses to ask, and pages to read (acceptance S-46, S-47, C-26, C-30).
//!
//! Only what is needed is read of the XML: keys, whether more follows, and where. It is no XML parser: what is no listing has no
//! keys.

use std::fmt::Write as _;

use port_model::Architecture;

/// What stands between the `&` and the `;` of an entity has at most so many bytes. Without an end, a page of nothing but `&`
/// would be searched once for each of them.
const LONGEST_ENTITY: usize = 12;

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// The keys, in the order of the page.
    pub(crate) keys: Vec<String>,
    /// Whether the listing goes on.
    pub(crate) truncated: bool,
    /// What to ask the next page with.
    pub(crate) next: Option<String>,
}

/// Below what the keys of a CI line lie.
pub(crate) fn prefix(line: &str, architecture: Architecture) -> String {
    format!("firecracker-ci/{line}/{architecture}/")
}

/// The address of a page: the first one, or the one that a token leads to.
pub(crate) fn page_address(bucket: &str, prefix: &str, token: Option<&str>) -> String {
    let mut address = format!("{}/?list-type=2&prefix={}", bucket.trim_end_matches('/'), percent(prefix, ""));
    if let Some(token) = token {
        address.push_str("&continuation-token=");
        address.push_str(&percent(token, ""));
    }
    address
}

/// Where a key's object is (acceptance S-55).
pub(crate) fn key_address(bucket: &str, key: &str) -> String {
    format!("{}/{}", bucket.trim_end_matches('/'), percent(key, "/"))
}

/// Reads a page.
pub(crate) fn parse(xml: &str) -> Page {
    let first = |name| elements(xml, name).next();
    Page {
        keys: elements(xml, "Key").collect(),
        truncated: first("IsTruncated").is_some_and(|text| text.trim() == "true"),
        next: first("NextContinuationToken").filter(|token| !token.is_empty()),
    }
}

/// The texts of all elements of a name.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, behind) = rest.split_once(&open)?;
        let (text, behind) = behind.split_once(&close)?;
        rest = behind;
        Some(unescaped(text))
    })
}

/// Decodes entities in one pass, so that `&amp;lt;` is `&lt;` and not `<`. What is no entity stays as it is.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let end = behind.bytes().take(LONGEST_ENTITY + 1).position(|byte| byte == b';');
        let parts = end.and_then(|end| behind.split_at_checked(end));
        let decoded = parts.and_then(|(name, after)| Some((entity(name)?, after.strip_prefix(';')?)));
        rest = match decoded {
            Some((character, after)) => {
                out.push(character);
                after
            }
            None => {
                out.push('&');
                behind
            }
        };
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#')? {
            hexadecimal if hexadecimal.starts_with('x') => number(hexadecimal.get(1..)?, 16),
            decimal => number(decimal, 10),
        },
    }
}

/// Percent-encodes all but unreserved characters and those in `kept`.
fn percent(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        if character.is_ascii_alphanumeric() || "-._~".contains(character) || kept.contains(character) {
            out.push(character);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: &str = "https://s3.amazonaws.com/spec.ccfc.min";

    #[test]
    fn s_46_s_55_addresses_are_percent_encoded() {
        let prefix = prefix("v1.15", Architecture::Aarch64);
        assert_eq!(prefix, "firecracker-ci/v1.15/aarch64/");
        let first = format!("{BUCKET}/?list-type=2&prefix=firecracker-ci%2Fv1.15%2Faarch64%2F");
        assert_eq!(page_address(BUCKET, &prefix, None), first);
        assert_eq!(page_address("https://s3.amazonaws.com/spec.ccfc.min/", &prefix, None), first);
        let next = page_address(BUCKET, &prefix, Some("1/a+b=="));
        assert_eq!(next, format!("{first}&continuation-token=1%2Fa%2Bb%3D%3D"));
        for (key, path) in [("a/b-1.2_x~", "a/b-1.2_x~"), ("a b/#?%ä", "a%20b/%23%3F%25%C3%A4")] {
            assert_eq!(key_address(BUCKET, key), format!("{BUCKET}/{path}"));
        }
    }

    #[test]
    fn s_47_c_30_keys_are_unescaped_once() {
        for (text, expected) in [
            ("a&amp;b", "a&b"),
            ("&lt;&gt;&quot;&apos;", "<>\"'"),
            ("&amp;lt;", "&lt;"),
            ("&amp;amp;amp;", "&amp;amp;"),
            ("&#38;lt; &#x41;&#x1F600;", "&lt; A\u{1F600}"),
            ("&unknown; & &; &#xD800; &#; &amp", "&unknown; & &; &#xD800; &#; &amp"),
            ("&#00000000038; &#000000000038;", "& &#000000000038;"),
            (
                "&\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}&amp;",
                "&\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}&",
            ),
        ] {
            let xml = format!("<Contents><Key>{text}</Key></Contents>");
            assert_eq!(parse(&xml).keys, [expected], "{text}");
        }
    }

    #[test]
    fn s_47_a_page_of_what_is_no_entity_is_read_once() {
        // Were it searched to its end for each of them, a page of 16 MiB would take hours.
        let text = "&".repeat(1 << 20);
        assert_eq!(parse(&format!("<Key>{text}</Key>")).keys, [text]);
    }

    #[test]
    fn c_26_a_page_says_whether_and_where_the_listing_goes_on() {
        let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Name>spec.ccfc.min</Name><Prefix>firecracker-ci/</Prefix><NextContinuationToken>1&amp;2==</NextContinuationToken>\
            <KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>\
            <Contents><Key>a</Key><Size>1</Size></Contents><Contents><Key>b</Key></Contents></ListBucketResult>";
        let keys = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(parse(xml), Page { keys, truncated: true, next: Some("1&2==".to_owned()) });
        for nothing in
            ["", "<html><body>sign in</body></html>", "<Key>cut", "<IsTruncated>false</IsTruncated>"]
        {
            assert_eq!(parse(nothing), Page::default(), "{nothing}");
        }
    }
}
