//! One entry of `auths`: what it proves, and how a login writes it.
//!
//! Of several proofs in one entry the narrowest wins: `registrytoken`, `identitytoken`, `auth`, then
//! `username` and `password`. An entry with none of them is docker's mark that a helper has the credentials.

use serde_json::value::RawValue;

use super::base64;
use super::document::{Object, kind_of};
use crate::credential::{Credentials, Secret};

/// The members that are proofs; a login replaces them all and keeps the others.
const PROOFS: [&str; 5] = ["auth", "username", "password", "identitytoken", "registrytoken"];

/// What is wrong with an entry, in words that hold nothing of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadEntry {
    /// Which member, or none for the entry itself.
    pub(super) member: Option<&'static str>,
    pub(super) expected: &'static str,
    pub(super) found: &'static str,
}

/// The credentials in an entry; `None` where it has none.
pub(super) fn read(entry: &RawValue) -> Result<Option<Credentials>, BadEntry> {
    let object = Object::parse(entry.get()).map_err(|_| BadEntry {
        member: None,
        expected: "an object",
        found: kind_of(entry),
    })?;
    if let Some(token) = text(&object, "registrytoken")? {
        return token_of("registrytoken", token).map(Credentials::Bearer).map(Some);
    }
    if let Some(token) = text(&object, "identitytoken")? {
        return token_of("identitytoken", token).map(Credentials::IdentityToken).map(Some);
    }
    if let Some(auth) = text(&object, "auth")? {
        return decode_auth(&auth).map(Some);
    }
    let password = text(&object, "password")?;
    match (text(&object, "username")?, password) {
        (None, None) => Ok(None),
        (Some(username), password) => basic("username", &username, &password.unwrap_or_default()).map(Some),
        (None, Some(_)) => Err(bad("username", "a user name beside the password", "none")),
    }
}

/// The entry that holds `credentials`, keeping what else is in the `old` one.
pub(super) fn write(
    old: Option<&RawValue>,
    credentials: Option<&Credentials>,
) -> Result<Box<RawValue>, serde_json::Error> {
    let mut object = old.and_then(|old| Object::parse(old.get()).ok()).unwrap_or_default();
    for member in PROOFS {
        object.remove(member);
    }
    let proof = credentials.map(|credentials| match credentials {
        Credentials::Basic { username, password } => {
            ("auth", base64::encode(format!("{username}:{}", password.expose()).as_bytes()))
        }
        Credentials::IdentityToken(token) => ("identitytoken", token.expose().to_owned()),
        Credentials::Bearer(token) => ("registrytoken", token.expose().to_owned()),
    });
    if let Some((member, value)) = proof {
        object.set(member, serde_json::value::to_raw_value(&value)?);
    }
    RawValue::from_string(object.to_text(2)?)
}

