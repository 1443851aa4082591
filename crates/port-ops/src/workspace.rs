//! What every verb needs: the project, the store, the host's facts and who listens to progress.
//!
//! Paths are relative to the directory that the command runs in (acceptance P-30).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_config::{Lock, Project};
use port_model::{Architecture, Reporter};
use port_registry::credentials::CredentialPaths;
use port_store::Store;
use port_transport::Client;

use crate::clients::Clients;
use crate::error::OpsError;
use crate::{lock_file, paths};

/// What the command line found in the environment, by name; libraries never look themselves.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Looks up a variable that the configuration names.
    pub variable: fn(&str) -> Option<String>,
    /// Where credentials for registries are.
    pub credential_paths: CredentialPaths,
    /// Directories to find programs in.
    pub path: Vec<PathBuf>,
    /// Where the guest agent may be, in order.
    pub agent: Vec<PathBuf>,
    /// Where the probe kernel may be, in order.
    pub probe_kernel: Vec<PathBuf>,
    /// `PORT_BUSYBOX_BIN`.
    pub busybox: Option<PathBuf>,
    /// `PORT_PVM_BUILD_FLAKE_REF`.
    pub pvm_flake_ref: Option<String>,
    /// `PORT_PVM_GUEST_KERNEL_ATTR`.
    pub pvm_attribute: Option<String>,
    /// `PORT_PVM_FIRECRACKER_BINARY`.
    pub pvm_firecracker: Option<PathBuf>,
    /// The machine's trust policy: `PORT_TRUST_POLICY`, else `/etc/port/trust.toml` where it is there.
    pub trust_policy: Option<PathBuf>,
    /// `PORT_FIRECRACKER_CI_URL`.
    pub firecracker_ci_url: Option<String>,
}

/// One invocation's surroundings.
pub struct Workspace {
    /// The configuration.
    pub project: Project,
    /// Where it was read from; `port.lock` lies beside it.
    pub project_path: PathBuf,
    /// The store.
    pub store: Store,
    /// The host's architecture.
    pub host: Architecture,
    /// The environment's facts.
    pub environment: Environment,
    /// Who listens.
    pub reporter: Arc<dyn Reporter>,
    /// The HTTP client.
    pub client: Client,
    /// The registries' clients.
    pub(crate) registries: Clients,
}

impl Workspace {
    /// Reads the project at `project_path` and opens its store.
    pub fn open(
        project_path: &Path,
        host: Architecture,
        environment: Environment,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, OpsError> {
        let text = port_content::fs::read_to_string(project_path, port_content::limit::CONFIGURATION)
            .map_err(OpsError::ProjectFile)?;
        Self::of(&text, project_path, host, environment, reporter)
    }

    /// The same for work on the store alone, which needs no configuration where the store lies in its usual place.
    pub fn open_for_store(
        project_path: &Path,
        host: Architecture,
        environment: Environment,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, OpsError> {
        let usual = port_content::fs::exists(Path::new(port_config::DEFAULT_STORE_ROOT));
        let is_default = project_path == Path::new("port.toml");
        if is_default && usual && !port_content::fs::exists(project_path) {
            return Self::of("", project_path, host, environment, reporter);
        }
        Self::open(project_path, host, environment, reporter)
    }

    /// The same without a configuration, for what needs none: what Port keeps lies in `work_directory`.
    pub fn without_project(
        work_directory: &Path,
        host: Architecture,
        environment: Environment,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, OpsError> {
        let mut workspace = Self::of("", Path::new("port.toml"), host, environment, reporter)?;
        workspace.project.store_root = work_directory.join("store");
        workspace.store = Store::open(&workspace.project.store_root)?;
        Ok(workspace)
    }

    fn of(
        text: &str,
        project_path: &Path,
        host: Architecture,
        environment: Environment,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, OpsError> {
        let mut project = Project::parse(&project_path.display().to_string(), text, host)?;
        if let Some(url) = &environment.firecracker_ci_url {
            project.sources.firecracker_ci_url = url.trim_end_matches('/').to_owned();
        }
        paths::check(&project, project_path)?;
        let store = Store::open(&project.store_root)?;
        let project_path = project_path.to_owned();
        Ok(Self {
            project,
            project_path,
            store,
            host,
            environment,
            reporter,
            client: Client::default(),
            registries: Clients::default(),
        })
    }

    /// What `port.lock` says now.
    pub fn lock(&self) -> Result<Lock, OpsError> {
        lock_file::read(&lock_file::path(&self.project_path))
    }

    /// Says something to whoever listens.
    pub fn note(&self, message: impl Into<String>) {
        self.reporter.note(message.into());
    }

    /// Where Port keeps what is neither store nor cache: downloads, verdicts.
    pub fn work_directory(&self) -> PathBuf {
        self.project.store_root.parent().map_or_else(|| PathBuf::from(".port"), Path::to_owned)
    }
}
