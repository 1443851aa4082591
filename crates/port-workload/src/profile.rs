//! `security.landlock_profile` and `security.seccomp_profile`: a word, or the absolute path of a file with rules
//! (acceptance V-24, V-25, Vu-17, C-43). What the rules are is the drivers' business.

use std::path::PathBuf;
use std::str::FromStr;

use port_model::suggest;
use serde::Serialize;

use crate::words::{LandlockWord, SeccompWord};

/// Rules by their word or their file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile<W> {
    /// Rules that the driver knows.
    Known(W),
    /// Rules in a file.
    File(PathBuf),
}

/// Reads `security.landlock_profile`. The error completes a finding.
pub fn landlock(text: &str) -> Result<Profile<LandlockWord>, String> {
    if text == LandlockWord::Custom.as_str() {
        return Err(
            "expected the absolute path of a file with rules, found the bare word `custom`".to_owned()
        );
    }
    let words = ["strict", "default", "permissive"];
    profile(text, "Landlock", &words)
}

/// Reads `security.seccomp_profile`. The error completes a finding.
pub fn seccomp(text: &str) -> Result<Profile<SeccompWord>, String> {
    profile(text, "seccomp", SeccompWord::WORDS)
}

fn profile<W: FromStr>(text: &str, what: &str, words: &[&str]) -> Result<Profile<W>, String> {
    if text.starts_with('/') {
        return match text.split('/').any(|part| part == "..") {
            true => {
                Err(format!("expected the path of a file with {what} rules without `..`, found `{text}`"))
            }
            false => Ok(Profile::File(text.into())),
        };
    }
    text.parse().map(Profile::Known).map_err(|_| {
        let nearest = suggest::did_you_mean(text, words);
        format!(
            "expected {} or the absolute path of a file with {what} rules, found `{text}`{nearest}",
            words.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_24_v_25_vu_17_c_43_a_profile_is_a_word_or_an_absolute_path() {
        assert_eq!(landlock("strict"), Ok(Profile::Known(LandlockWord::Strict)));
        assert_eq!(landlock("/etc/rules.toml"), Ok(Profile::File("/etc/rules.toml".into())));
        assert_eq!(seccomp("unconfined"), Ok(Profile::Known(SeccompWord::Unconfined)));
        assert_eq!(seccomp("/etc/rules.json"), Ok(Profile::File("/etc/rules.json".into())));
        for (error, part) in [
            (landlock("custom").unwrap_err(), "the bare word `custom`"),
            (landlock("rules.toml").unwrap_err(), "absolute path"),
            (landlock("unconfined").unwrap_err(), "strict, default, permissive or"),
            (landlock("defualt").unwrap_err(), "did you mean `default`?"),
            (landlock("/etc/../x").unwrap_err(), "without `..`"),
            (seccomp("permissive").unwrap_err(), "default, strict, unconfined or"),
            (seccomp("custom").unwrap_err(), "absolute path"),
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
