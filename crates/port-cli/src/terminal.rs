//! The user's terminal in raw mode, and back, whatever happens.

use std::io::IsTerminal as _;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// While this lives, keys reach the guest one by one; dropping it restores the terminal.
#[derive(Debug)]
pub struct RawMode(Option<Termios>);

/// Whether both ends are a terminal, so that a person is there.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Columns and lines of the terminal; 80 × 24 where it does not say.
pub fn size() -> (u16, u16) {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

impl RawMode {
    /// Switches standard input to raw mode, if it is a terminal.
    pub fn enter() -> Self {
        let Ok(before) = tcgetattr(std::io::stdin()) else { return Self(None) };
        let mut raw = before.clone();
        raw.make_raw();
        match tcsetattr(std::io::stdin(), OptionalActions::Now, &raw) {
            Ok(()) => Self(Some(before)),
            // A terminal that cannot be switched is used as it is.
            Err(_) => Self(None),
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // At the end of everything: there is nobody left to tell.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// While this lives, the terminal does not show what is typed; dropping it restores the terminal.
#[derive(Debug)]
pub struct HiddenInput(Termios);

impl HiddenInput {
    /// Stops the echo of standard input; `None` where that cannot be done.
    pub fn enter() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // What was typed before the question is not its answer.
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden).ok()?;
        Some(Self(before))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
