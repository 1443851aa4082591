//! What a token is for: actions on repositories, as token services write them.

use std::collections::{BTreeMap, BTreeSet};

/// The longest scope of a challenge that is looked at, in bytes.
const LONGEST: usize = 2048;

/// A set of actions on repositories. Equal sets are written equally.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Read from a repository.
    pub(crate) fn pull(repository: &str) -> Self {
        Self::default().and(repository, &["pull"])
    }

    /// Read from and write to a repository.
    pub(crate) fn push(repository: &str) -> Self {
        Self::default().and(repository, &["pull", "push"])
    }

    /// Also these actions.
    #[must_use]
    pub(crate) fn and(mut self, repository: &str, actions: &[&str]) -> Self {
        let set = self.0.entry(format!("repository:{repository}")).or_default();
        set.extend(actions.iter().map(|action| (*action).to_owned()));
        self
    }

    /// Also what a challenge asks for.
    ///
    /// Actions on resources that were never asked about are added only where `own_realm` says that the token service
    /// is the registry itself: else a registry could have us fetch tokens for other repositories.
    #[must_use]
    pub(crate) fn with_challenge(mut self, scope: &str, own_realm: bool) -> Self {
        if scope.len() > LONGEST {
            return self;
        }
        for part in scope.split_ascii_whitespace() {
            let Some((resource, actions)) = part.rsplit_once(':') else { continue };
            if !own_realm && !self.0.contains_key(resource) {
                continue;
            }
            let set = self.0.entry(resource.to_owned()).or_default();
            set.extend(actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned));
        }
        self
    }

    /// As token services write them, one text per resource.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_grow_only_where_they_may() {
        let texts = |scopes: &Scopes| scopes.texts().collect::<Vec<_>>().join(" ");
        let scopes = Scopes::push("a/b").and("c", &["pull"]);
        assert_eq!(texts(&scopes), "repository:a/b:pull,push repository:c:pull");
        let wanted = "repository:a/b:delete,pull repository:victim:pull";
        assert_eq!(
            texts(&Scopes::push("a/b").with_challenge(wanted, false)),
            "repository:a/b:delete,pull,push"
        );
        assert!(texts(&Scopes::pull("a").with_challenge(wanted, true)).contains("victim"));
    }
}
