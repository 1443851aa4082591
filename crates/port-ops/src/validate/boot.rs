//! Does it boot? With a machine of the project that uses it; its agent is asked who it is.

use port_config::Machine;
use port_model::ArtifactClass;
use port_runtime::GuestCommand;

use super::{Finding, with_causes};
use crate::error::OpsError;
use crate::inspect::{local_bundle, stored_bundle};
use crate::local;
use crate::run::{self, Plan, Purpose};
use crate::target::Target;
use crate::trust::Policies;
use crate::workspace::Workspace;

/// Boots the first machine that uses the artifact, with the variant that is validated.
pub(super) async fn check(workspace: &Workspace, target: Target<'_>) -> Result<Vec<Finding>, OpsError> {
    let Some(machine) = machine_of(workspace, target) else {
        let reason = format!("no machine of `{}` uses it", workspace.project_path.display());
        return Ok(vec![Finding::failed("boot", reason)]);
    };
    // What is validated is not signed yet: policies are for what is used.
    let nobody = Policies::default();
    let plan = run::plan_variant(workspace, machine, target.variant(), Purpose::Command, &nobody)?;
    let mut output = Vec::new();
    let mut keep = |_, bytes: &[u8]| {
        output.extend_from_slice(bytes);
        Ok(())
    };
    let command = GuestCommand::new(["uname", "-r", "-m"]);
    let result = run::run_command(workspace, &plan, command, &mut tokio::io::empty(), &mut keep).await;
    let report = match result {
        Ok(report) => report,
        Err(error) => return Ok(vec![Finding::failed("boot", with_causes(&error))]),
    };
    let said = String::from_utf8_lossy(&output).trim().to_owned();
    let took = format!("machine `{}`, agent after {} ms", plan.machine, report.timings.boot.unwrap_or(0));
    let agent = if report.exit_code == 0 {
        Finding::passed("agent", format!("`uname -r -m` says `{said}`"))
    } else {
        Finding::failed("agent", format!("`uname -r -m` ended with exit code {}", report.exit_code))
    };
    Ok([Some(Finding::passed("boot", took)), Some(agent), same_kernel(workspace, &plan, machine, &said)?]
        .into_iter()
        .flatten()
        .collect())
}

fn machine_of<'a>(workspace: &'a Workspace, target: Target<'_>) -> Option<&'a Machine> {
    let name = &target.artifact.name;
    workspace.project.machines.values().find(|machine| match target.artifact.class {
        ArtifactClass::Kernel => &machine.kernel == name,
        ArtifactClass::GuestImage => &machine.guest_image == name,
    })
}

/// Whether the kernel that runs is the one that was planned.
fn same_kernel(
    workspace: &Workspace,
    plan: &Plan,
    machine: &Machine,
    said: &str,
) -> Result<Option<Finding>, OpsError> {
    let kernel = Target::exact(workspace, &machine.kernel, plan.variant)?;
    let bundle = match local::files(kernel) {
        Ok(files) => Some(local_bundle(workspace, kernel, files)?),
        Err(_) => stored_bundle(workspace, kernel)?,
    };
    let Some(expected) = bundle.and_then(|bundle| bundle.kernel).and_then(|kernel| kernel.release) else {
        return Ok(None);
    };
    let found = said.split_whitespace().next().unwrap_or_default();
    let check = "running kernel";
    Ok(Some(if found == expected {
        Finding::passed(check, expected)
    } else {
        Finding::failed(check, format!("`{found}`, expected `{expected}`"))
    }))
}
