//! What a token may do, as an operator writes it: `pull,push:team/**`. Scopes are pull, push, delete and admin, which is everything.

use std::fmt;
use std::str::FromStr;

use super::{Action, Pattern, PatternError};
use crate::name::RepositoryName;

/// Some actions in some repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The actions.
    pub actions: Vec<Action>,
    /// Where.
    pub repositories: Pattern,
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It has another shape.
    #[error("`{0}` is no scope: expected ACTIONS:REPOSITORIES, as in `pull,push:team/**`")]
    Shape(String),
    /// It names another action.
    #[error("`{0}` is no action: expected pull, push, delete or admin")]
    Action(String),
    /// Its pattern is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Grant {
    /// Everything, everywhere.
    pub fn everything() -> Self {
        Self { actions: Action::ALL.to_vec(), repositories: Pattern::all() }
    }

    /// Whether it allows this.
    pub fn allows(&self, action: Action, repository: &RepositoryName) -> bool {
        self.actions.contains(&action) && self.repositories.covers(repository)
    }
}

impl FromStr for Grant {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let shape = || ScopeError::Shape(text.chars().take(80).collect());
        let (words, pattern) = text.split_once(':').ok_or_else(shape)?;
        let mut actions = Vec::new();
        for word in words.split(',') {
            match Action::ALL.into_iter().find(|action| action.word() == word) {
                Some(action) => actions.push(action),
                None if word == "admin" => actions.extend(Action::ALL),
                None => return Err(ScopeError::Action(word.chars().take(80).collect())),
            }
        }
        actions.sort();
        actions.dedup();
        Ok(Self { actions, repositories: pattern.parse()? })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.actions == Action::ALL {
            return write!(f, "admin:{}", self.repositories);
        }
        let words: Vec<&str> = self.actions.iter().map(|action| action.word()).collect();
        write!(f, "{}:{}", words.join(","), self.repositories)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_and_written() {
        for (text, written) in [
            ("pull:**", "pull:**"),
            ("push,pull,pull:team/*", "pull,push:team/*"),
            ("admin:a", "admin:a"),
            ("delete,push,pull:a", "admin:a"),
        ] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), written);
        }
        for bad in ["", "pull", ":a", "pull:", "pull,:a", "Pull:a", "write:a", "pull:a:b"] {
            assert!(bad.parse::<Grant>().is_err(), "{bad:?} was taken");
        }
    }
}