/// A member that is text; absent, null and empty are the same to docker.
fn text(object: &Object, member: &'static str) -> Result<Option<String>, BadEntry> {
    let Some(value) = object.get(member) else { return Ok(None) };
    let text: Option<String> = serde_json::from_str(value.get()).map_err(|_| match kind_of(value) {
        "text" => bad(member, "Unicode text", "a broken escape"),
        found => bad(member, "text", found),
    })?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// What `auth` holds.
pub(super) fn decode_auth(auth: &str) -> Result<Credentials, BadEntry> {
    const EXPECTED: &str = "base64 of `user:password`";
    let bytes = base64::decode(auth).ok_or_else(|| bad("auth", EXPECTED, "text that is no base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| bad("auth", EXPECTED, "base64 of what is no text"))?;
    let (username, password) =
        text.split_once(':').ok_or_else(|| bad("auth", EXPECTED, "base64 of a text without `:`"))?;
    // Old docker versions padded the password with zero bytes.
    basic("auth", username, password.trim_end_matches('\0'))
}

/// A user name and a password that survive the journey: the first `:` ends the name (RFC 7617).
fn basic(member: &'static str, username: &str, password: &str) -> Result<Credentials, BadEntry> {
    check_username(username).map_err(|found| bad(member, "a user name without `:`", found))?;
    Ok(Credentials::Basic { username: username.to_owned(), password: Secret::new(password) })
}

/// What is wrong with a user name.
pub(super) fn check_username(username: &str) -> Result<(), &'static str> {
    match username {
        "" => Err("an empty one"),
        _ if username.contains(':') => Err("one with `:`"),
        _ if username.chars().any(char::is_control) => Err("one with control characters"),
        _ => Ok(()),
    }
}

/// A token goes into a header or form as it is, so it has to be one visible word.
fn token_of(member: &'static str, token: String) -> Result<Secret, BadEntry> {
    check_token(&token).map_err(|found| bad(member, "a token of visible ASCII characters", found))?;
    Ok(Secret::new(token))
}

/// What is wrong with a token.
pub(super) fn check_token(token: &str) -> Result<(), &'static str> {
    match token {
        "" => Err("an empty one"),
        _ if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        _ => Err("one with other characters"),
    }
}

fn bad(member: &'static str, expected: &'static str, found: &'static str) -> BadEntry {
    BadEntry { member: Some(member), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Option<Credentials>, BadEntry> {
        read(&RawValue::from_string(text.to_owned()).unwrap())
    }

    fn basic_of(username: &str, password: &str) -> Credentials {
        Credentials::Basic { username: username.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn the_narrowest_proof_of_an_entry_wins() {
        let cases = [
            (r#"{}"#, None),
            (r#"{"auth":"","email":"a@b"}"#, None),
            (r#"{"auth":null,"identitytoken":null}"#, None),
            (r#"{"auth":"YTpiOmM="}"#, Some(basic_of("a", "b:c"))),
            (r#"{"auth":"YTpiAAA"}"#, Some(basic_of("a", "b"))),
            (r#"{"auth":"YTo="}"#, Some(basic_of("a", ""))),
            (r#"{"username":"u","password":"p"}"#, Some(basic_of("u", "p"))),
            (r#"{"username":"u","password":"p","auth":"YTpi"}"#, Some(basic_of("a", "b"))),
            (r#"{"auth":"YTo=","identitytoken":"t"}"#, Some(Credentials::IdentityToken(Secret::new("t")))),
            (
                r#"{"auth":"YTo=","identitytoken":"t","registrytoken":"r"}"#,
                Some(Credentials::Bearer(Secret::new("r"))),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(read_text(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_bad_entry_is_named_by_member_and_kind() {
        let cases = [
            ("7", None, "a number"),
            (r#"["YTpi"]"#, None, "a list"),
            (r#"{"auth":7}"#, Some("auth"), "a number"),
            (r#"{"auth":"!!"}"#, Some("auth"), "text that is no base64"),
            (r#"{"auth":"/w=="}"#, Some("auth"), "base64 of what is no text"),
            (r#"{"auth":"YWI="}"#, Some("auth"), "base64 of a text without `:`"),
            (r#"{"auth":"OmI="}"#, Some("auth"), "an empty one"),
            (r#"{"auth":"\ud800"}"#, Some("auth"), "a broken escape"),
            (r#"{"username":"a:b","password":"p"}"#, Some("username"), "one with `:`"),
            (r#"{"password":"p"}"#, Some("username"), "none"),
            (r#"{"identitytoken":{"a":1}}"#, Some("identitytoken"), "an object"),
            (r#"{"registrytoken":"a\r\nX: y"}"#, Some("registrytoken"), "one with other characters"),
        ];
        for (text, member, found) in cases {
            let error = read_text(text).unwrap_err();
            assert_eq!((error.member, error.found), (member, found), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_other_members_stay() {
        let old =
            RawValue::from_string(r#"{"email":"a@b","auth":"YTpi","password":"x"}"#.to_owned()).unwrap();
        for credentials in [
            basic_of("ü", "p:\"\\"),
            Credentials::IdentityToken(Secret::new("t")),
            Credentials::Bearer(Secret::new("r")),
        ] {
            let entry = write(Some(&old), Some(&credentials)).unwrap();
            assert_eq!(read(&entry), Ok(Some(credentials)));
            assert!(entry.get().contains("a@b") && !entry.get().contains("password"));
        }
        assert_eq!(write(None, None).unwrap().get(), "{}");
        assert_eq!(read(&write(Some(&old), None).unwrap()), Ok(None));
    }
}
