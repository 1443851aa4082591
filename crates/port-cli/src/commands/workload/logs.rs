//! `port workload logs`.

use std::time::Duration;

use clap::Args;
use port_ops::workload::drivers::{LogReader, Room, State};

use super::rooms;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// How often a log that is followed is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Arguments of logs.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The workload.
    #[arg(value_name = "NAME")]
    name: String,
    /// Go on until the workload ends.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    rooms: rooms::Rooming,
}

/// Prints what is kept of its output, oldest first, byte for byte.
pub(super) async fn run(arguments: &Arguments, ui: Ui) -> Result<(), CommandError> {
    let room = arguments.rooms.rooms().known(&arguments.name)?;
    let mut reader = LogReader::open(&room.log_file());
    let mut buffer = vec![0; 64 << 10];
    loop {
        // Asked before the reading: what was written before the end is read after it.
        let goes_on = arguments.follow && is_alive(&room)?;
        while let length @ 1.. = reader.next_bytes(&mut buffer)? {
            let bytes = buffer.get(..length).unwrap_or_default();
            match ui.raw_stdout(bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(|error| CommandError::new(Exit::Failed, error.to_string()))?,
            }
        }
        if !goes_on {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn is_alive(room: &Room) -> Result<bool, CommandError> {
    Ok(matches!(room.state()?, State::Alive(_)))
}
