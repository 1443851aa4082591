//! Tokens for a while, which clients of registries ask for at `/token` and show instead of what an operator gave them.
//!
//! ```text
//! ports1.<base64url of {"aud","sub","exp","acc"}>.<base64url of its HMAC-SHA256>
//! ```
//!
//! Such a token holds whom it stands for and what was asked for, never what is allowed: that is looked up again with every request, so
//! that a token that was revoked, or lost a scope, takes its offspring along. The key is made of a random document in the storage and
//! the token of the environment: who has only one of them can neither make tokens nor guess the other.

use base64ct::{Base64UrlUnpadded as Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Action, Clock, Denial, TokenError};
use crate::name::RepositoryName;
use crate::storage::{Condition, Key, Storage};

const PREFIX: &str = "ports1.";
/// Where the storage's part of the key lies.
const SALT: &str = "keys/token-sessions";
const LONGEST_SALT: u64 = 1024;
/// How long a token is good. Clients ask again by themselves.
const LIFETIME: SignedDuration = SignedDuration::from_secs(300);
/// What a token may have left: clocks of servers on one storage differ a little.
const LONGEST_LEFT: SignedDuration = SignedDuration::from_secs(2 * 300);
/// The most repositories that one token is for.
const MOST_REPOSITORIES: usize = 100;

/// What was asked for in one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Which one.
    pub repository: RepositoryName,
    /// What for.
    pub actions: Vec<Action>,
}

/// What a token for a while was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Narrowed {
    /// Repositories.
    pub access: Vec<Access>,
    /// Whether the list of repositories.
    pub catalog: bool,
}

impl Narrowed {
    /// What the `scope`s of a request ask for. What is not understood is not asked for.
    pub fn of_scopes<'a>(scopes: impl Iterator<Item = &'a str>) -> Self {
        let mut narrowed = Self::default();
        // A space, which some clients write as forms do; no name has a plus.
        for scope in scopes.flat_map(|scope| scope.split([' ', '+'])).take(MOST_REPOSITORIES) {
            // A repository's name may come with a host and its port, so actions are what is behind the last colon.
            let Some((kind, rest)) = scope.split_once(':') else { continue };
            let Some((name, words)) = rest.rsplit_once(':') else { continue };
            if kind.starts_with("registry") && name == "catalog" {
                narrowed.catalog = true;
            } else if let (true, Ok(repository)) = (kind.starts_with("repository"), name.parse()) {
                let asked =
                    |action: &Action| words.split(',').any(|word| word == "*" || word == action.word());
                let actions = Action::ALL.into_iter().filter(asked).collect();
                narrowed.access.push(Access { repository, actions });
            }
        }
        narrowed
    }

    /// Whether it was asked for this.
    pub(crate) fn has(&self, action: Action, repository: &RepositoryName) -> bool {
        self.access.iter().any(|access| access.repository == *repository && access.actions.contains(&action))
    }

    fn words(&self) -> Vec<String> {
        let words = |access: &Access| {
            let actions: Vec<&str> = access.actions.iter().map(|action| action.word()).collect();
            format!("repository:{}:{}", access.repository, actions.join(","))
        };
        let catalog = self.catalog.then(|| "registry:catalog:*".to_owned());
        self.access.iter().map(words).chain(catalog).collect()
    }
}

/// What a token says; short names, since it travels with every request.
#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: String,
    exp: i64,
    acc: Vec<String>,
}

/// A token that was made.
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) issued: Timestamp,
    pub(crate) lifetime: SignedDuration,
}

/// What makes tokens for a while, and knows them again.
#[derive(Clone)]
pub struct Issuer {
    key: [u8; 32],
    audience: String,
    clock: Clock,
}

impl Issuer {
    /// The issuer of everybody who serves `storage` with this token in the environment.
    ///
    /// # Errors
    /// Where the storage cannot keep the key's part.
    pub async fn open(
        storage: &dyn Storage,
        token: &str,
        audience: &str,
        clock: Clock,
    ) -> Result<Self, TokenError> {
        let place = Key::of_checked(SALT.to_owned());
        let salt = match storage.read(&place, LONGEST_SALT).await? {
            Some(salt) => salt.bytes,
            None => {
                let random = || crate::random::hex().map_err(TokenError::Random);
                let made = format!("{}{}", random()?, random()?);
                // Another server may begin at the same time: the first one's is everybody's.
                let _ = storage.put(&place, made.clone().into(), Condition::Absent).await?;
                storage.read(&place, LONGEST_SALT).await?.map_or_else(|| made.into(), |salt| salt.bytes)
            }
        };
        let mut key = mac(token.as_bytes());
        key.update(b"port token sessions 1\n");
        key.update(&salt);
        Ok(Self { key: key.finalize().into_bytes().into(), audience: audience.to_owned(), clock })
    }

