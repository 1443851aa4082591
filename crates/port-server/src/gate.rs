//! Who may do what. The seam behind which tokens live: the faces know [`Gate`] and [`Principal`], and nothing of how a caller proves
//! who it is.
//!
//! ```text
//! request ─► Presented (header, audience) ─► Gate::admit ─► Principal ─► may(Action, repository)
//!                                               └─ Denial: 401 before a byte of the body is read
//! ```

mod one_token;

use async_trait::async_trait;

pub use one_token::{AnonymousPull, OneToken};

use crate::name::RepositoryName;

/// What a request shows of its sender.
#[derive(Clone, Default)]
pub struct Presented {
    /// The token, whatever header and scheme it came in.
    pub token: Option<String>,
    /// Which control plane the sender believes to talk to.
    pub audience: Option<String>,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Remove.
    Delete,
    /// Look at everything that there is.
    List,
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
}

/// What a principal may do in some repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The actions.
    pub actions: Vec<Action>,
    /// Where.
    pub repositories: Repositories,
}

/// Which repositories a grant is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repositories {
    /// All of them.
    All,
    /// Those whose name starts so and goes on with `/`, or is this.
    Below(String),
}

impl Repositories {
    fn cover(&self, repository: &RepositoryName) -> bool {
        match self {
            Self::All => true,
            Self::Below(prefix) => {
                let rest = repository.as_str().strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

impl Principal {
    /// Somebody without a name, who may only read.
    pub fn anonymous() -> Self {
        let grant = Grant { actions: vec![Action::Pull, Action::List], repositories: Repositories::All };
        Self { name: ANONYMOUS.to_owned(), grants: vec![grant] }
    }

    /// Whether somebody who showed nothing.
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// Whether it may do this in that repository. What no grant says is not allowed.
    pub fn may(&self, action: Action, repository: &RepositoryName) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.actions.contains(&action) && grant.repositories.cover(repository))
    }

    /// Whether it may do this in all repositories.
    pub fn may_everywhere(&self, action: Action) -> bool {
        let everywhere = |grant: &&Grant| grant.repositories == Repositories::All;
        self.grants.iter().filter(everywhere).any(|grant| grant.actions.contains(&action))
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_grant_says_is_not_allowed() {
        let grant = Grant {
            actions: vec![Action::Pull, Action::Push],
            repositories: Repositories::Below("team/a".to_owned()),
        };
        let principal = Principal { name: "ci".to_owned(), grants: vec![grant] };
        let check = |action, name: &str| principal.may(action, &name.parse().unwrap());
        assert!(check(Action::Push, "team/a") && check(Action::Pull, "team/a/b"));
        assert!(!check(Action::Push, "team/ab") && !check(Action::Push, "team"));
        assert!(!check(Action::Delete, "team/a") && !principal.may_everywhere(Action::Pull));
        assert!(!Principal::anonymous().may(Action::Push, &"a".parse().unwrap()));
    }
}
