//! `port workload list`.

use port_ops::workload::drivers::{DriverError, Record, Room, State, Status};
use serde::Serialize;

use super::rooms;
use crate::error::CommandError;
use crate::ui::{self, Ui};

#[derive(Serialize)]
struct Line {
    name: String,
    mode: String,
    command: Vec<String>,
    alive: bool,
    supervisor: u32,
    init: Option<u32>,
    warnings: Vec<String>,
    #[serde(flatten)]
    status: Status,
}

/// Lists them, by name.
pub(super) fn run(arguments: &rooms::Rooming, ui: Ui) -> Result<(), CommandError> {
    let rooms = arguments.rooms().all()?;
    let lines: Vec<Line> = rooms.iter().map(line).collect::<Result<_, DriverError>>()?;
    ui.report(&lines, || said(&lines))
}

fn line(room: &Room) -> Result<Line, DriverError> {
    let (alive, record) = match room.state()? {
        State::Alive(record) => (true, record),
        State::Ended(record) => (false, record),
    };
    let job = room.job()?;
    let (name, mode, command) = (job.name, job.mode, job.command);
    let Record { supervisor, init, warnings, status, .. } = record;
    Ok(Line { name, mode, command, alive, supervisor, init, warnings, status })
}

fn said(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "no workloads\n".to_owned();
    }
    let heading = ["NAME", "MODE", "STATE", "COMMAND"].map(str::to_owned).to_vec();
    let row = |line: &Line| {
        vec![line.name.clone(), line.mode.clone(), line.status.to_string(), line.command.join(" ")]
    };
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(lines.iter().map(row)).collect();
    ui::table(&rows)
}
