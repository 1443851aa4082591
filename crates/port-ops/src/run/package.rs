//! run of a package: a unikernel from the packages' store, booted on what it was packed for (acceptance Ku-32).
//!
//! ```text
//! reference ─► one target, here or published ─► do the policies take it? ─► does it fit, can its arguments be said?
//!           ─► layers fetched where they are not here, unpacked below a directory of its own ─► driver ─► console
//! ```
//!
//! Invariants: a package runs on what its platform names and on nothing that is merely similar; its boot arguments are
//! those that kraft would give it, and its reader's words are the words that were given; what was unpacked is gone with the
//! machine. Not here: the making of network devices.

mod arguments;
mod end;
mod error;
mod files;
mod network;
mod volume;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use port_layout::Platform;
use port_layout::kraftkit::{self, Query};
use port_model::{Architecture, Digest, Substrate};
use port_runtime::{
    CloudHypervisorDriver, Confinement, Console, Driver, Ending, FirecrackerDriver, KernelFamily, Machine,
    MachineSpec, QemuDriver, SearchPath, host,
};

use super::{RUN_ROOT, RunReport, report};
use crate::packages::{self, Halt, Packages, Selection};
pub use arguments::ArgumentError;
pub use error::PackageRunError;
use files::Files;
pub use network::{Mac, NetworkAddress, NetworkError, PackageNetwork, TapDevice, TapNetwork};
pub use port_workload::PortMapping;
pub use volume::{Volume, VolumeError};

/// What kraft's machines have, in MiB.
pub const DEFAULT_MEMORY_MIB: u32 = 64;
/// How long a VMM has to end once the guest's console has. None takes a second unless the host is very busy.
const END_TIME: Duration = Duration::from_secs(10);

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which package, and which of its targets; without an architecture, this host's.
    pub selection: Selection,
    /// What it runs on; `None` for what its platform names.
    pub substrate: Option<Substrate>,
    /// Guest memory.
    pub memory_mib: u32,
    /// In place of the package's own command, where there are any.
    pub arguments: Vec<String>,
    /// Entries of the environment, in place of the package's own of the same keys.
    pub environment: Vec<String>,
    /// In place of the package's own initrd.
    pub initrd: Option<PathBuf>,
    /// A network card; none where nobody asks for one.
    pub network: Option<PackageNetwork>,
    /// Directories of the host.
    pub volumes: Vec<Volume>,
}

/// A package that is ready to boot.
#[derive(Debug)]
pub struct PackagePlan {
    /// The package.
    pub reference: String,
    /// The target's manifest.
    pub manifest: Digest,
    /// What it runs on.
    pub substrate: Substrate,
    /// What the driver gets.
    pub spec: MachineSpec,
    /// Its files; removed when dropped.
    _files: Files,
}

/// Finds the package here or else where it is published, unpacks it, and says how it boots. On a thread of its own, since hashing and
/// unpacking wait for disks: dropping the future is heard at once, and takes the files away.
///
/// # Errors
/// [`PackageRunError`], before anything is started.
pub async fn plan(packages: Packages, request: Request) -> Result<PackagePlan, PackageRunError> {
    let files = Files::below(RUN_ROOT.as_ref())?;
    let (directory, halt) = (files.path().to_owned(), files.halt());
    let reference = request.selection.reference.to_string();
    let unready = |source| PackageRunError::Unready { reference, source };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let work = move || {
        // With a runtime of its own: the caller's may end before this thread does, which its timers would not survive.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Nobody listens any more where the person has left.
        let _ = sender
            .send(runtime.map(|runtime| runtime.block_on(prepare(&packages, &request, directory, halt))));
    };
    if let Err(source) = std::thread::Builder::new().name("package".to_owned()).spawn(work) {
        return Err(unready(source));
    }
    let ready = match receiver.await {
        Ok(Ok(ready)) => ready?,
        Ok(Err(source)) => return Err(unready(source)),
        Err(source) => return Err(unready(std::io::Error::other(source))),
    };
    let Ready { reference, manifest, substrate, spec } = ready;
    Ok(PackagePlan { reference, manifest, substrate, spec, _files: files })
}

/// A plan without its files.
struct Ready {
    reference: String,
    manifest: Digest,
    substrate: Substrate,
    spec: MachineSpec,
}

