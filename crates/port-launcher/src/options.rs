//! The command line, and nothing else.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt as _};

pub(crate) const USAGE: &str = "\
usage: port-launcher [--await-network] [--capabilities MASK] [--no-new-privileges] [--read PATH]... [--write PATH]... [--write-all]
                     [--best-effort] [--root DIRECTORY] [--init] -- COMMAND [ARGUMENT]...

  --await-network       wait for a default route first
  --capabilities MASK   keep at most these capabilities: a hexadecimal mask as in /proc/self/status
  --no-new-privileges   no program that is started gains rights
  --read PATH           with Landlock: allow reading and executing below PATH
  --write PATH          with Landlock: allow everything but making devices below PATH
  --write-all           the same for every entry of / but /proc and /sys
  --best-effort         go on where the kernel knows no Landlock
  --root DIRECTORY      make DIRECTORY the root first, and let the one before go
  --init                start the command instead of becoming it, reap all processes, end with its status
  --help, --version

Without --read, --write and --write-all there are no Landlock rules. Paths that are not there are left out.";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// Confine and become the command.
    Launch(Options),
    /// Print this and end.
    Tell(String),
}

/// How to confine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) await_network: bool,
    pub(crate) capabilities: Option<u64>,
    pub(crate) no_new_privileges: bool,
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
    pub(crate) write_all: bool,
    pub(crate) best_effort: bool,
    pub(crate) root: Option<PathBuf>,
    pub(crate) init: bool,
    pub(crate) command: Vec<OsString>,
}

pub(crate) fn parse(mut parser: Parser) -> Result<Invocation, lexopt::Error> {
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("await-network") => options.await_network = true,
            Arg::Long("capabilities") => {
                let mask = |text: &str| u64::from_str_radix(text, 16);
                options.capabilities = Some(parser.value()?.parse_with(mask)?);
            }
            Arg::Long("no-new-privileges") => options.no_new_privileges = true,
            Arg::Long("read") => options.read.push(parser.value()?.into()),
            Arg::Long("write") => options.write.push(parser.value()?.into()),
            Arg::Long("write-all") => options.write_all = true,
            Arg::Long("root") => options.root = Some(parser.value()?.into()),
            Arg::Long("init") => options.init = true,
            Arg::Long("best-effort") => options.best_effort = true,
            Arg::Long("help") => return Ok(Invocation::Tell(USAGE.to_owned())),
            Arg::Long("version") => {
                return Ok(Invocation::Tell(format!("port-launcher {}", env!("CARGO_PKG_VERSION"))));
            }
            Arg::Value(program) => {
                options.command.push(program);
                options.command.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if options.command.is_empty() {
        return Err("expected a command, found none".into());
    }
    Ok(Invocation::Launch(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_command_is_the_commands() {
        let words = [
            "--read",
            "/usr",
            "--await-network",
            "--capabilities",
            "a80425fb",
            "--no-new-privileges",
            "--root",
            "/srv/root",
            "--init",
            "--",
            "/bin/sh",
            "--write",
        ];
        let expected = Options {
            await_network: true,
            capabilities: Some(0xa804_25fb),
            no_new_privileges: true,
            read: vec!["/usr".into()],
            root: Some("/srv/root".into()),
            init: true,
            command: vec!["/bin/sh".into(), "--write".into()],
            ..Options::default()
        };
        assert_eq!(parse(Parser::from_args(words)).unwrap(), Invocation::Launch(expected));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for words in
            [&["--read"][..], &["--colour", "--", "x"], &["--capabilities", "x", "--", "x"], &["--write-all"]]
        {
            assert!(parse(Parser::from_args(words)).is_err(), "{words:?}");
        }
    }
}
