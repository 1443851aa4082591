//! run of a package: a unikernel from the packages' store, booted on what it was packed for (acceptance Ku-32).
//!
//! ```text
//! reference ─► is one target here? ─ no ─► pull ─► unpack below a directory of its own ─► MachineSpec ─► driver ─► console
//! ```
//!
//! Invariants: a package runs on what its platform names and on nothing that is merely similar; its boot arguments are
//! those that kraft would give it; what was unpacked is gone with the machine. Not here: networks and volumes.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use port_content::FsError;
use port_layout::kraftkit;
use port_model::{Architecture, Cmdline, CmdlineError, Digest, Substrate};
use port_runtime::{
    CloudHypervisorDriver, Console, Driver, Ending, FirecrackerDriver, KernelFamily, Machine, MachineSpec,
    QemuDriver, RuntimeError, SearchPath, Tail, host,
};
use tempfile::TempDir;

use super::{RUN_ROOT, RunReport, report};
use crate::packages::{self, PackageError, Packages, Selection, UnpackReport};

/// What kraft's machines have, in MiB.
pub const DEFAULT_MEMORY_MIB: u32 = 64;
/// How long a VMM has to end once the guest's console has.
const END_TIME: Duration = Duration::from_secs(5);

/// A package that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PackageRunError {
    /// It cannot be found, fetched or unpacked.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// No driver for what it was packed for.
    #[error("cannot run `{reference}`: it is packed for {platform}/{architecture}, expected {expected}")]
    NoDriver {
        /// The package.
        reference: String,
        /// In Unikraft's words.
        platform: String,
        /// In Unikraft's words.
        architecture: String,
        /// What would do.
        expected: &'static str,
    },
    /// Boot arguments that the kernel would not read as written.
    #[error("the arguments of `{reference}` cannot be passed on")]
    Arguments {
        /// The package.
        reference: String,
        /// Why.
        #[source]
        source: CmdlineError,
    },
    /// A directory for its files.
    #[error(transparent)]
    Files(#[from] FsError),
    /// The machine.
    #[error(transparent)]
    Runtime(Box<RuntimeError>),
    /// The VMM ended otherwise than well.
    #[error("`{substrate}` ended with {status} while `{reference}` ran{messages}")]
    Vmm {
        /// What ran it.
        substrate: Substrate,
        /// The package.
        reference: String,
        /// How it ended.
        status: ExitStatus,
        /// What the VMM said.
        messages: Tail,
    },
}

impl From<RuntimeError> for PackageRunError {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(Box::new(error))
    }
}

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
    /// Where its files are; removed when dropped.
    _directory: TempDir,
}

/// Finds the package here or else where it is published, unpacks it, and says how it boots.
///
/// # Errors
/// [`PackageRunError`], before anything is started.
pub async fn plan(packages: &Packages, request: &Request) -> Result<PackagePlan, PackageRunError> {
    let directory = tempfile::Builder::new().prefix("port-package-").tempdir_in(RUN_ROOT);
    let directory = directory
        .map_err(|source| FsError::new("create a directory in", std::path::Path::new(RUN_ROOT), source))?;
    let selection = selection(request);
    let unpacked = bring(packages, &selection, directory.path().to_owned()).await?;
    let (architecture, substrate) = fit(&unpacked, request.substrate)?;
    let command = if request.arguments.is_empty() { &unpacked.command } else { &request.arguments };
    let cmdline = boot_arguments(substrate, &unpacked.environment, command)
        .map_err(|source| PackageRunError::Arguments { reference: unpacked.reference.clone(), source })?;
    let spec = MachineSpec {
        architecture,
        vcpus: 1,
        memory_mib: request.memory_mib,
        kernel: unpacked.kernel,
        family: KernelFamily::Other,
        initrd: unpacked.initrd,
        cmdline,
        disks: Vec::new(),
        agent: None,
        console: Console::Stream,
    };
    let (reference, manifest) = (unpacked.reference, unpacked.manifest);
    Ok(PackagePlan { reference, manifest, substrate, spec, _directory: directory })
}

