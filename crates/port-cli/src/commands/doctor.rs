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
    let lacking = report.lacking().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = format!("this host lacks what building and booting native variants needs: {lacking}");
    Err(CommandError::new(Exit::Failed, message))
}

fn text(report: &DoctorReport) -> String {
    let word = |status| match status {
        Status::Ok => "ok",
        Status::Limited => "limited",
        Status::Missing => "missing",
    };
    let heading = ["STATUS", "WHAT", "NEEDED", "FOR", "FOUND"].map(str::to_owned).to_vec();
    let rows = report.facts.iter().map(|fact| {
        let needed = if fact.required { "yes" } else { "" }.to_owned();
        vec![
            word(fact.status).to_owned(),
            fact.name.clone(),
            needed,
            fact.purpose.clone(),
            fact.found.clone(),
        ]
    });
    let mut text = ui::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    for fact in report.facts.iter().filter(|fact| fact.status != Status::Ok) {
        for more in fact.reason.iter().chain(&fact.remedy) {
            text += &format!("\n{}: {more}", fact.name);
        }
    }
    if report.ready {
        text += "\n\nthis host can build and boot native variants";
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use port_runtime::doctor::Fact;

    use super::*;

    #[test]
    fn what_is_needed_is_told_and_long_reasons_stand_below_the_table() {
        let facts = vec![
            Fact { required: true, ..Fact::new("busybox", Status::Missing, "not found", "programs") },
            Fact {
                reason: Some("it is slow".into()),
                ..Fact::new("/dev/kvm", Status::Limited, "opens", "speed")
            },
        ];
        let report = DoctorReport { architecture: port_model::Architecture::X86_64, ready: false, facts };
        assert_eq!(report.lacking(), ["busybox"]);
        assert_eq!(
            text(&report),
            "STATUS   WHAT      NEEDED  FOR       FOUND\n\
             missing  busybox   yes     programs  not found\n\
             limited  /dev/kvm          speed     opens\n\
             \n/dev/kvm: it is slow\n"
        );
    }
}
