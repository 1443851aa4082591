//! `hybrid-native`: a root that boots its own init on the host's kernel, by systemd-nspawn (acceptance V-4).
//!
//! ```text
//! nspawn ─► number 1: the root's /sbin/init ─► its services
//!   └─ the command, where one is named: enters through port-launcher as those of `exec` do, and ends the workload
//! ```
//!
//! Landlock confines commands that enter, not the init: an init mounts, which Landlock forbids. Capabilities, the seccomp filter and
//! no new privileges hold for all.

use std::path::Path;

use port_content::fs;
use port_workload::{Launch, Mode, Plan};

use crate::container::nspawned;
use crate::driver::{Driver, Host, Request};
use crate::error::DriverError;
use crate::job::{Body, Job};
use crate::place::{Kind, place};
use crate::room::Room;

/// Boots containers.
#[derive(Debug, Clone, Copy)]
pub struct NativeDriver;

impl Driver for NativeDriver {
    fn mode(&self) -> Mode {
        Mode::HybridNative
    }

    fn prepare(&self, plan: &Plan, request: &Request, host: &Host) -> Result<Job, DriverError> {
        refuse_modules(plan)?;
        let mut job = nspawned(self.mode(), plan, request, host)?;
        // What the init says on its console is the log; read-only, since nobody types there.
        job.program.extend(["--boot", "--console=read-only"].map(str::to_owned));
        job.command.clone_from(&request.command);
        let command = (!request.command.is_empty()).then(|| [&job.gate[..], &request.command[..]].concat());
        job.body = Body::Booted { command };
        Ok(job)
    }
}

/// nspawn boots only what says which system it is, as small roots do not: an empty answer is enough.
pub(crate) fn name_system(room: &Room) -> Result<(), DriverError> {
    let root = room.directory().join("root");
    let is_named = |place: &str| fs::symlink_metadata(&root.join(place)).is_ok();
    if ["etc/os-release", "usr/lib/os-release"].iter().any(|place| is_named(place)) {
        return Ok(());
    }
    place(&root, Path::new("/etc/os-release"), Kind::File).map(drop)
}

/// Nothing here loads modules into the host's kernel.
fn refuse_modules(plan: &Plan) -> Result<(), DriverError> {
    match &plan.launch {
        Launch::HybridNative { modules } if !modules.is_empty() => Err(DriverError::Unsupported {
            name: plan.name.clone(),
            key: "kernel.modules",
            found: modules.join(", "),
            expected: "none: the host's kernel has what it has",
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::tests::{LEAST, host, plan_of, request};

    #[test]
    fn v_4_c_48_a_root_is_booted_and_modules_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let text = LEAST.replace("\"container\"", "\"hybrid-native\"");
        let prepare =
            |text: &str, request: &Request| NativeDriver.prepare(&plan_of(text), request, &host(&directory));
        let job = prepare(&text, &request()).unwrap();
        let said = job.program.join(" ");
        assert!(said.ends_with("--boot --console=read-only") && !said.contains("--as-pid2"), "{said}");
        assert!(said.contains("CAP_SYS_BOOT"), "an init ends its system: {said}");
        let Body::Booted { command: Some(command) } = &job.body else { panic!("{:?}", job.body) };
        assert!(command.join(" ").ends_with("-- /bin/httpd -f"), "{command:?}");
        let job = prepare(&text, &Request { command: Vec::new(), ..request() }).unwrap();
        assert_eq!(job.body, Body::Booted { command: None });
        let error = prepare(&format!("{text}[kernel]\nmodules = [\"overlay\"]\n"), &request()).unwrap_err();
        assert!(error.to_string().contains("`kernel.modules` is `overlay`"), "{error}");
    }
}
