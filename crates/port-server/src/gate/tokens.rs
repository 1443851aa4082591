//! The gate of a control plane that is served: the token of the environment, which opens everything; the tokens that operators made, with
//! scopes; and tokens for a while, each standing for one of these.

use std::sync::Arc;

use async_trait::async_trait;

use super::one_token::{AnonymousPull, OneToken};
use super::record::id_of;
use super::session::Issuer;
use super::{Clock, Denial, Gate, Presented, Principal, TokenError, TokenStore};
use crate::storage::Storage;

/// See the module.
pub struct Tokens {
    environment: OneToken,
    anonymous: AnonymousPull,
    store: TokenStore,
    issuer: Issuer,
    clock: Clock,
}

impl Tokens {
    /// The gate over `storage` with this token of the environment.
    ///
    /// # Errors
    /// Where the storage cannot keep what tokens for a while are made with.
    pub async fn open(
        storage: Arc<dyn Storage>,
        token: &str,
        audience: &str,
        header: &str,
        anonymous: AnonymousPull,
        clock: Clock,
    ) -> Result<Self, TokenError> {
        let issuer = Issuer::open(storage.as_ref(), token, audience, Arc::clone(&clock)).await?;
        let environment = OneToken::new(token, audience, header, anonymous);
        Ok(Self { environment, anonymous, store: TokenStore::new(storage), issuer, clock })
    }

    /// Whom a stored token makes of its bearer. Without the token itself, it is asked for whom its offspring stands.
    async fn stored(&self, id: &super::TokenId, token: Option<&str>) -> Result<Principal, Denial> {
        // A record that cannot be read opens nothing, and is no reason to say that the token is wrong.
        let record = self.store.find(id).await.map_err(|_| Denial::Unavailable)?;
        let record = record.ok_or(Denial::WrongToken)?;
        if token.is_some_and(|token| !record.is_of(token)) {
            return Err(Denial::WrongToken);
        }
        record.principal(self.issuer.audience(), (self.clock)())
    }

    /// Whom a name stands for that a token for a while has: its rights are what they are now, not what they were.
    async fn subject(&self, name: &str) -> Result<Principal, Denial> {
        let (everything, anonymous) = (self.environment.principal(), Principal::anonymous());
        if name == everything.name {
            return Ok(everything);
        }
        if name == anonymous.name {
            return match self.anonymous {
                AnonymousPull::Allowed => Ok(anonymous),
                AnonymousPull::Refused => Err(Denial::NoToken),
            };
        }
        let id = name.rsplit_once('-').and_then(|(_, id)| id.parse().ok());
        self.stored(&id.ok_or(Denial::WrongToken)?, None).await
    }
}

#[async_trait]
impl Gate for Tokens {
    async fn admit(&self, presented: &Presented) -> Result<Principal, Denial> {
        let environment = self.environment.admit(presented).await;
        let (Err(Denial::WrongToken), Some(token)) = (&environment, &presented.token) else {
            return environment;
        };
        if let Some(read) = self.issuer.read(token) {
            let (subject, narrowed) = read?;
            return Ok(Principal { narrowed: Some(narrowed), ..self.subject(&subject).await? });
        }
        match id_of(token) {
            Some(id) => self.stored(&id, Some(token)).await,
            None => Err(Denial::WrongToken),
        }
    }

    fn token_header(&self) -> Option<&str> {
        self.environment.token_header()
    }

    fn issuer(&self) -> Option<&Issuer> {
        Some(&self.issuer)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::gate::session::Narrowed;
    use crate::gate::{Action, TokenDraft};
    use crate::storage::Folder;

    async fn gate(root: &std::path::Path, audience: &str) -> Tokens {
        let storage = Arc::new(Folder::open(root).unwrap());
        let clock: Clock = Arc::new(|| Timestamp::from_second(1000).unwrap());
        Tokens::open(storage, "secret", audience, "authorization", AnonymousPull::Refused, clock)
            .await
            .unwrap()
    }

    async fn ask(gate: &Tokens, token: &str) -> Result<Principal, Denial> {
        gate.admit(&Presented { token: Some(token.to_owned()), audience: None }).await
    }

    #[tokio::test]
    async fn ghsa_c9p4_xwr9_rfhx_what_was_revoked_keeps_nothing() {
        let root = tempfile::tempdir().unwrap();
        let gate = gate(root.path(), "demo").await;
        let grants = vec!["pull:team/**".parse().unwrap()];
        let draft = TokenDraft { name: "ci".into(), audience: "demo".into(), grants, expires: None };
        let made = gate.store.create(&draft, Timestamp::UNIX_EPOCH).await.unwrap();
        let principal = ask(&gate, &made.token).await.unwrap();
        let (inside, outside) = ("team/a".parse().unwrap(), "other".parse().unwrap());
        assert!(principal.may(Action::Pull, &inside) && !principal.may(Action::Pull, &outside));
        let narrowed = Narrowed::of_scopes(["repository:team/a:pull,push"].into_iter());
        let session = gate.issuer.issue(&principal.name, &narrowed).token;
        let offspring = ask(&gate, &session).await.unwrap();
        assert!(offspring.may(Action::Pull, &inside) && !offspring.may(Action::Push, &inside));
        assert_eq!(offspring.name, principal.name, "an upload goes on with the next token");
        assert!(gate.store.revoke(&made.record.id).await.unwrap());
        assert_eq!(ask(&gate, &made.token).await, Err(Denial::WrongToken));
        assert_eq!(ask(&gate, &session).await, Err(Denial::WrongToken));
        assert!(gate.store.list().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn ghsa_95c3_6vvw_4mrq_a_token_of_one_control_plane_opens_no_other() {
        let root = tempfile::tempdir().unwrap();
        let (demo, other) = (gate(root.path(), "demo").await, gate(root.path(), "other").await);
        let grants = vec!["admin:**".parse().unwrap()];
        let draft = TokenDraft { name: "ci".into(), audience: "demo".into(), grants, expires: None };
        let made = demo.store.create(&draft, Timestamp::UNIX_EPOCH).await.unwrap();
        let session = demo
            .issuer
            .issue(&made.record.principal("demo", Timestamp::UNIX_EPOCH).unwrap().name, &Narrowed::default());
        assert!(ask(&demo, &made.token).await.is_ok() && ask(&demo, &session.token).await.is_ok());
        assert_eq!(ask(&other, &made.token).await, Err(Denial::WrongAudience));
        assert_eq!(ask(&other, &session.token).await, Err(Denial::WrongAudience));
    }

    #[tokio::test]
    async fn tokens_that_cannot_be_are_refused_when_they_are_made() {
        let root = tempfile::tempdir().unwrap();
        let gate = gate(root.path(), "demo").await;
        let good = TokenDraft {
            name: "ci".into(),
            audience: "demo".into(),
            grants: vec!["pull:a".parse().unwrap()],
            expires: None,
        };
        let past = Timestamp::from_second(10).unwrap();
        for bad in [
            TokenDraft { name: String::new(), ..good.clone() },
            TokenDraft { name: "a/b".into(), ..good.clone() },
            TokenDraft { grants: vec![], ..good.clone() },
            TokenDraft { expires: Some(past), ..good },
        ] {
            assert!(gate.store.create(&bad, past).await.is_err(), "{bad:?} was made");
        }
    }
}
