//! `pty`: a command on a terminal of its own.

use port_guest_protocol::{HostFrame, RequestId};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::connection::Connection;
use crate::dispatch::{Agent, Finish};
use crate::error::OperationError;
use crate::program::{Program, Streams};
use crate::pump::Pump;

/// A terminal's size in the kernel's words.
pub(crate) fn size(cols: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }
}

pub(crate) fn run(
    agent: &Agent,
    connection: &mut Connection,
    id: &RequestId,
    program: &Program<'_>,
    size: Winsize,
) -> Result<Finish, OperationError> {
    let failed = |operation| OperationError::system(operation, "terminal");
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).map_err(failed("open"))?;
    rustix::pty::unlockpt(&master).map_err(failed("unlock"))?;
    // Through the master and not by a path: the guest's /dev/pts may be another instance, or absent.
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(failed("open the other side of"))?;
    rustix::termios::tcsetwinsize(&master, size).map_err(failed("size"))?;
    let mut env = program.env.clone();
    env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
    let program = Program { env: &env, ..*program };
    let running = program.start(agent, Streams::Terminal(slave))?;
    let mut pump = Pump::terminal(running, &master)?;
    connection.accept(id, "pty", None)?;
    let code = pump.run(connection, |frame| {
        if let HostFrame::Resize { cols, rows } = frame {
            // Only a terminal that is gone refuses, and then the command's end is on its way.
            let _ = rustix::termios::tcsetwinsize(&master, self::size(cols, rows));
        }
    })?;
    Ok(Finish::Exit(code))
}
