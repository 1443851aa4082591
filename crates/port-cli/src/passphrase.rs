//! The passphrase of a private key: from the environment, from standard input, or from an unseen line. Never from an argument.

use std::io::{IsTerminal as _, Read as _};

use clap::Args;
use port_registry::Secret;

use crate::env_vars;
use crate::error::{CommandError, Exit};
use crate::terminal::HiddenInput;
use crate::ui::Ui;

/// The longest passphrase that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Where the passphrase comes from.
#[derive(Debug, Clone, Copy, Args)]
pub struct PassphraseFlags {
    /// Read the passphrase from standard input; without it, from `PORT_KEY_PASSPHRASE` or `COSIGN_PASSWORD`, else ask for it.
    #[arg(long)]
    passphrase_stdin: bool,
}

/// How often it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Once, to open a key.
    Once,
    /// Twice, to seal one: a slip would lose it.
    Twice,
}

impl PassphraseFlags {
    /// The passphrase; `None` where the user gave up.
    pub async fn read(self, key: &str, ask: Ask, ui: Ui) -> Result<Option<Secret>, CommandError> {
        if self.passphrase_stdin {
            return all_of_input().map(Some);
        }
        let known = [env_vars::KEY_PASSPHRASE, env_vars::COSIGN_PASSWORD];
        if let Some(passphrase) = known.into_iter().find_map(env_vars::get) {
            return Ok(Some(Secret::new(passphrase)));
        }
        let Some(first) = line(&format!("Passphrase of `{key}`: "), ui).await? else { return Ok(None) };
        if ask == Ask::Twice {
            let Some(again) = line("Once more: ", ui).await? else { return Ok(None) };
            if again.expose() != first.expose() {
                return Err(CommandError::new(Exit::Failed, "the two passphrases differ: no key was made"));
            }
        }
        Ok(Some(first))
    }
}

/// All of standard input, without the line end that `echo` adds.
fn all_of_input() -> Result<Secret, CommandError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error.to_string()))?;
    if bytes.len() as u64 > LONGEST {
        return Err(unreadable(&format!("expected at most {LONGEST} bytes, found more")));
    }
    // The bytes are part of this error, so it is not shown.
    let text = String::from_utf8(bytes).map_err(|_| unreadable("expected UTF-8 text, found other bytes"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}

async fn line(question: &str, ui: Ui) -> Result<Option<Secret>, CommandError> {
    if !std::io::stdin().is_terminal() {
        let message = "there is no terminal to ask for the passphrase";
        let hint = "say `--passphrase-stdin`, or set `PORT_KEY_PASSPHRASE`";
        return Err(CommandError::new(Exit::Usage, message).hint(hint));
    }
    let Some(hidden) = HiddenInput::enter() else {
        let message = "the terminal cannot hide what is typed, so the passphrase is not asked for";
        return Err(CommandError::new(Exit::Failed, message).hint("say `--passphrase-stdin`"));
    };
    // Asked for even with `--quiet`: without the question nobody knows what is waited for.
    ui.raw_stderr(question.as_bytes()).map_err(|error| unreadable(&error.to_string()))?;
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next().transpose());
    let line = tokio::select! {
        line = line => Some(line),
        // Dying by the signal would leave the terminal mute.
        _ = tokio::signal::ctrl_c() => None,
    };
    drop(hidden);
    let _ = ui.raw_stderr(b"\n");
    let Some(line) = line else { return Ok(None) };
    let line = line.map_err(std::io::Error::other).and_then(|line| line);
    line.map(|line| line.map(Secret::new)).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(reason: &str) -> CommandError {
    CommandError::new(Exit::Failed, format!("the passphrase cannot be read: {reason}"))
}
