//! Who may do what. The seam behind which tokens live: the faces know [`Gate`] and [`Principal`], and nothing of how a caller proves
//! who it is.
//!
//! ```text
//! request ─► Presented (header, audience) ─► Gate::admit ─► Principal ─► may(Action, repository)
//!                                               └─ Denial: 401 before a byte of the body is read
//! ```
//!
//! Two gates: [`OneToken`], and [`Tokens`], which adds stored tokens with scopes and tokens for a while (the registry's token flow).

mod one_token;
mod pattern;
mod record;
mod scope;
mod session;
mod token_store;
mod tokens;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

pub use one_token::{AnonymousPull, OneToken};
pub use pattern::{Pattern, PatternError};
pub use record::{TokenId, TokenRecord};
pub use scope::{Grant, ScopeError};
pub use session::{Access, Issuer, Narrowed};
pub use token_store::{CreatedToken, TokenDraft, TokenError, TokenStore};
pub use tokens::Tokens;

use crate::name::RepositoryName;

/// Says what time it is. Passed down, since only the command line looks at a clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a request shows of its sender.
#[derive(Clone, Default)]
pub struct Presented {
    /// The token, whatever header and scheme it came in.
    pub token: Option<String>,
    /// Which control plane the sender believes to talk to.
    pub audience: Option<String>,
}

/// What a request wants with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Remove.
    Delete,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// Its word in scopes, here and in the registry's token flow.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// Why a request does not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// It shows no token.
    #[error("this control plane asks for a token, and the request has none")]
    NoToken,
    /// Its token is not one of this control plane's.
    #[error("the token is not one of this control plane's")]
    WrongToken,
    /// Its token was good until some time ago.
    #[error("the token has expired")]
    Expired,
    /// Its token was asked for other things than this.
    #[error("the token was asked for without this")]
    Narrow,
    /// It is meant for another control plane.
    #[error("the request is meant for another audience")]
    WrongAudience,
    /// The gate cannot tell now.
    #[error("tokens cannot be checked now")]
    Unavailable,
}

/// A caller that got in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its name, for sessions and logs; never its token.
    pub name: String,
    /// What it may do, and where.
    pub grants: Vec<Grant>,
    /// What its token for a while was asked for: it may do nothing else with it.
    pub narrowed: Option<Narrowed>,
}

impl Principal {
    /// Somebody who may do this.
    pub fn new(name: impl Into<String>, grants: Vec<Grant>) -> Self {
        Self { name: name.into(), grants, narrowed: None }
    }

    /// Somebody without a name, who may only read.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, vec![Grant { actions: vec![Action::Pull], repositories: Pattern::all() }])
    }

    /// Whether somebody who showed nothing.
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// Whether it may do this in that repository. What no grant says is not allowed.
    pub fn may(&self, action: Action, repository: &RepositoryName) -> bool {
        self.is_granted(action, repository)
            && self.narrowed.as_ref().is_none_or(|narrowed| narrowed.has(action, repository))
    }

    /// Whether it could, with a token that was asked for this as well.
    pub(crate) fn may_ask_for(&self, action: Action, repository: &RepositoryName) -> bool {
        self.is_granted(action, repository) && !self.may(action, repository)
    }

    /// Whether it is told that there is such a repository.
    pub fn may_see(&self, repository: &RepositoryName) -> bool {
        let shown = self
            .narrowed
            .as_ref()
            .is_none_or(|narrowed| narrowed.catalog || narrowed.has(Action::Pull, repository));
        shown && self.is_granted(Action::Pull, repository)
    }

    /// Whether it may do this in all repositories.
    pub fn may_everywhere(&self, action: Action) -> bool {
        let everywhere = |grant: &Grant| grant.repositories.is_all() && grant.actions.contains(&action);
        self.narrowed.is_none() && self.grants.iter().any(everywhere)
    }

    fn is_granted(&self, action: Action, repository: &RepositoryName) -> bool {
        self.grants.iter().any(|grant| grant.allows(action, repository))
    }
}

const ANONYMOUS: &str = "anonymous";

/// Says who a caller is.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Lets a caller in, or not.
    async fn admit(&self, presented: &Presented) -> Result<Principal, Denial>;

    /// The header besides `Authorization` that a token may come in, in lower case.
    fn token_header(&self) -> Option<&str>;

    /// What makes tokens for a while, where this gate has them.
    fn issuer(&self) -> Option<&Issuer> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_grant_says_is_not_allowed() {
        let grants = vec!["pull,push:team/a".parse().unwrap(), "pull:team/a/**".parse().unwrap()];
        let principal = Principal::new("ci", grants);
        let check = |action, name: &str| principal.may(action, &name.parse().unwrap());
        assert!(check(Action::Push, "team/a") && check(Action::Pull, "team/a/b"));
        assert!(!check(Action::Push, "team/ab") && !check(Action::Push, "team"));
        assert!(!check(Action::Delete, "team/a") && !principal.may_everywhere(Action::Pull));
        assert!(!Principal::anonymous().may(Action::Push, &"a".parse().unwrap()));
    }

    #[test]
    fn a_narrowed_token_does_only_what_it_was_asked_for_and_what_is_granted() {
        let access = Access { repository: "team/a".parse().unwrap(), actions: Action::ALL.to_vec() };
        let narrowed = Some(Narrowed { access: vec![access], catalog: false });
        let principal = Principal { narrowed, ..Principal::new("ci", vec!["pull:**".parse().unwrap()]) };
        let (a, b) = ("team/a".parse().unwrap(), "team/b".parse().unwrap());
        assert!(principal.may(Action::Pull, &a) && principal.may_see(&a));
        assert!(!principal.may(Action::Push, &a), "asking does not grant");
        assert!(!principal.may(Action::Pull, &b) && !principal.may_see(&b), "it was not asked for");
        assert!(principal.may_ask_for(Action::Pull, &b) && !principal.may_ask_for(Action::Push, &b));
        assert!(!principal.may_everywhere(Action::Pull));
    }
}