/// The request's selection, made as narrow as the host and the substrate make it.
fn selection(request: &Request) -> Selection {
    let mut selection = request.selection.clone();
    if selection.reference.digest().is_none() {
        let query = &mut selection.query;
        let native = match host::ARCHITECTURE {
            Architecture::X86_64 => "x86_64",
            Architecture::Aarch64 => "arm64",
        };
        query.architecture.get_or_insert_with(|| native.to_owned());
        if let (None, Some(substrate)) = (&query.platform, request.substrate) {
            query.platform = platform_of(substrate).map(str::to_owned);
        }
    }
    selection
}

/// The platform whose packages a substrate boots: Cloud Hypervisor starts what is built for QEMU's PC, by PVH.
fn platform_of(substrate: Substrate) -> Option<&'static str> {
    match substrate {
        Substrate::CloudHypervisor => Some("qemu"),
        other => kraftkit::substrate_name(other),
    }
}

/// Unpacks the one target; fetches it where it, or a part of it, is not here.
async fn bring(
    packages: &Packages,
    selection: &Selection,
    directory: PathBuf,
) -> Result<UnpackReport, PackageRunError> {
    if is_here(packages, selection)? {
        return Ok(packages::unpack(packages, selection, &directory)?);
    }
    packages.reporter.note(format!("fetching {}", selection.reference));
    let pulled = packages::pull(packages, selection, Some(&directory)).await?;
    match pulled.unpacked {
        Some(unpacked) => Ok(unpacked),
        // A pull into a directory unpacks.
        None => Ok(packages::unpack(packages, selection, &directory)?),
    }
}

