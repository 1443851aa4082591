//! The command line, and nothing else: no option is read from the environment or a file.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

pub(crate) const USAGE: &str = "\
usage: port-guest-agent [--socket PATH] [--vsock-port PORT] [--serial PATH|auto] [--root DIRECTORY]
       port-guest-agent console -- COMMAND [ARGUMENT]...

  --socket PATH             listen on a Unix socket (published: /run/port/guest-agent.sock)
  --vsock-port PORT         listen on vsock for the host (published: 7000)
  --serial PATH|auto        serve a serial port; `auto` finds the virtio port org.port.agent.0
  --root DIRECTORY          take guest paths under this directory (default: /)
  --max-connections COUNT   serve at most so many connections at once (default: 32)
  --handshake-seconds COUNT give a connection so long for its first request (default: 30)
  --help, --version

At least one of --socket, --vsock-port and --serial is needed. The agent ends the machine on request only where
its root is /. `console` becomes COMMAND on the machine's console, which is then its controlling terminal.";

/// What to do.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Serve.
    Serve(Options),
    /// Become this command on the console.
    Console(Vec<String>),
    /// Print this and end.
    Tell(String),
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) socket: Option<PathBuf>,
    pub(crate) vsock_port: Option<u32>,
    pub(crate) serial: Option<SerialChoice>,
    pub(crate) root: PathBuf,
    pub(crate) max_connections: usize,
    pub(crate) handshake: Duration,
}

/// Which serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SerialChoice {
    /// The virtio port with the agent's name, as soon as there is one.
    Auto,
    /// This device.
    Path(PathBuf),
}

impl fmt::Display for SerialChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Path(path) => write!(formatter, "{}", path.display()),
        }
    }
}

pub(crate) fn parse(mut parser: Parser) -> Result<Invocation, lexopt::Error> {
    let mut options = Options {
        socket: None,
        vsock_port: None,
        serial: None,
        root: PathBuf::from("/"),
        max_connections: 32,
        handshake: Duration::from_secs(30),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("socket") => options.socket = Some(parser.value()?.into()),
            Arg::Long("vsock-port") => options.vsock_port = Some(parser.value()?.parse()?),
            Arg::Long("serial") => {
                let value = parser.value()?;
                let auto = value == "auto";
                options.serial =
                    Some(if auto { SerialChoice::Auto } else { SerialChoice::Path(value.into()) });
            }
            Arg::Long("root") => options.root = parser.value()?.into(),
            Arg::Long("max-connections") => options.max_connections = parser.value()?.parse()?,
            Arg::Long("handshake-seconds") => {
                options.handshake = Duration::from_secs(parser.value()?.parse::<u32>()?.into());
            }
            Arg::Long("help") | Arg::Short('h') => return Ok(Invocation::Tell(USAGE.to_owned())),
            Arg::Long("version") => {
                return Ok(Invocation::Tell(
                    concat!("port-guest-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
                ));
            }
            Arg::Value(word) if word == "console" => return console(parser),
            other => return Err(other.unexpected()),
        }
    }
    if options.socket.is_none() && options.vsock_port.is_none() && options.serial.is_none() {
        return Err("expected at least one of --socket, --vsock-port and --serial, found none".into());
    }
    Ok(Invocation::Serve(options))
}

fn console(mut parser: Parser) -> Result<Invocation, lexopt::Error> {
    let words = parser.raw_args()?.map(ValueExt::string).collect::<Result<Vec<_>, _>>()?;
    match words.split_first() {
        Some((separator, command)) if separator == "--" && !command.is_empty() => {
            Ok(Invocation::Console(command.to_vec()))
        }
        _ => Err("expected `--` and a command after `console`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pu_39_the_published_command_line_is_understood() {
        let line = ["--socket", "/run/port/guest-agent.sock", "--vsock-port", "7000", "--root", "/"];
        let Ok(Invocation::Serve(options)) = parse(Parser::from_args(line)) else { panic!("refused") };
        assert_eq!(options.socket, Some("/run/port/guest-agent.sock".into()));
        assert_eq!((options.vsock_port, options.root), (Some(7000), "/".into()));
        assert_eq!(options.serial, None);
    }

    #[test]
    fn a_consoles_command_is_taken_as_it_is() {
        let Ok(Invocation::Console(command)) =
            parse(Parser::from_args(["console", "--", "sh", "-l", "--help"]))
        else {
            panic!("refused")
        };
        assert_eq!(command, ["sh", "-l", "--help"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, expected) in [
            (&[][..], "at least one of --socket"),
            (&["--root", "/"], "at least one of --socket"),
            (&["--vsock-port", "many"], "many"),
            (&["--what"], "--what"),
            (&["stray"], "stray"),
            (&["console"], "after `console`"),
            (&["console", "--"], "after `console`"),
            (&["console", "sh"], "after `console`"),
        ] {
            let error = parse(Parser::from_args(line)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let Ok(Invocation::Serve(options)) = parse(Parser::from_args(["--serial", "auto"])) else { panic!() };
        assert_eq!(options.serial, Some(SerialChoice::Auto));
    }
}
