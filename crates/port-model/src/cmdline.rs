//! Kernel boot arguments: parse, join, look up, replace. Order is kept; later values win, as in Linux.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `COMMAND_LINE_SIZE` of x86 and arm64 Linux, in bytes, less the terminating zero.
pub const LONGEST: usize = 2047;

/// Boot arguments, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cmdline(Vec<String>);

/// Boot arguments that a kernel would not read as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    /// Longer than the kernel's buffer.
    #[error("the boot arguments are {0} bytes long: the kernel reads at most {LONGEST}")]
    TooLong(usize),
    /// A control character would end the line or confuse the console.
    #[error("the boot arguments hold the control character {0:?}")]
    Control(char),
    /// A quote is opened and never closed.
    #[error("the boot arguments open a quote and do not close it")]
    OpenQuote,
}

impl Cmdline {
    /// Splits `text` at spaces outside double quotes.
    ///
    /// # Errors
    /// [`CmdlineError`] where the kernel would cut or misread the line.
    pub fn parse(text: &str) -> Result<Self, CmdlineError> {
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(CmdlineError::Control(c));
        }
        if text.len() > LONGEST {
            return Err(CmdlineError::TooLong(text.len()));
        }
        let mut arguments = vec![String::new()];
        let mut quoted = false;
        for c in text.chars() {
            quoted ^= c == '"';
            match arguments.last_mut() {
                Some(last) if c != ' ' || quoted => last.push(c),
                _ => arguments.push(String::new()),
            }
        }
        if quoted {
            return Err(CmdlineError::OpenQuote);
        }
        arguments.retain(|argument| !argument.is_empty());
        Ok(Self(arguments))
    }

    /// The last value of `key`: `Some("")` for a bare word, `None` where it is absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find_map(|argument| match argument.split_once('=') {
            Some((name, value)) if name == key => Some(value),
            None if argument == key => Some(""),
            _ => None,
        })
    }

    /// Appends `key=value` unless `key` is there already: what the user wrote wins.
    pub fn default_to(&mut self, key: &str, value: &str) {
        if self.get(key).is_none() {
            self.push(key, value);
        }
    }

    /// Appends `key=value`, or `key` alone for an empty value.
    pub fn push(&mut self, key: &str, value: &str) {
        self.0.push(if value.is_empty() { key.to_owned() } else { format!("{key}={value}") });
    }

    /// Checks the length again after arguments were added.
    pub fn check(&self) -> Result<(), CmdlineError> {
        Self::parse(&self.to_string()).map(|_| ())
    }
}

impl fmt::Display for Cmdline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl TryFrom<String> for Cmdline {
    type Error = CmdlineError;

    fn try_from(text: String) -> Result<Self, CmdlineError> {
        Self::parse(&text)
    }
}

impl From<Cmdline> for String {
    fn from(cmdline: Cmdline) -> Self {
        cmdline.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_wins_and_quotes_hold_spaces() {
        let cmdline = Cmdline::parse("console=ttyS0  ro a=\"b c\" console=hvc0").unwrap();
        assert_eq!(cmdline.get("console"), Some("hvc0"));
        assert_eq!(cmdline.get("ro"), Some(""));
        assert_eq!(cmdline.get("a"), Some("\"b c\""));
        assert_eq!(cmdline.get("rw"), None);
        assert_eq!(cmdline.to_string(), "console=ttyS0 ro a=\"b c\" console=hvc0");
    }

    #[test]
    fn what_the_kernel_would_misread_is_refused() {
        assert_eq!(Cmdline::parse("a\nb"), Err(CmdlineError::Control('\n')));
        assert_eq!(Cmdline::parse("a=\"b"), Err(CmdlineError::OpenQuote));
        assert_eq!(Cmdline::parse(&"a".repeat(2048)), Err(CmdlineError::TooLong(2048)));
    }
}
