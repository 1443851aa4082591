//! `port doctor`.

use clap::Args;
use port_ops::DoctorReport;
use port_runtime::Accelerator;
use port_runtime::boot_test::{BootTest, Outcome};
use port_runtime::doctor::Status;

use crate::args::Global;
use crate::error::{CommandError, Exit};
use crate::ui::{self, Ui};
use crate::{env_vars, host};

/// Arguments of doctor.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Also boot the probe kernel, a tiny guest of our own, under every VMM that is here.
    #[arg(long)]
    boot: bool,
}

/// Looks at the host; needs no configuration.
pub async fn run(arguments: &Arguments, _: &Global, ui: Ui) -> Result<(), CommandError> {
    let architecture = host::architecture()?;
    let environment = env_vars::environment(architecture);
    let mut report = port_ops::doctor(architecture, &environment, None).await;
    if arguments.boot {
        report.boots = Some(port_ops::boot_tests(&environment, None).await?);
    }
    ui.report(&report, || text(&report))?;
    verdict(&report)
}

/// Whether the host does what it was asked about.
fn verdict(report: &DoctorReport) -> Result<(), CommandError> {
    let quoted =
        |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if !report.ready {
        let lacking = quoted(report.lacking());
        let message = format!("this host lacks what building and booting native variants needs: {lacking}");
        return Err(CommandError::new(Exit::Failed, message));
    }
    let failing = quoted(report.failing());
    if !failing.is_empty() {
        let message = format!("the probe kernel does not boot under {failing}");
        return Err(CommandError::new(Exit::Failed, message));
    }
    if report.boots_nothing() {
        let untried = report.boots.iter().flatten().any(|test| test.outcome == Outcome::Untried);
        let why = if untried { "no VMM that is here could be tried" } else { "there is no VMM" };
        return Err(CommandError::new(Exit::Failed, format!("the probe kernel boots nowhere: {why}")));
    }
    Ok(())
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
    if let Some(boots) = &report.boots {
        text += "\n\n";
        text += &boot_table(boots);
    }
    text.trim_end().to_owned() + "\n"
}

fn boot_table(boots: &[BootTest]) -> String {
    let word = |outcome| match outcome {
        Outcome::Works => "boots",
        Outcome::Fails => "fails",
        Outcome::Missing => "missing",
        Outcome::Untried => "untried",
    };
    let milliseconds = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time} ms"));
    let heading = ["PROBE KERNEL", "VMM", "ACCELERATOR", "ENTRY", "FIRST LINE", "ENDED"].map(str::to_owned);
    let rows = boots.iter().map(|test| {
        vec![
            word(test.outcome).to_owned(),
            test.vmm.clone(),
            test.accelerator.map_or("-", Accelerator::as_str).to_owned(),
            test.protocol.clone().unwrap_or_else(|| "-".to_owned()),
            milliseconds(test.banner_ms),
            milliseconds(test.total_ms),
        ]
    });
    let mut text = ui::table(&std::iter::once(heading.to_vec()).chain(rows).collect::<Vec<_>>());
    for test in boots {
        if let Some(reason) = &test.reason {
            text += &format!("\n{}: {reason}", test.vmm);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use port_runtime::doctor::Fact;

    use super::*;

    #[test]
    fn a_vmm_that_could_not_be_tried_is_there() {
        let boot = |outcome| BootTest {
            vmm: "firecracker".into(),
            outcome,
            accelerator: None,
            protocol: None,
            banner_ms: None,
            total_ms: None,
            reason: None,
        };
        for (outcomes, expected) in [
            (vec![Outcome::Missing, Outcome::Missing], Some("there is no VMM")),
            (vec![Outcome::Untried, Outcome::Missing], Some("no VMM that is here could be tried")),
            (vec![Outcome::Untried, Outcome::Works], None),
        ] {
            let boots = Some(outcomes.into_iter().map(boot).collect());
            let architecture = port_model::Architecture::X86_64;
            let report = DoctorReport { architecture, ready: true, facts: Vec::new(), boots };
            let found = verdict(&report).err().map(|error| error.message);
            assert_eq!(found, expected.map(|why| format!("the probe kernel boots nowhere: {why}")));
        }
    }

    #[test]
    fn what_is_needed_is_told_and_long_reasons_stand_below_the_table() {
        let facts = vec![
            Fact { required: true, ..Fact::new("busybox", Status::Missing, "not found", "programs") },
            Fact {
                reason: Some("it is slow".into()),
                ..Fact::new("/dev/kvm", Status::Limited, "opens", "speed")
            },
        ];
        let report =
            DoctorReport { architecture: port_model::Architecture::X86_64, ready: false, facts, boots: None };
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
