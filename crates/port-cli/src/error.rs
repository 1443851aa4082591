//! The edge: the one place where a library's failure becomes advice and an exit code.

mod base_images;
mod control_plane;
mod disk;
mod packages;
mod registry;
mod run;
mod trust;
mod update;
mod workload;

use port_backend::{BackendError, ErrorKind};
use port_layout::kubesolo::KubesoloError;
use port_ops::copy::CopyError;
use port_ops::login::LoginError;
use port_ops::update::UpdateError;
use port_ops::{OpsError, PackedError};
use port_registry::{Failure, Kind};
use registry::OTHER_BYTES;
use serde::Serialize;

use crate::args::Format;
use crate::ui::Ui;

/// Exit codes (docs/cli.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It was tried and failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Signatures are missing that somebody asks for.
    NotTrusted = 3,
    /// A place cannot be reached.
    Unreachable = 4,
    /// A thing is not there.
    NotFound = 5,
    /// A bug in Port.
    Bug = 70,
}

/// A failed command, ready to be said.
#[derive(Debug, Serialize)]
pub struct CommandError {
    /// What happened.
    pub message: String,
    /// Why, from the outside in.
    pub causes: Vec<String>,
    /// What may help.
    pub hints: Vec<String>,
    /// The exit code.
    pub exit: Exit,
    /// A code that is published for this failure, where there is one (base images).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
}

