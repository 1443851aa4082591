//! `[security]`: profiles and capabilities that exist (acceptance V-24 … V-27, Vu-17, Vu-18).

use std::collections::BTreeMap;

use crate::manifest::Security;
use crate::problem::Problems;
use crate::{capability, profile};

pub(super) fn check(security: &Security, problems: &mut Problems) {
    if let Some(text) = &security.landlock_profile {
        problems.take("security.landlock_profile", profile::landlock(text));
    }
    if let Some(text) = &security.seccomp_profile {
        problems.take("security.seccomp_profile", profile::seccomp(text));
    }
    let mut seen = BTreeMap::new();
    let named =
        super::items("security.capabilities", security.capabilities.as_ref(), capability::parse, problems);
    for (key, name) in named {
        if let Some(earlier) = seen.get(name) {
            problems.warning(key, format!("`{name}` stands at `{earlier}` already"), "once is enough");
        } else {
            seen.insert(name, key);
        }
    }
}