    /// The audience of its tokens, which is the registry's `service`.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// A token that stands for `subject`, for what was asked for.
    pub(crate) fn issue(&self, subject: &str, narrowed: &Narrowed) -> Issued {
        let issued = (self.clock)();
        let claims = Claims {
            aud: self.audience.clone(),
            sub: subject.to_owned(),
            exp: issued.as_second().saturating_add(LIFETIME.as_secs()),
            acc: narrowed.words(),
        };
        // Strings and numbers always have a JSON form.
        let claims = Base64::encode_string(&serde_json::to_vec(&claims).unwrap_or_default());
        let mut proof = mac(&self.key);
        proof.update(claims.as_bytes());
        let proof = Base64::encode_string(&proof.finalize().into_bytes());
        Issued { token: format!("{PREFIX}{claims}.{proof}"), issued, lifetime: LIFETIME }
    }

    /// Whom a token stands for, and what it was asked for. `None` where it is no token for a while at all.
    pub(super) fn read(&self, token: &str) -> Option<Result<(String, Narrowed), Denial>> {
        let rest = token.strip_prefix(PREFIX)?;
        Some(self.read_claims(rest))
    }

    fn read_claims(&self, text: &str) -> Result<(String, Narrowed), Denial> {
        let (claims, proof) = text.split_once('.').ok_or(Denial::WrongToken)?;
        let proof = Base64::decode_vec(proof).map_err(|_| Denial::WrongToken)?;
        let mut expected = mac(&self.key);
        expected.update(claims.as_bytes());
        // Compared in constant time.
        expected.verify_slice(&proof).map_err(|_| Denial::WrongToken)?;
        let claims = Base64::decode_vec(claims).map_err(|_| Denial::WrongToken)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| Denial::WrongToken)?;
        if claims.aud != self.audience {
            return Err(Denial::WrongAudience);
        }
        let left = claims.exp.saturating_sub((self.clock)().as_second());
        // More is left than any token gets: the clock that it was made by was ahead, and it would be good for as long.
        if left <= 0 || left > LONGEST_LEFT.as_secs() {
            return Err(Denial::Expired);
        }
        Ok((claims.sub, Narrowed::of_scopes(claims.acc.iter().map(String::as_str))))
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    Hmac::new_from_slice(key).expect("a key of any length")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::storage::Folder;

    #[test]
    fn scopes_ask_for_what_is_understood() {
        let scopes = [
            "repository:a/b:pull,push",
            "repository:c:*+registry:catalog:*",
            "repository:../x:pull",
            "repository(plugin):d:pull",
            "nonsense",
            "",
        ];
        let narrowed = Narrowed::of_scopes(scopes.into_iter());
        let expected = [
            "repository:a/b:pull,push",
            "repository:c:pull,push,delete",
            "repository:d:pull",
            "registry:catalog:*",
        ];
        assert_eq!(narrowed.words(), expected);
    }

    #[tokio::test]
    async fn only_this_control_planes_own_tokens_are_known_and_only_for_a_while() {
        let root = tempfile::tempdir().unwrap();
        let storage = Folder::open(root.path()).unwrap();
        let time = Arc::new(AtomicI64::new(1000));
        let clock: Clock = {
            let time = Arc::clone(&time);
            Arc::new(move || Timestamp::from_second(time.load(Ordering::Relaxed)).unwrap())
        };
        let open = async |token: &str, audience: &str| {
            Issuer::open(&storage, token, audience, Arc::clone(&clock)).await.unwrap()
        };
        let issuer = open("secret", "demo").await;
        let narrowed = Narrowed::of_scopes(["repository:a:pull"].into_iter());
        let token = issuer.issue("ci", &narrowed).token;
        let expected = Some(Ok(("ci".to_owned(), narrowed)));
        assert_eq!(issuer.read(&token), expected);
        assert_eq!(open("secret", "demo").await.read(&token), expected, "another server on this storage");
        assert_eq!(open("other", "demo").await.read(&token), Some(Err(Denial::WrongToken)));
        assert_eq!(open("secret", "other").await.read(&token), Some(Err(Denial::WrongAudience)));
        assert_eq!(issuer.read("secret"), None);
        for at in PREFIX.len()..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            // The last character of base64 has bits that mean nothing; they must be zero.
            assert_eq!(issuer.read(&forged), Some(Err(Denial::WrongToken)), "{at}");
        }
        time.store(1300, Ordering::Relaxed);
        assert_eq!(issuer.read(&token), Some(Err(Denial::Expired)));
    }
}