/// Whether a target that fits is in the store with all its layers. Several are here too: unpacking says that they are several.
fn is_here(packages: &Packages, selection: &Selection) -> Result<bool, PackageRunError> {
    match packages::info(packages, selection) {
        Ok(info) => Ok(info.targets.iter().flat_map(|target| &target.layers).all(|layer| layer.here)),
        Err(
            PackageError::NotFound { .. }
            | PackageError::Targets { .. }
            | PackageError::NoManifest { .. }
            | PackageError::Gone { .. },
        ) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What runs this target, where something does.
fn fit(
    unpacked: &UnpackReport,
    asked: Option<Substrate>,
) -> Result<(Architecture, Substrate), PackageRunError> {
    let refuse = |expected| PackageRunError::NoDriver {
        reference: unpacked.reference.clone(),
        platform: unpacked.platform.clone(),
        architecture: unpacked.architecture.clone(),
        expected,
    };
    let architecture = match unpacked.architecture.as_str() {
        "x86_64" => Architecture::X86_64,
        "arm64" => Architecture::Aarch64,
        _ => return Err(refuse("x86_64 or arm64")),
    };
    let substrate = match (kraftkit::platform_name(&unpacked.platform), asked) {
        ("qemu", None | Some(Substrate::Qemu)) => Substrate::Qemu,
        ("qemu", Some(Substrate::CloudHypervisor)) => Substrate::CloudHypervisor,
        ("fc", None | Some(Substrate::Firecracker)) => Substrate::Firecracker,
        (_, None) => return Err(refuse("qemu or fc")),
        (_, Some(Substrate::Qemu | Substrate::CloudHypervisor)) => return Err(refuse("qemu")),
        (_, Some(Substrate::Firecracker)) => return Err(refuse("fc")),
        (_, Some(Substrate::Avf)) => return Err(refuse("a substrate that boots unikernels")),
    };
    Ok((architecture, substrate))
}

/// The boot arguments as kraft gives them: the kernel's own, ` -- `, the program's. Unikernels take the first word for their
/// name; for QEMU's multiboot it is QEMU that puts it there.
fn boot_arguments(
    substrate: Substrate,
    environment: &[String],
    command: &[String],
) -> Result<Cmdline, CmdlineError> {
    let mut words = Vec::new();
    if substrate != Substrate::Qemu {
        words.push("kernel".to_owned());
    }
    if !environment.is_empty() {
        let values: Vec<String> = environment.iter().map(|value| format!("\"{value}\"")).collect();
        words.push(format!("env.vars=[ {} ]", values.join(" ")));
    }
    if !words.is_empty() {
        words.push("--".to_owned());
    }
    words.extend(command.iter().map(|word| quoted(word)));
    Cmdline::parse(&words.join(" "))
}

/// A word that its reader would take for several, or for none, is quoted.
fn quoted(word: &str) -> String {
    let is_plain = !word.is_empty() && !word.contains(' ');
    if is_plain { word.to_owned() } else { format!("\"{word}\"") }
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
    let machine = match plan.substrate {
        Substrate::Firecracker => FirecrackerDriver { search, run_root }.boot(&plan.spec).await,
        Substrate::CloudHypervisor => CloudHypervisorDriver { search, run_root }.boot(&plan.spec).await,
        Substrate::Qemu | Substrate::Avf => QemuDriver { search, run_root, verdicts }.boot(&plan.spec).await,
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
    let mut ending = Ending::Guest;
    let ended = match left {
        Left::Guest => tokio::time::timeout(END_TIME, machine.wait()).await.ok().transpose()?,
        Left::Person => None,
    };
    match ended {
        Some(status) if !status.success() => {
            let (substrate, reference) = (plan.substrate, plan.reference.clone());
            let messages = machine.vmm_messages().await;
            return Err(PackageRunError::Vmm { substrate, reference, status, messages });
        }
        Some(_) => {}
        None => ending = machine.force().await?,
    }
    Ok(report(&plan.reference, ending, machine.timings(), began, 0))
}

impl Request {
    /// A package with the memory of kraft's machines and its own command.
    pub fn new(selection: Selection) -> Self {
        Self { selection, substrate: None, memory_mib: DEFAULT_MEMORY_MIB, arguments: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use port_layout::kraftkit::Query;

    use super::*;

    fn unpacked(platform: &str, architecture: &str) -> UnpackReport {
        UnpackReport {
            reference: "unikraft.org/hello:latest".to_owned(),
            manifest: port_content::hashing::digest_of(b""),
            platform: platform.to_owned(),
            architecture: architecture.to_owned(),
            kernel: PathBuf::new(),
            kernel_dbg: None,
            initrd: None,
            command: Vec::new(),
            environment: Vec::new(),
            files: 0,
            bytes: 0,
        }
    }

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
            let found = fit(&unpacked(platform, architecture), asked);
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
    fn ku_32_arguments_are_written_as_kraft_writes_them() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let cases: [(Substrate, &[&str], &[&str], &str); 6] = [
            (Substrate::Qemu, &[], &[], ""),
            (Substrate::Qemu, &[], &["/server", "-v"], "/server -v"),
            (Substrate::Qemu, &["A=b c", "D="], &["/s"], "env.vars=[ \"A=b c\" \"D=\" ] -- /s"),
            (Substrate::Firecracker, &[], &[], "kernel --"),
            (Substrate::Firecracker, &["A=b"], &["a b", ""], "kernel env.vars=[ \"A=b\" ] -- \"a b\" \"\""),
            (Substrate::CloudHypervisor, &[], &["x"], "kernel -- x"),
        ];
        for (substrate, environment, command, expected) in cases {
            let found = boot_arguments(substrate, &words(environment), &words(command)).unwrap();
            assert_eq!(found.to_string(), expected);
        }
        assert_eq!(boot_arguments(Substrate::Qemu, &[], &words(&["a\"b"])), Err(CmdlineError::OpenQuote));
        assert_eq!(boot_arguments(Substrate::Qemu, &[], &words(&["a\nb"])), Err(CmdlineError::Control('\n')));
    }

    #[test]
    fn ku_32_the_targets_that_are_meant_are_those_of_this_host() {
        let reference = kraftkit::parse_name("hello").unwrap();
        let mut request = Request::new(Selection { reference, query: Query::default() });
        let native = if host::ARCHITECTURE == Architecture::X86_64 { "x86_64" } else { "arm64" };
        assert_eq!(selection(&request).query.architecture.as_deref(), Some(native));
        assert_eq!(selection(&request).query.platform, None);
        for (substrate, platform) in
            [(Substrate::Qemu, "qemu"), (Substrate::CloudHypervisor, "qemu"), (Substrate::Firecracker, "fc")]
        {
            request.substrate = Some(substrate);
            assert_eq!(selection(&request).query.platform.as_deref(), Some(platform));
        }
        request.selection.query.platform = Some("xen".to_owned());
        request.selection.query.architecture = Some("arm64".to_owned());
        assert_eq!(selection(&request).query, request.selection.query, "what was said counts");
    }
}
