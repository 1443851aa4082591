//! A token as it is kept: everything but its secret, of which only the hash is there.
//!
//! ```text
//! port_<id: 16 hex digits>_<secret: 64 hex digits>
//! ```
//!
//! The identifier leads to the record, so that no list is searched by a secret; it is no secret and stands in logs.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use port_content::hashing::digest_of;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::{Denial, Grant, Principal};

/// What every stored token begins with, so that scanners of leaked secrets know it.
const PREFIX: &str = "port_";
const ID_LENGTH: usize = 16;
const SECRET_LENGTH: usize = 64;
/// The version of the record (docs/formats/control-plane-storage.md).
const VERSION: u32 = 1;

/// Which token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

/// A text that is no token's identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no token's identifier: expected 16 lower-case hex digits")]
pub struct TokenIdError(String);

impl TokenId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenId {
    type Err = TokenIdError;

    fn from_str(text: &str) -> Result<Self, TokenIdError> {
        if is_hex(text, ID_LENGTH) {
            return Ok(Self(text.to_owned()));
        }
        Err(TokenIdError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenIdError;

    fn try_from(text: String) -> Result<Self, TokenIdError> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    version: u32,
    /// Which one.
    pub id: TokenId,
    /// What its maker calls it.
    pub name: String,
    /// Which control plane takes it: one storage may serve several.
    pub audience: String,
    /// What it may do, as text ([`Grant`]).
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it is good.
    pub expires: Option<Timestamp>,
    hash: String,
}

impl TokenRecord {
    /// A record and the token that it is about.
    pub(super) fn make(
        name: &str,
        audience: &str,
        grants: &[Grant],
        created: Timestamp,
        expires: Option<Timestamp>,
    ) -> std::io::Result<(Self, String)> {
        let random = crate::random::hex()?;
        let id = TokenId(random.chars().take(ID_LENGTH).collect());
        let token = format!("{PREFIX}{id}_{}{}", crate::random::hex()?, crate::random::hex()?);
        let record = Self {
            version: VERSION,
            id,
            name: name.to_owned(),
            audience: audience.to_owned(),
            scopes: grants.iter().map(Grant::to_string).collect(),
            created,
            expires,
            hash: hash_of(&token),
        };
        Ok((record, token))
    }

    /// The principal whom this token makes of a caller of `audience`.
    ///
    /// # Errors
    /// [`Denial`]: it is another's, or its time is over.
    pub(super) fn principal(&self, audience: &str, now: Timestamp) -> Result<Principal, Denial> {
        if self.version != VERSION {
            return Err(Denial::WrongToken);
        }
        if self.audience != audience {
            return Err(Denial::WrongAudience);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(Denial::Expired);
        }
        // A scope that this version does not know grants nothing.
        let grants = self.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
        Ok(Principal::new(format!("{}-{}", self.name, self.id), grants))
    }

    /// Whether this is the token, compared by its hash in constant time.
    pub(super) fn is_of(&self, token: &str) -> bool {
        bool::from(hash_of(token).as_bytes().ct_eq(self.hash.as_bytes()))
    }
}

/// The identifier in a token's text; nothing where it cannot be one of ours.
pub(super) fn id_of(token: &str) -> Option<TokenId> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    is_hex(secret, SECRET_LENGTH).then(|| id.parse().ok()).flatten()
}

/// 256 random bits need no salt and no slow hash.
pub(super) fn hash_of(token: &str) -> String {
    digest_of(token.as_bytes()).hex().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_knows_its_token_and_does_not_hold_it() {
        let now = Timestamp::UNIX_EPOCH;
        let grants = ["pull:a".parse().unwrap()];
        let (record, token) = TokenRecord::make("ci", "port-demo", &grants, now, None).unwrap();
        assert_eq!(id_of(&token), Some(record.id.clone()));
        assert!(record.is_of(&token) && !record.is_of(&token.to_uppercase()) && !record.is_of(""));
        let text = serde_json::to_string(&record).unwrap();
        let secret = token.rsplit('_').next().unwrap();
        assert!(!text.contains(secret), "{text}");
        assert_eq!(record.principal("other", now), Err(Denial::WrongAudience));
        let later =
            serde_json::from_str::<TokenRecord>(&text.replace("\"version\":1", "\"version\":2")).unwrap();
        assert_eq!(later.principal("port-demo", now), Err(Denial::WrongToken));
        for bad in ["", "port_", "port_0123456789abcdef_", "port_../../x_00", "port_0123456789ABCDEF_00"] {
            assert_eq!(id_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_ends_at_its_time() {
        let now = Timestamp::UNIX_EPOCH;
        let later = Timestamp::from_second(60).unwrap();
        let (record, _) = TokenRecord::make("ci", "a", &[], now, Some(later)).unwrap();
        assert!(record.principal("a", now).is_ok());
        assert_eq!(record.principal("a", later), Err(Denial::Expired));
    }
}