/// Everything that can be refused is refused before a layer is fetched.
async fn prepare(
    packages: &Packages,
    request: &Request,
    directory: PathBuf,
    halt: Halt,
) -> Result<Ready, PackageRunError> {
    let target = packages::resolve(packages, &request.selection, &usual(request.substrate)).await?;
    let (reference, config) = (target.reference(), target.config());
    let (architecture, substrate) = fit(&reference, &config.platform, request.substrate)?;
    can_have(request, substrate)?;
    let (shares, mounts) = volume::shares(&request.volumes)?;
    let command = if request.arguments.is_empty() { &config.config.cmd } else { &request.arguments };
    let environment = kraftkit::merge_environment(&config.config.env, &request.environment);
    let address = request.network.as_ref().and_then(PackageNetwork::argument);
    let own = address.into_iter().chain(mounts);
    let cmdline = arguments::boot(substrate, own, &environment, command)
        .map_err(|source| PackageRunError::Arguments { reference: reference.clone(), source })?;
    let unpacked = target.unpack(packages, &directory, &halt).await?;
    let spec = MachineSpec {
        architecture,
        vcpus: 1,
        memory_mib: request.memory_mib,
        kernel: unpacked.kernel,
        family: KernelFamily::Other,
        initrd: request.initrd.clone().or(unpacked.initrd),
        cmdline,
        disks: Vec::new(),
        shares,
        network: request.network.as_ref().map(PackageNetwork::card),
        agent: None,
        console: Console::Stream,
    };
    Ok(Ready { reference, manifest: target.manifest().clone(), substrate, spec })
}

/// Only QEMU has a network and a file server of its own.
fn can_have(request: &Request, substrate: Substrate) -> Result<(), PackageRunError> {
    if substrate == Substrate::Qemu {
        return Ok(());
    }
    if let Some(PackageNetwork::Published(_)) = &request.network {
        return Err(PackageRunError::NoPorts { substrate });
    }
    if request.volumes.is_empty() { Ok(()) } else { Err(PackageRunError::NoVolumes { substrate }) }
}

/// What counts where the request says nothing: this host's architecture, and what the substrate boots.
fn usual(substrate: Option<Substrate>) -> Query {
    Query {
        architecture: Some(kraftkit::architecture_name(host::ARCHITECTURE).to_owned()),
        platform: substrate.and_then(platform_of).map(str::to_owned),
        features: Vec::new(),
    }
}

/// The platform whose packages a substrate boots: Cloud Hypervisor starts what is built for QEMU's PC, by PVH.
fn platform_of(substrate: Substrate) -> Option<&'static str> {
    match substrate {
        Substrate::CloudHypervisor => Some("qemu"),
        other => kraftkit::substrate_name(other),
    }
}

/// What runs this target, where something does.
fn fit(
    reference: &str,
    platform: &Platform,
    asked: Option<Substrate>,
) -> Result<(Architecture, Substrate), PackageRunError> {
    let refuse = |expected| PackageRunError::NoDriver {
        reference: reference.to_owned(),
        platform: platform.os.clone(),
        architecture: platform.architecture.clone(),
        expected,
    };
    let native = |known: &&Architecture| kraftkit::architecture_name(**known) == platform.architecture;
    let Some(architecture) = Architecture::ALL.iter().find(native) else {
        return Err(refuse("x86_64 or arm64"));
    };
    let substrate = match (kraftkit::platform_name(&platform.os), asked) {
        ("qemu", None | Some(Substrate::Qemu)) => Substrate::Qemu,
        ("qemu", Some(Substrate::CloudHypervisor)) => Substrate::CloudHypervisor,
        ("fc", None | Some(Substrate::Firecracker)) => Substrate::Firecracker,
        (_, None) => return Err(refuse("qemu or fc")),
        (_, Some(Substrate::Qemu | Substrate::CloudHypervisor)) => return Err(refuse("qemu")),
        (_, Some(Substrate::Firecracker)) => return Err(refuse("fc")),
        (_, Some(Substrate::Avf)) => return Err(refuse("a substrate that boots unikernels")),
    };
    Ok((*architecture, substrate))
}

/// Boots the package's machine; its console is a stream.
///
/// # Errors
/// The driver's.
pub async fn boot(
    plan: &PackagePlan,
    path: &[PathBuf],
    verdicts: Option<PathBuf>,
) -> Result<Machine, PackageRunError> {
    let (search, run_root) = (SearchPath::new(path.iter().cloned()), PathBuf::from(RUN_ROOT));
    let confinement = Confinement::default();
    let machine = match plan.substrate {
        Substrate::Firecracker => FirecrackerDriver { search, run_root, confinement }.boot(&plan.spec).await,
        Substrate::CloudHypervisor => {
            CloudHypervisorDriver { search, run_root, confinement }.boot(&plan.spec).await
        }
        Substrate::Qemu | Substrate::Avf => {
            QemuDriver { search, run_root, verdicts, confinement }.boot(&plan.spec).await
        }
    };
    Ok(machine?)
}

/// Who ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The guest: its console is at its end.
    Guest,
    /// The person at the keyboard.
    Person,
}

