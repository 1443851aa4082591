//! `port doctor`.

use clap::Args;
use port_ops::DoctorReport;
use port_runtime::doctor::Status;

use crate::args::Global;
use crate::error::{CommandError, Exit};
use crate::ui::{self, Ui};
use crate::{env_vars, host};

/// Arguments of doctor.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Looks at the host; needs no configuration.
pub async fn run(_: &Arguments, _: &Global, ui: Ui) -> Result<(), CommandError> {
    let architecture = host::architecture()?;
    let environment = env_vars::environment(architecture);
    let report = port_ops::doctor(architecture, &environment, None).await;
    ui.report(&report, || text(&report))?;
    if report.ready {
        return Ok(());
    }
    Err(CommandError::new(Exit::Failed, "this host lacks something that building or booting needs"))
}

fn text(report: &DoctorReport) -> String {
    let word = |status| match status {
        Status::Ok => "ok",
        Status::Limited => "limited",
        Status::Missing => "missing",
    };
    let heading = ["STATUS", "WHAT", "FOR", "FOUND"].map(str::to_owned).to_vec();
    let rows = report.facts.iter().map(|fact| {
        vec![word(fact.status).to_owned(), fact.name.clone(), fact.purpose.clone(), fact.found.clone()]
    });
    let mut text = ui::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    for fact in report.facts.iter().filter(|fact| fact.status != Status::Ok) {
        if let Some(remedy) = &fact.remedy {
            text += &format!("\n{}: {remedy}", fact.name);
        }
    }
    if report.ready {
        text += "\n\nthis host can build and boot native variants";
    }
    text + "\n"
}