impl CommandError {
    /// An error with one sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hints: Vec::new(), exit, code: None }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What a library's error says, with the advice for its kind, and for what the operating system said below it.
    fn of(error: &(dyn std::error::Error + 'static), exit: Exit, mut hints: Vec<String>) -> Self {
        hints.extend(disk::hint(error).map(str::to_owned));
        match registry::nothing_published(error) {
            Some(message) => Self { hints, ..Self::new(exit, message) },
            None => Self { message: error.to_string(), causes: causes(error), hints, exit, code: None },
        }
    }

    /// All that was said of why, in one piece, for those who go on without.
    pub fn reason(&self) -> String {
        [std::slice::from_ref(&self.message), &self.causes].concat().join(": ")
    }

    /// Says it.
    pub fn print(&self, ui: Ui) {
        match ui.format {
            Format::Text => match self.code {
                Some(code) => ui.error(&format!("{} [{code}]", self.message), &self.causes, &self.hints),
                None => ui.error(&self.message, &self.causes, &self.hints),
            },
            Format::Json => ui.error_json(&serde_json::json!({ "error": self })),
        }
    }
}

impl From<OpsError> for CommandError {
    fn from(error: OpsError) -> Self {
        let (exit, hints) = advice(&error);
        match &error {
            // It says where and what as the registry's own error does, which is behind it.
            OpsError::Backend(backend) => match registry::behind(backend) {
                Some(behind) => Self::of(behind, exit, hints),
                None => Self::of(backend, exit, hints),
            },
            OpsError::Copy(copy) => match &**copy {
                CopyError::Registry(error) => Self::of(&**error, exit, hints),
                _ => Self::of(&error, exit, hints),
            },
            OpsError::Trust(_) => {
                let said = Self::of(&error, exit, hints);
                let causes = said.causes.iter().cloned().chain(trust::why(&error)).collect();
                Self { causes, ..said }
            }
            _ => Self::of(&error, exit, hints),
        }
    }
}

/// What a failure that is part of a report means for the exit code.
pub fn exit_of(error: &OpsError) -> Exit {
    advice(error).0
}

impl From<LoginError> for CommandError {
    fn from(error: LoginError) -> Self {
        let (exit, hints) = match &error {
            LoginError::Unusable { .. } => (Exit::Usage, vec![]),
            LoginError::Refused { .. } => (Exit::Failed, vec![NOTHING_STORED.to_owned()]),
            LoginError::Unchecked { source, .. } => {
                let no_tls = matches!(**source, Failure::NoTls { .. });
                let plain = no_tls.then(|| "if it is meant to: `--plain-http`".to_owned());
                (registry(source.kind()), [NOTHING_STORED.to_owned()].into_iter().chain(plain).collect())
            }
            LoginError::NotStored { .. } | LoginError::NotRemoved { .. } => (Exit::Failed, vec![]),
        };
        Self::of(&error, exit, hints)
    }
}

impl From<UpdateError> for CommandError {
    fn from(error: UpdateError) -> Self {
        let (exit, hint) = update(&error);
        Self::of(&error, exit, hint.into_iter().collect())
    }
}

const NOTHING_STORED: &str = "nothing was stored";
const NOTHING_CHANGED: &str = "nothing was changed";

/// Every cause below an error, without the ones that repeat what was said already.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut said = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = text.clone();
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

/// Exit code and hints for each kind of failure. In one piece, so that the compiler asks for each new kind here.
fn advice(error: &OpsError) -> (Exit, Vec<String>) {
    let one = |exit, hint: String| (exit, vec![hint]);
    match error {
        OpsError::ProjectFile(_) => {
            one(Exit::Usage, "name the configuration file with `--config FILE`".to_owned())
        }
        OpsError::Config(_)
        | OpsError::Taken { .. }
        | OpsError::WrongClass { .. }
        | OpsError::Machine { .. } => (Exit::Usage, vec![]),
        OpsError::Trust(error) => trust::advice(error),
        OpsError::UnknownName(_) => (Exit::NotFound, vec![]),
        OpsError::NoSuchVariant(_) => {
            let hint = "variants never fall back; ask for one that exists, or add it to `port.toml`";
            one(Exit::NotFound, hint.to_owned())
        }
        OpsError::ForeignArchitecture { artifact, .. } => one(
            Exit::Usage,
            format!(
                "push and pull work for every architecture: `port artifacts pull --artifact {artifact} --architecture …`"
            ),
        ),
        OpsError::ResearchOnly { .. } | OpsError::NoReferrers { .. } => (Exit::Usage, vec![]),
        OpsError::StandardInPvm { .. } => one(
            Exit::Failed,
            "build the PVM kernel from `PORT_PVM_BUILD_FLAKE_REF` or a configured path".to_owned(),
        ),
        OpsError::NoLocalFile { artifact, .. } => one(
            Exit::NotFound,
            format!(
                "build it with `port artifacts build --artifact {artifact}`, or fetch it with `port artifacts pull --artifact {artifact}`"
            ),
        ),
        OpsError::NoBackend { artifact, direction } => one(
            Exit::Usage,
            format!(
                "add `distribution.{direction} = {{ backend = \"file-system\", root = \"…\" }}` to `{artifact}`"
            ),
        ),
        OpsError::NoToken { .. } | OpsError::BasicEnv(_) => (Exit::Usage, vec![]),
        OpsError::AlreadyPublished { .. } => {
            one(Exit::Failed, "publish a new version, or replace this one with `--overwrite`".to_owned())
        }
        OpsError::ForeignDocuments { .. } => (Exit::Failed, vec![]),
        OpsError::Backend(error) => backend(error),
        OpsError::WrongContent { .. } | OpsError::Documents { .. } => {
            one(Exit::Failed, "nothing was changed; push the artifact again to repair it".to_owned())
        }
        OpsError::Incomplete { .. } => one(
            Exit::NotFound,
            "nothing was changed; push the same content again with `--overwrite`: the registry lost a part of it"
                .to_owned(),
        ),
        OpsError::NotPacked { .. } => one(
            Exit::NotFound,
            "name a version that was pushed with the encoding `packed`, or `--parent none`".to_owned(),
        ),
        OpsError::WrongMap { .. } | OpsError::WrongDelta { .. } | OpsError::Delta(_) => {
            one(Exit::Failed, "nothing was changed; push the artifact again to repair it".to_owned())
        }
        OpsError::PackedElsewhere { .. }
        | OpsError::Layers(_)
        | OpsError::NoOrigin { .. }
        | OpsError::OtherPublished { .. } => (Exit::Failed, vec![]),
        OpsError::Packed(error) => packed(error),
        OpsError::Copy(error) => copy(error),
        OpsError::Store(error) => store(error),
        OpsError::Build(error) => build(error),
        OpsError::KernelMismatch { guest_image, .. } => one(
            Exit::Failed,
            format!(
                "build both from the same kernel: `port artifacts build --artifact {guest_image}`, or pull both"
            ),
        ),
        OpsError::Runtime(error) => runtime(error),
        OpsError::Agent(_) => (Exit::Failed, vec![]),
        OpsError::CannotRun { .. } => {
            one(Exit::Failed, "`port doctor` says what this host can do".to_owned())
        }
        OpsError::Files(error) if error.is_not_found() => (Exit::NotFound, vec![]),
        OpsError::ChangedMeanwhile { .. } => {
            one(Exit::Failed, "another process builds into the same path; build again".to_owned())
        }
        OpsError::ChangedOnItsWay { .. } => {
            one(Exit::Failed, "wait until whoever writes it is done, and try again".to_owned())
        }
        OpsError::Kernel(_) | OpsError::Image(_) | OpsError::Files(_) => (Exit::Failed, vec![]),
    }
}

fn backend(error: &BackendError) -> (Exit, Vec<String>) {
    let registry = registry::behind(error);
    let known: Vec<String> = registry.and_then(registry::hint).into_iter().collect();
    match error.kind {
        ErrorKind::NotFound if known.is_empty() => {
            (Exit::NotFound, vec!["push it first with `port artifacts push`".to_owned()])
        }
        ErrorKind::NotFound => (Exit::NotFound, known),
        ErrorKind::Unavailable => (Exit::Unreachable, known),
        ErrorKind::Unsupported => (Exit::Usage, vec![]),
        ErrorKind::Corrupt => (Exit::Failed, vec![NOTHING_CHANGED.to_owned(), OTHER_BYTES.to_owned()]),
        ErrorKind::Denied if registry.is_some_and(|error| error.variables.is_none()) => {
            let or = |hint| format!("{hint}, or name the variables: `auth = {{ kind = \"basic-env\", … }}`");
            (Exit::Failed, known.into_iter().map(or).collect())
        }
        ErrorKind::Denied | ErrorKind::Conflict | ErrorKind::Failed => (Exit::Failed, known),
    }
}

fn packed(error: &PackedError) -> (Exit, Vec<String>) {
    let hint = match error {
        PackedError::Malformed { .. } | PackedError::Frame { .. } | PackedError::WrongImage { .. } => {
            "nothing was changed; what was published is damaged: push it again with `--parent none --overwrite`"
        }
        PackedError::Changed => "another process writes the file; push again when it is at rest",
        PackedError::TooMuchData { .. } => "push it with `encoding = \"zstd\"`, which has no such limit",
        _ => return (Exit::Failed, vec![]),
    };
    (Exit::Failed, vec![hint.to_owned()])
}

/// The exit code for a failure of a registry.
fn registry(kind: Kind) -> Exit {
    match kind {
        Kind::NotFound => Exit::NotFound,
        Kind::Unavailable => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

fn copy(error: &CopyError) -> (Exit, Vec<String>) {
    match error {
        CopyError::Place { .. } => {
            let hint = "places are `registry/repository:tag[@digest]` or `oci:DIRECTORY:NAME`";
            (Exit::Usage, vec![hint.to_owned()])
        }
        CopyError::Registry(error) => (registry(error.kind()), registry::hint(error).into_iter().collect()),
        CopyError::Store(error) => store(error),
        CopyError::NotFound { .. } | CopyError::Selection { .. } => (Exit::NotFound, vec![]),
        CopyError::NoLayout { .. } => (Exit::Usage, vec![]),
        CopyError::Files(error) if error.is_not_found() => (Exit::NotFound, vec![]),
        CopyError::Files(_)
        | CopyError::Mismatch { .. }
        | CopyError::Document { .. }
        | CopyError::Refused { .. } => (Exit::Failed, vec!["nothing was tagged".to_owned()]),
    }
}

fn update(error: &UpdateError) -> (Exit, Option<String>) {
    match error {
        UpdateError::Field { .. } | UpdateError::Name(_) | UpdateError::Release(_) => (Exit::Usage, None),
        UpdateError::Files(error) if error.is_not_found() => (Exit::NotFound, None),
        UpdateError::NoSuchTag { .. } | UpdateError::Documents(KubesoloError::NoSuchArchitecture { .. }) => {
            (Exit::NotFound, None)
        }
        UpdateError::Taken { .. } => {
            let hint = "publish a new version, or replace this one with `--overwrite`";
            (Exit::Failed, Some(hint.to_owned()))
        }
        UpdateError::ChannelBack { .. } => {
            let hint = "nothing was changed; lead machines back on purpose with `--overwrite`";
            (Exit::Failed, Some(hint.to_owned()))
        }
        UpdateError::Differs { .. } => {
            let hint = "publish it again as it should be, or compose the index anew with `--overwrite`";
            (Exit::Failed, Some(hint.to_owned()))
        }
        UpdateError::NothingPublished { .. } => {
            let hint = "publish each architecture first with `port update publish`";
            (Exit::NotFound, Some(hint.to_owned()))
        }
        UpdateError::Registry(error) => (registry(error.kind()), registry::hint(error)),
        UpdateError::Media(error) => {
            let (exit, hints) = copy(error);
            (exit, hints.into_iter().next())
        }
        UpdateError::Web(_) => (Exit::Unreachable, None),
        UpdateError::Gone { .. }
        | UpdateError::Size { .. }
        | UpdateError::Files(_)
        | UpdateError::Documents(_)
        | UpdateError::Latest(_)
        | UpdateError::Blocks(_)
        | UpdateError::Restless { .. } => (Exit::Failed, None),
    }
}

fn store(error: &port_store::StoreError) -> (Exit, Vec<String>) {
    use port_store::StoreError::{
        ChangedMeanwhile, Damaged, Feature, Malformed, Mismatch, NoBlob, NoIndex, Rotten, Version,
    };
    let hint = match error {
        Version { .. } | Feature { .. } => "use the newer Port that wrote it, or another `store_root`",
        Damaged { .. } | NoBlob { .. } => "find the damage with `port store verify`",
        Malformed { .. } | NoIndex { .. } => {
            "remove the store to start it anew: pull and build fill it again"
        }
        Rotten { .. } => {
            "restore it with `port artifacts pull`; where it is meant to be as it is, `touch` it"
        }
        ChangedMeanwhile { .. } => "wait until whoever writes it is done, and try again",
        Mismatch { .. } => OTHER_BYTES,
        port_store::StoreError::Outside(error) if error.is_not_found() => return (Exit::NotFound, vec![]),
        port_store::StoreError::Outside(_) | port_store::StoreError::Files { .. } => {
            return (Exit::Failed, vec![]);
        }
    };
    (Exit::Failed, vec![hint.to_owned()])
}

fn build(error: &port_build::BuildError) -> (Exit, Vec<String>) {
    use port_build::BuildError as B;
    let (exit, hint) = match error {
        B::NoneReached { reasons, .. }
            if reasons.iter().any(|reason| reason.starts_with("firecracker-ci ")) =>
        {
            (
                Exit::Unreachable,
                "add a source that this machine can reach, or point `PORT_FIRECRACKER_CI_URL` at a mirror",
            )
        }
        B::NoneReached { .. } => (Exit::Unreachable, "add a source that this machine can reach"),
        B::NoneThere { .. } => (Exit::NotFound, "put the file there, or correct the `path` of the source"),
        B::Transport(error) if error.failure.is_unreachable() => return (Exit::Unreachable, vec![]),
        B::Transport(_) => return (Exit::Failed, vec![]),
        B::NotBuildable { .. }
        | B::NoSuchSource { .. }
        | B::MixedVariants { .. }
        | B::ResearchOnly { .. } => {
            return (Exit::Usage, vec![]);
        }
        B::LockMissing { .. } | B::LockChanged { .. } => {
            (Exit::Failed, "build without `--locked`, and commit the lock file")
        }
        B::WrongBytes { .. } => {
            (Exit::Failed, "the source changed or something in between changes bytes; nothing was replaced")
        }
        B::NoProgram { .. } => (Exit::NotFound, "`port doctor` says what this host lacks and how to get it"),
        B::Image(port_image::ImageError::Tool(_)) => {
            (Exit::Failed, "`port doctor` says what this host lacks and how to get it")
        }
        _ => return (Exit::Failed, vec![]),
    };
    (exit, vec![hint.to_owned()])
}

fn runtime(error: &port_runtime::RuntimeError) -> (Exit, Vec<String>) {
    use port_runtime::RuntimeError as R;
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
