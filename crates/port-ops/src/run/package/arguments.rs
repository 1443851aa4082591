//! Boot arguments as kraft gives them: the kernel's own, ` -- `, the program's.
//!
//! Invariant: what reads them, a unikernel, gets the words that were given and nothing else. Its reader takes `"` and `'` for
//! quotes, newer ones `\` for an escape: within `"`, the others stand for themselves or cannot be said.

use port_model::{Cmdline, CmdlineError, Substrate};

/// Arguments that their reader would take for others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// A character that ends a quoted word, or makes another of the next one.
    #[error("`{word}` has a `{found}`: expected none, since unikernels read it as a quote or an escape")]
    Quote {
        /// The word, or the entry of the environment.
        word: String,
        /// The character.
        found: char,
    },
    /// Nothing that a kernel reads.
    #[error(transparent)]
    Cmdline(#[from] CmdlineError),
}

/// All of them; `own` are the kernel's. Unikernels take the first word for their name; for QEMU's multiboot it is QEMU that puts it there.
pub(super) fn boot(
    substrate: Substrate,
    own: impl IntoIterator<Item = String>,
    environment: &[String],
    command: &[String],
) -> Result<Cmdline, ArgumentError> {
    let mut words = Vec::new();
    if substrate != Substrate::Qemu {
        words.push("kernel".to_owned());
    }
    words.extend(own);
    if !environment.is_empty() {
        let values = environment.iter().map(|value| quoted(value)).collect::<Result<Vec<_>, _>>()?;
        words.push(format!("env.vars=[ {} ]", values.join(" ")));
    }
    if !words.is_empty() {
        words.push("--".to_owned());
    }
    for word in command {
        // A word that its reader would take for several, or for none, is quoted.
        let is_plain = !word.is_empty() && !word.contains([' ', '\'', '"', '\\']);
        words.push(if is_plain { word.clone() } else { quoted(word)? });
    }
    Ok(Cmdline::parse(&words.join(" "))?)
}

fn quoted(word: &str) -> Result<String, ArgumentError> {
    match word.chars().find(|letter| ['"', '\\'].contains(letter)) {
        Some(found) => Err(ArgumentError::Quote { word: word.to_owned(), found }),
        None => Ok(format!("\"{word}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn ku_32_arguments_are_written_as_kraft_writes_them() {
        let cases: [(Substrate, &[&str], &[&str], &str); 7] = [
            (Substrate::Qemu, &[], &[], ""),
            (Substrate::Qemu, &[], &["/server", "-v"], "/server -v"),
            (Substrate::Qemu, &["A=b c", "D="], &["/s"], "env.vars=[ \"A=b c\" \"D=\" ] -- /s"),
            (Substrate::Firecracker, &[], &[], "kernel --"),
            (Substrate::Firecracker, &["A=b"], &["a b", ""], "kernel env.vars=[ \"A=b\" ] -- \"a b\" \"\""),
            (Substrate::CloudHypervisor, &[], &["x"], "kernel -- x"),
            (Substrate::Qemu, &["A=it's"], &["it's"], "env.vars=[ \"A=it's\" ] -- \"it's\""),
        ];
        for (substrate, environment, command, expected) in cases {
            let found = boot(substrate, [], &words(environment), &words(command)).unwrap();
            assert_eq!(found.to_string(), expected);
        }
        let own = ["netdev.ip=10.0.0.2/8".to_owned()];
        let found = boot(Substrate::Qemu, own, &words(&["A=b"]), &words(&["/s"])).unwrap();
        assert_eq!(found.to_string(), "netdev.ip=10.0.0.2/8 env.vars=[ \"A=b\" ] -- /s");
        let control = ArgumentError::Cmdline(CmdlineError::Control('\n'));
        assert_eq!(boot(Substrate::Qemu, [], &[], &words(&["a\nb"])), Err(control));
    }

    #[test]
    fn ku_32_what_would_be_read_as_other_words_is_refused() {
        let cases: [(&[&str], &[&str], char); 6] = [
            (&[], &["a\" b \"c"], '"'),
            (&[], &["a\"b\""], '"'),
            (&[], &["say \"x\""], '"'),
            (&["A=1\" ] -- /other \""], &["/s"], '"'),
            (&["A=1\\"], &[], '\\'),
            (&[], &["a\\ b"], '\\'),
        ];
        for (environment, command, expected) in cases {
            match boot(Substrate::Qemu, [], &words(environment), &words(command)) {
                Err(ArgumentError::Quote { found, word }) => {
                    assert_eq!(found, expected, "{word}");
                    assert!(environment.contains(&word.as_str()) || command.contains(&word.as_str()));
                }
                other => panic!("{environment:?} {command:?}: {other:?}"),
            }
        }
    }
}
