//! `${NAME}` in texts (acceptance Vu-2, Vu-3, Vu-23). `$$` is a dollar sign; any other `$` is itself.
//!
//! A value is put in as it is and not looked through again, so what comes from outside cannot name further variables
//! or grow without end. The environment is asked through a function: nothing here reads it.

use std::collections::BTreeMap;

use port_model::suggest;

/// Most bytes that a text may have with its variables put in.
const LONGEST: usize = 64 * 1024;

/// The variables that are always there, but for `HOSTNAME`, which the host knows.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("VOLT_BASE", "/var/lib/volt"),
    ("VOLT_CAS_DIR", "/var/lib/volt/cas"),
    ("VOLT_RUN_DIR", "/var/run/volt"),
];

/// The variable that names the host.
pub const HOST_NAME: &str = "HOSTNAME";

/// Where values come from: the caller's, then the built-in ones, then the environment.
pub struct Variables<'e> {
    /// What the caller says; beats everything.
    pub overrides: BTreeMap<String, String>,
    /// The host's name.
    pub host_name: String,
    /// The process environment.
    pub environment: &'e dyn Fn(&str) -> Option<String>,
}

/// Whether `name` can name a variable: a letter or underscore, then letters, digits, underscores, dots.
pub fn is_variable_name(name: &str) -> bool {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
}

impl Variables<'_> {
    fn value(&self, name: &str) -> Option<String> {
        if let Some(value) = self.overrides.get(name) {
            return Some(value.clone());
        }
        if name == HOST_NAME {
            return Some(self.host_name.clone());
        }
        let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
        built_in.map(|(_, value)| (*value).to_owned()).or_else(|| (self.environment)(name))
    }

    /// The text with its variables put in, and what is wrong with it: `(message, hint)` each.
    pub(crate) fn substitute(&self, text: &str) -> (String, Vec<(String, String)>) {
        let (mut out, mut wrong) = (String::new(), Vec::new());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, after) = rest.split_at(dollar);
            out.push_str(before);
            let after = after.get(1..).unwrap_or_default();
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(after) = after.strip_prefix('{') {
                rest = self.variable(after, &mut out, &mut wrong);
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        if out.len() > LONGEST {
            let message =
                format!("is {} bytes long with its variables: at most {LONGEST} are taken", out.len());
            wrong.push((message, "a variable holds more than was meant".to_owned()));
            out.clear();
        }
        (out, wrong)
    }

    /// Puts in the variable whose name `after` begins with; gives what stands behind its brace.
    fn variable<'t>(&self, after: &'t str, out: &mut String, wrong: &mut Vec<(String, String)>) -> &'t str {
        const LITERAL: &str = "a dollar sign of its own is written `$$`";
        let Some((name, rest)) = after.split_once('}') else {
            wrong.push(("opens a variable with `${` and does not close it".to_owned(), LITERAL.to_owned()));
            return "";
        };
        if !is_variable_name(name) {
            let message = format!(
                "`{name}` cannot name a variable: expected a letter or `_`, then letters, digits, `_` and `.`"
            );
            wrong.push((message, LITERAL.to_owned()));
        } else if let Some(value) = self.value(name) {
            out.push_str(&value);
        } else {
            let nearest = suggest::did_you_mean(name, &self.known());
            let message = format!("the variable `{name}` has no value{nearest}");
            wrong.push((
                message,
                format!("give it one with `--set {name}=…` or in the environment; {LITERAL}"),
            ));
        }
        rest
    }

    fn known(&self) -> Vec<&str> {
        let built_in = BUILT_IN.iter().map(|(name, _)| *name);
        self.overrides.keys().map(String::as_str).chain([HOST_NAME]).chain(built_in).collect()
    }
}

/// The text such that substitution gives `text` again.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        out.push(c);
        if c == '$' && matches!(characters.peek(), Some('$' | '{')) {
            out.push('$');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "ONLY_HERE" => Some("environment".to_owned()),
            "VOLT_BASE" | "HOSTNAME" | "OVERRIDE" => Some("the environment must not win".to_owned()),
            "NESTED" => Some("${ONLY_HERE}$$".to_owned()),
            _ => None,
        }
    }

    fn variables() -> Variables<'static> {
        let overrides = [("OVERRIDE", "caller"), ("VOLT_RUN_DIR", "/run/mine"), ("a.b_1", "dotted")];
        let overrides = overrides.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Variables { overrides, host_name: "host-1".to_owned(), environment: &environment }
    }

    #[test]
    fn vu_2_names_of_variables() {
        for good in ["A", "_", "_1", "a.b.c", "A1_"] {
            assert!(is_variable_name(good), "{good}");
        }
        for bad in ["", "1A", ".a", "a-b", "a b", "é", "${A"] {
            assert!(!is_variable_name(bad), "{bad}");
        }
    }

    #[test]
    fn vu_3_the_caller_beats_built_ins_and_the_environment() {
        for (text, expected) in [
            ("${HOSTNAME}", "host-1"),
            ("${VOLT_BASE}/x", "/var/lib/volt/x"),
            ("${VOLT_CAS_DIR}", "/var/lib/volt/cas"),
            ("${VOLT_RUN_DIR}", "/run/mine"),
            ("${OVERRIDE}${ONLY_HERE}", "callerenvironment"),
            ("${a.b_1}", "dotted"),
            ("${NESTED}", "${ONLY_HERE}$$"),
            ("$HOME $ $", "$HOME $ $"),
            ("é${OVERRIDE}é", "écalleré"),
        ] {
            assert_eq!(variables().substitute(text), (expected.to_owned(), vec![]), "{text}");
        }
        let plain =
            Variables { overrides: BTreeMap::new(), host_name: String::new(), environment: &|_| None };
        assert_eq!(plain.substitute("${VOLT_RUN_DIR}").0, "/var/run/volt");
    }

    #[test]
    fn vu_23_unresolved_variables_are_named_and_two_dollars_are_one() {
        assert_eq!(variables().substitute("$$ $${OVERRIDE} $$$$").0, "$ ${OVERRIDE} $$");
        for (text, parts) in [
            ("${NOPE}-${OVERRIDE}-${NEITHER}", &["`NOPE`", "`NEITHER`"] as &[&str]),
            ("${HOSTNMAE}", &["did you mean `HOSTNAME`?"]),
            ("${1A}", &["`1A` cannot name"]),
            ("${}", &["`` cannot name"]),
            ("x${OPEN", &["does not close it"]),
        ] {
            let (_, wrong) = variables().substitute(text);
            assert_eq!(wrong.len(), parts.len(), "{wrong:?}");
            for ((message, _), part) in wrong.iter().zip(parts) {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn a_value_without_end_is_refused() {
        let large = |_: &str| Some("x".repeat(LONGEST / 2));
        let variables =
            Variables { overrides: BTreeMap::new(), host_name: String::new(), environment: &large };
        assert_eq!(variables.substitute("${A}${A}").1, vec![]);
        assert_eq!(variables.substitute("${A}${A}x").1.len(), 1);
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in "[$}{aA ]{0,20}") {
            prop_assert_eq!(variables().substitute(&escape(&text)), (text, vec![]));
        }
    }
}
