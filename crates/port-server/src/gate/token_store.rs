//! The tokens that operators made, kept in the storage as `tokens/<id>`: whichever server is asked, it knows them, and one that was
//! revoked opens nothing from then on.

use std::sync::Arc;

use jiff::Timestamp;
use port_content::limit;

use super::Grant;
use super::record::{TokenId, TokenRecord};
use crate::storage::{Condition, Key, Outcome, Storage, StorageError};

const TOKENS: &str = "tokens";
/// How many names are listed at once.
const PAGE: usize = 1000;
/// Longest name of a token, in bytes.
const LONGEST_NAME: usize = 64;

/// What a new token shall be.
#[derive(Debug, Clone)]
pub struct TokenDraft {
    /// What it is called: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Which control plane takes it.
    pub audience: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// Until when it is good; for ever where nothing is said.
    pub expires: Option<Timestamp>,
}

/// A token that was made. Its text is known here and nowhere else.
pub struct CreatedToken {
    /// What is kept of it.
    pub record: TokenRecord,
    /// The token.
    pub token: String,
}

/// A failed operation on tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name is none.
    #[error("`{0}` cannot name a token: expected 1 to 64 letters, digits, `.`, `_` and `-`")]
    Name(String),
    /// It could do nothing.
    #[error("the token would have no scope, and could do nothing")]
    NoScope,
    /// It would have ended already.
    #[error("the token would have expired already: it ends {expires}, and it is {now}")]
    Ended {
        /// When it ends.
        expires: Timestamp,
        /// What time it is.
        now: Timestamp,
    },
    /// A record cannot be read.
    #[error("the record of the token `{id}` cannot be read")]
    Record {
        /// Which one.
        id: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The operating system gives no random numbers.
    #[error("no token can be made")]
    Random(#[source] std::io::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// See the module.
#[derive(Clone)]
pub struct TokenStore {
    storage: Arc<dyn Storage>,
}

impl TokenStore {
    /// The tokens in `storage`.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn create(&self, draft: &TokenDraft, now: Timestamp) -> Result<CreatedToken, TokenError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if draft.name.is_empty() || draft.name.len() > LONGEST_NAME || !draft.name.bytes().all(allowed) {
            return Err(TokenError::Name(draft.name.chars().take(80).collect()));
        }
        if draft.grants.is_empty() {
            return Err(TokenError::NoScope);
        }
        if let Some(expires) = draft.expires.filter(|expires| *expires <= now) {
            return Err(TokenError::Ended { expires, now });
        }
        loop {
            let made = TokenRecord::make(&draft.name, &draft.audience, &draft.grants, now, draft.expires);
            let (record, token) = made.map_err(TokenError::Random)?;
            // Strings and numbers always have a JSON form.
            let text = serde_json::to_vec(&record).unwrap_or_default();
            // Another token with these 64 bits: the dice are thrown again.
            if self.storage.put(&key(&record.id), text.into(), Condition::Absent).await? == Outcome::Done {
                return Ok(CreatedToken { record, token });
            }
        }
    }

    /// All of them, by identifier.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn list(&self) -> Result<Vec<TokenRecord>, TokenError> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let tokens = Key::of_checked(TOKENS.to_owned());
            let page = self.storage.list(&tokens, after.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|child| child.name.clone());
            for child in page {
                // What is no token's name was put there by nobody of us.
                let Ok(id) = child.name.parse::<TokenId>() else { continue };
                found.extend(self.find(&id).await?);
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Ends a token; false where there is none.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn revoke(&self, id: &TokenId) -> Result<bool, TokenError> {
        Ok(self.storage.delete(&key(id), Condition::Always).await? == Outcome::Done)
    }

    pub(super) async fn find(&self, id: &TokenId) -> Result<Option<TokenRecord>, TokenError> {
        let Some(document) = self.storage.read(&key(id), limit::RECORD).await? else { return Ok(None) };
        let record = serde_json::from_slice(&document.bytes)
            .map_err(|source| TokenError::Record { id: id.to_string(), source })?;
        Ok(Some(record))
    }
}

fn key(id: &TokenId) -> Key {
    Key::of_checked(format!("{TOKENS}/{id}"))
}
