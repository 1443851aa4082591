//! One token for everything, from the environment of whoever started the server (acceptance P-60, P-62).

use async_trait::async_trait;
use subtle::ConstantTimeEq as _;

use super::record::hash_of;
use super::{Denial, Gate, Grant, Presented, Principal};

/// Whether callers without a token may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnonymousPull {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
}

/// See the module.
pub struct OneToken {
    /// The token's hash: the token itself need not lie in memory, and all comparisons are of one length.
    hash: String,
    audience: String,
    header: String,
    anonymous: AnonymousPull,
}

impl OneToken {
    /// A gate for this token. A request that names an audience must name this one.
    pub fn new(token: &str, audience: &str, header: &str, anonymous: AnonymousPull) -> Self {
        let (audience, header) = (audience.to_owned(), header.to_ascii_lowercase());
        Self { hash: hash_of(token), audience, header, anonymous }
    }

    /// Whom the token makes of its bearer.
    pub(super) fn principal(&self) -> Principal {
        Principal::new("token", vec![Grant::everything()])
    }
}

#[async_trait]
impl Gate for OneToken {
    async fn admit(&self, presented: &Presented) -> Result<Principal, Denial> {
        if presented.audience.as_ref().is_some_and(|audience| *audience != self.audience) {
            return Err(Denial::WrongAudience);
        }
        let Some(token) = &presented.token else {
            return match self.anonymous {
                AnonymousPull::Allowed => Ok(Principal::anonymous()),
                AnonymousPull::Refused => Err(Denial::NoToken),
            };
        };
        if !bool::from(hash_of(token).as_bytes().ct_eq(self.hash.as_bytes())) {
            return Err(Denial::WrongToken);
        }
        Ok(self.principal())
    }

    fn token_header(&self) -> Option<&str> {
        Some(&self.header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn p_62_only_the_token_opens() {
        let gate = OneToken::new("secret", "port-demo", "Authorization", AnonymousPull::Refused);
        let ask = async |token: Option<&str>, audience: Option<&str>| {
            let (token, audience) = (token.map(str::to_owned), audience.map(str::to_owned));
            gate.admit(&Presented { token, audience }).await.map(|principal| principal.name)
        };
        assert_eq!(ask(None, None).await, Err(Denial::NoToken));
        assert_eq!(ask(Some(""), None).await, Err(Denial::WrongToken));
        assert_eq!(ask(Some("secre"), None).await, Err(Denial::WrongToken));
        assert_eq!(ask(Some("secret"), Some("other")).await, Err(Denial::WrongAudience));
        assert_eq!(ask(Some("secret"), Some("port-demo")).await.as_deref(), Ok("token"));
        assert_eq!(ask(Some("secret"), None).await.as_deref(), Ok("token"));
    }

    #[tokio::test]
    async fn anonymous_callers_read_only_where_they_may() {
        let gate = OneToken::new("secret", "port-demo", "authorization", AnonymousPull::Allowed);
        assert!(gate.admit(&Presented::default()).await.unwrap().is_anonymous());
        let wrong = Presented { token: Some("wrong".to_owned()), audience: None };
        assert_eq!(gate.admit(&wrong).await, Err(Denial::WrongToken), "a wrong token is no anonymity");
    }
}
