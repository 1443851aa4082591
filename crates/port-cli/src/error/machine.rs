//! Advice for machines, whatever the verb.

use port_runtime::RuntimeError;

use super::Exit;

pub(super) fn runtime(error: &RuntimeError) -> (Exit, Vec<String>) {
    use RuntimeError as R;
    let (exit, hint) = match error {
        R::QemuMissing { .. } => {
            (Exit::NotFound, "`port doctor` says what this host lacks and how to get it")
        }
        R::MemoryTooSmall { .. } => (Exit::Usage, "raise `memory_mib` of the machine"),
        R::Spec(_) => return (Exit::Usage, vec![]),
        R::AgentSilent { .. } | R::KernelPanic { .. } => (
            Exit::Failed,
            "see the whole console with `port run MACHINE`, or keep it with `guest.console_log`",
        ),
        _ => return (Exit::Failed, vec![]),
    };
    (exit, vec![hint.to_owned()])
}