/// Ends the machine and reports. A guest says no exit code to its VMM: 0 is a VMM that ended well.
///
/// # Errors
/// A VMM that did not.
pub async fn finish(
    plan: &PackagePlan,
    mut machine: Machine,
    began: Instant,
    left: Left,
) -> Result<RunReport, PackageRunError> {
    let (substrate, reference) = (plan.substrate, plan.reference.clone());
    if left == Left::Person {
        let ending = machine.force().await?;
        return Ok(report(&plan.reference, ending, machine.timings(), began, 0));
    }
    let ended = tokio::time::timeout(END_TIME, machine.wait()).await;
    let Ok(status) = ended else {
        machine.force().await?;
        let (seconds, messages) = (END_TIME.as_secs(), machine.vmm_messages().await);
        return Err(PackageRunError::Stuck { substrate, reference, seconds, messages });
    };
    let status = status?;
    if substrate == Substrate::Firecracker
        && let Some(reason) = end::given_up(&machine.run_directory())
    {
        return Err(PackageRunError::GivenUp { substrate, reference, reason });
    }
    if !status.success() {
        let messages = machine.vmm_messages().await;
        return Err(PackageRunError::Vmm { substrate, reference, status, messages });
    }
    let ending = Ending::Guest;
    Ok(report(&plan.reference, ending, machine.timings(), began, 0))
}

impl Request {
    /// A package with the memory of kraft's machines and its own command.
    pub fn new(selection: Selection) -> Self {
        Self {
            selection,
            substrate: None,
            memory_mib: DEFAULT_MEMORY_MIB,
            arguments: Vec::new(),
            environment: Vec::new(),
            initrd: None,
            network: None,
            volumes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ku_32_a_package_runs_on_what_it_was_packed_for() {
        use Substrate::{Avf, CloudHypervisor, Firecracker, Qemu};
        let cases = [
            (("qemu", "x86_64", None), Ok(Qemu)),
            (("kvm", "arm64", None), Ok(Qemu)),
            (("qemu", "x86_64", Some(CloudHypervisor)), Ok(CloudHypervisor)),
            (("fc", "x86_64", None), Ok(Firecracker)),
            (("fc", "x86_64", Some(Qemu)), Err("it is packed for fc/x86_64, expected qemu")),
            (("qemu", "x86_64", Some(Firecracker)), Err("it is packed for qemu/x86_64, expected fc")),
            (("xen", "x86_64", None), Err("it is packed for xen/x86_64, expected qemu or fc")),
            (("qemu", "arm", None), Err("it is packed for qemu/arm, expected x86_64 or arm64")),
            (("qemu", "x86_64", Some(Avf)), Err("expected a substrate that boots unikernels")),
        ];
        for ((platform, architecture, asked), expected) in cases {
            let target = Platform {
                os: platform.to_owned(),
                architecture: architecture.to_owned(),
                ..Platform::default()
            };
            let found = fit("unikraft.org/hello:latest", &target, asked);
            match expected {
                Ok(substrate) => assert_eq!(found.unwrap().1, substrate, "{platform}/{architecture}"),
                Err(part) => {
                    let error = found.unwrap_err().to_string();
                    assert!(error.contains(part), "{error}");
                }
            }
        }
    }

    #[test]
    fn ku_32_the_targets_that_are_meant_are_those_of_this_host() {
        let native = if host::ARCHITECTURE == Architecture::X86_64 { "x86_64" } else { "arm64" };
        for (substrate, platform) in [
            (None, None),
            (Some(Substrate::Qemu), Some("qemu")),
            (Some(Substrate::CloudHypervisor), Some("qemu")),
            (Some(Substrate::Firecracker), Some("fc")),
        ] {
            let usual = usual(substrate);
            assert_eq!((usual.architecture.as_deref(), usual.platform.as_deref()), (Some(native), platform));
        }
    }

    #[test]
    fn ku_32_a_vmm_is_asked_for_what_it_has() {
        use Substrate::{CloudHypervisor, Firecracker, Qemu};
        let tap = PackageNetwork::Tap(TapNetwork {
            device: "tap:vp0".parse().unwrap(),
            mac: None,
            address: Some("10.0.0.2/8".parse().unwrap()),
        });
        let ports = PackageNetwork::Published(vec!["8080:80".parse().unwrap()]);
        let volume: Volume = "/srv:/srv:ro".parse().unwrap();
        let selection =
            || Selection { reference: "unikraft.org/hello:latest".parse().unwrap(), query: Query::default() };
        for (network, volumes, of_others) in [
            (None, vec![], None),
            (Some(tap), vec![], None),
            (Some(ports), vec![], Some("publishes no ports: expected qemu")),
            (None, vec![volume], Some("shares no directories of the host: expected qemu")),
        ] {
            let request = Request { network, volumes, ..Request::new(selection()) };
            assert!(can_have(&request, Qemu).is_ok(), "{request:?}");
            for substrate in [Firecracker, CloudHypervisor] {
                let refused = can_have(&request, substrate).err().map(|error| error.to_string());
                let expected = of_others.map(|words| format!("`{substrate}` {words}"));
                assert_eq!(refused, expected);
            }
        }
    }
}
