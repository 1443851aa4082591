//! A job: all that a supervisor needs to run a workload, as it lies in the workload's room.
//!
//! Made by a driver out of a plan, read by the supervisor, which judges nothing. Invariant: equal plans on equal hosts
//! make equal jobs.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::machine::MachineJob;

/// The version of jobs and records. Another one is refused: whoever started a workload stops it.
pub(crate) const VERSION: u32 = 1;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// The workload's name.
    pub name: String,
    /// Its mode, in the manifest's word.
    pub mode: String,
    /// Its command, as it was asked for.
    pub command: Vec<String>,
    /// What its root is mounted from.
    pub lower: Lower,
    /// What takes its writes.
    pub layer: Layer,
    /// What it may use.
    pub limits: Vec<Limit>,
    /// Its place on the bridge, where it has one.
    pub network: Option<Bridge>,
    /// Its name servers, where it has its own.
    pub name_servers: Vec<IpAddr>,
    /// Whether it runs where a limit cannot be enforced.
    pub best_effort: bool,
    /// What is said and hinders nothing.
    pub warnings: Vec<String>,
    /// What is started: the program and its arguments. The room's root is mounted by then.
    pub program: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// What a command that is executed later passes through.
    pub gate: Vec<String>,
    /// What is made of all this.
    pub body: Body,
}

/// What kind of thing runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A container whose command is its number 2.
    Container,
    /// A container with an init of its own.
    Booted {
        /// What runs beside the init, and ends the workload; none where the init is all.
        command: Option<Vec<String>>,
    },
    /// A machine with its own kernel.
    Machine(Box<MachineJob>),
    /// Programs of another architecture, in namespaces that a user of no rights owns.
    Emulated {
        /// What it sees of the host.
        volumes: Vec<Volume>,
        /// The launcher, which is number 1.
        launcher: PathBuf,
        /// Whether its root takes writes.
        writable: bool,
    },
}

/// A directory or file of the host in a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// On the host.
    pub host: PathBuf,
    /// In the workload.
    pub container: PathBuf,
    /// Whether it may be written to.
    pub writable: bool,
}

impl From<&port_workload::Mount> for Volume {
    fn from(mount: &port_workload::Mount) -> Self {
        let writable = mount.access == port_workload::Access::ReadWrite;
        Self { host: mount.host.clone(), container: mount.container.clone(), writable }
    }
}

/// What a root is mounted from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lower {
    /// A directory.
    Directory(PathBuf),
    /// An image with a file system that the kernel knows.
    Image(PathBuf),
}

/// What takes a workload's writes to its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A directory of the room, which the next run finds again.
    Kept,
    /// Memory.
    Memory,
}

/// A place on the bridge that workloads share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// The address that was asked for.
    pub address: Option<Ipv4Addr>,
    /// Ports of the host that lead to it.
    pub ports: Vec<Port>,
}

/// A port of the host that leads to one of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// On the host.
    pub host: u16,
    /// In the workload.
    pub container: u16,
    /// Of which protocol.
    #[serde(default)]
    pub protocol: Transport,
}

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Streams.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// A limit as a file of a control group, version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The controller that must be there.
    pub controller: String,
    /// The file.
    pub file: String,
    /// What is written to it.
    pub value: String,
}

impl From<port_workload::Setting> for Limit {
    fn from(setting: port_workload::Setting) -> Self {
        Self { controller: setting.controller.into(), file: setting.file.into(), value: setting.value }
    }
}
