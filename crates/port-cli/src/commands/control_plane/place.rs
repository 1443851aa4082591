//! Which control plane of `port.toml` is meant, and where its storage lies: a folder, or a bucket.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use port_config::ControlPlane;
use port_server::storage::{
    Bucket, Credentials, Endpoint, Folder, Region, S3, S3Settings, SCHEME, Storage, Transport,
};

use super::edge::clock;
use crate::args::Global;
use crate::commands::workspace;
use crate::env_vars;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Where a control plane's storage lies, with its name behind it (acceptance P-11, P-39).
const HOSTED: &str = ".port/hosted";

/// Where everything is kept.
#[derive(Debug, Args)]
pub struct StorageFlags {
    /// What keeps everything, in place of `.port/hosted/<NAME>`: a folder, or `s3://BUCKET/PREFIX`, signed for with
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    #[arg(long, value_name = "DIRECTORY|BUCKET")]
    storage: Option<Location>,
    /// Ask this S3 server [default: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or Amazon's of the region].
    #[arg(long, value_name = "URL", requires = "storage")]
    s3_endpoint: Option<String>,
    /// The bucket's region [default: `AWS_REGION`, `AWS_DEFAULT_REGION`, or `us-east-1`].
    #[arg(long, value_name = "REGION", requires = "storage")]
    s3_region: Option<Region>,
    /// Speak plain HTTP with an S3 endpoint that begins with `http://`.
    #[arg(long, requires = "storage")]
    s3_plain_http: bool,
}

/// What `--storage` names.
#[derive(Debug, Clone)]
enum Location {
    Directory(PathBuf),
    /// Read when it is used, so that a mistake is told like the others.
    Bucket(String),
}

impl FromStr for Location {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_bucket = text.starts_with(SCHEME);
        Ok(if is_bucket { Self::Bucket(text.to_owned()) } else { Self::Directory(text.into()) })
    }
}

/// See the module.
pub(super) struct Place {
    pub(super) plane: ControlPlane,
    flags: StorageFlags,
}

impl Place {
    /// The control plane of that name; its storage where the flags say, else at its place.
    pub(super) fn find(
        name: &str,
        flags: StorageFlags,
        global: &Global,
        ui: Ui,
    ) -> Result<Self, CommandError> {
        let workspace = workspace(global, ui)?;
        let plane = workspace.project.control_plane(name).map_err(port_ops::OpsError::from)?.clone();
        Ok(Self { plane, flags })
    }

    /// Its storage.
    pub(super) async fn storage(&self) -> Result<Arc<dyn Storage>, CommandError> {
        open(&self.plane, &self.flags).await
    }
}

/// The storage of a control plane.
pub(super) async fn open(
    plane: &ControlPlane,
    flags: &StorageFlags,
) -> Result<Arc<dyn Storage>, CommandError> {
    let directory = match &flags.storage {
        Some(Location::Bucket(bucket)) => return Ok(Arc::new(S3::open(settings(bucket, flags)?).await?)),
        Some(Location::Directory(directory)) => directory.clone(),
        None => Path::new(HOSTED).join(&plane.name),
    };
    if flags.s3_endpoint.is_some() || flags.s3_region.is_some() || flags.s3_plain_http {
        let message = format!(
            "`--storage {}` is a folder, and the `--s3-…` flags are about a bucket",
            directory.display()
        );
        return Err(CommandError::new(Exit::Usage, message).hint("a bucket is named s3://BUCKET/PREFIX"));
    }
    Ok(Arc::new(Folder::open(&directory)?))
}

fn settings(bucket: &str, flags: &StorageFlags) -> Result<S3Settings, CommandError> {
    let bucket: Bucket = bucket.parse()?;
    let region = match &flags.s3_region {
        Some(region) => region.clone(),
        None => first_of(&env_vars::S3_REGIONS).unwrap_or_else(|| "us-east-1".to_owned()).parse()?,
    };
    let transport = if flags.s3_plain_http { Transport::PlainAllowed } else { Transport::Tls };
    let endpoint = match flags.s3_endpoint.clone().or_else(|| first_of(&env_vars::S3_ENDPOINTS)) {
        Some(text) => Endpoint::new(&text, transport)?,
        None => Endpoint::of_amazon(&region)?,
    };
    let credentials = Credentials::new(
        required(env_vars::AWS_ACCESS_KEY_ID, &bucket)?,
        required(env_vars::AWS_SECRET_ACCESS_KEY, &bucket)?,
        env_vars::get(env_vars::AWS_SESSION_TOKEN),
    );
    Ok(S3Settings { bucket, endpoint, region, credentials, clock: clock() })
}

fn first_of(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| env_vars::get(name))
}

fn required(name: &str, bucket: &Bucket) -> Result<String, CommandError> {
    env_vars::get(name).ok_or_else(|| {
        let message = format!("requests to {bucket} are signed with `{name}`, which is not set");
        let hint = "profiles, files and instance roles are not asked: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                    and AWS_SESSION_TOKEN where they are of a session";
        CommandError::new(Exit::Usage, message).hint(hint)
    })
}
