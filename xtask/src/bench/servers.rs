//! `cargo xtask bench server`: the control plane beside other registries on this machine, with the same bytes and the same client.
//!
//! ```text
//! a round: every server in turns, in another order each time:
//!     start ─► idle memory ─► pushed once ─► manifests ─► blobs ─► many pulls ─► many pushes ─► peak memory ─► end
//! ```
//!
//! The client (`load.rs`) is ours and knows little: it shares the processors with the server, so it must cost less than the server.

mod contender;
mod load;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::contender::{Contender, Software};
use self::load::{Body, Load};
use self::table::Figures;
use super::registry::turns;
use super::sample::Sample;
use super::{client, measured, report};
use crate::failure::{Failure, Outcome};
use crate::{generate, workspace};

const MIB: u64 = 1 << 20;
/// Of one blob that is read over and over.
const LARGE: u64 = 256 * MIB;
/// Of the blob that everybody pulls at once.
const SHARED: u64 = 16 * MIB;
/// Of the blobs that are pushed at once.
const PUSHED: usize = 4 << 20;
const PUSHES: usize = 64;
const PULLS: usize = 256;
/// Connections that ask for manifests at the same time.
const ASKING: usize = 32;
/// Connections that read the large blob at the same time.
const READING: usize = 4;
/// How often each of them reads it.
const READS: usize = 2;
const SPAN: Duration = Duration::from_secs(2);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What every server gets.
struct Bench {
    directory: PathBuf,
    port: PathBuf,
    large: Sample,
    shared: Sample,
    pushed: Vec<Body>,
}

pub(super) fn run(rounds: usize) -> Outcome {
    let port = generate::port("release")?;
    let contenders = Software::present();
    let directory = workspace::target_directory().join("bench-server");
    client::remove(&directory)?;
    client::make(&directory)?;
    let bench = Bench {
        port,
        large: Sample::create(&directory.join("large"), LARGE)?,
        shared: Sample::create(&directory.join("shared"), SHARED)?,
        pushed: bodies(&directory)?,
        directory,
    };
    let measured = bench.measure(&contenders, rounds);
    let line = bench.line_rate();
    client::remove(&bench.directory)?;
    let (figures, line) = (measured?, line?);
    report::publish_section("server", &table::section(&figures, line, rounds))?;
    Failure::from_findings(table::missed(&figures, line))
}

/// Different ones, none of which can be compressed.
fn bodies(directory: &Path) -> Outcome<Vec<Body>> {
    let path = directory.join("pushed");
    let mut bodies = Vec::new();
    for number in 0..PUSHES {
        let sample = Sample::create(&path, PUSHED as u64)?;
        let bytes = std::fs::read(sample.path()).map_err(|error| Failure::io("read", &path, &error))?;
        if number == 0 {
            println!("{PUSHES} blobs of {} MiB to push", bytes.len() >> 20);
        }
        bodies.push(Body { digest: sample.digest().to_owned(), bytes });
    }
    Ok(bodies)
}

impl Bench {
    fn measure(&self, contenders: &[Software], rounds: usize) -> Outcome<Vec<Figures>> {
        let mut figures: Vec<Figures> = contenders.iter().map(|software| Figures::new(*software)).collect();
        for round in 0..rounds {
            for index in turns(contenders.len(), round) {
                let Some(figures) = figures.get_mut(index) else { continue };
                self.turn(figures)?;
                println!("round {} of {rounds}: {}", round + 1, figures.last());
            }
        }
        Ok(figures)
    }

    fn turn(&self, figures: &mut Figures) -> Outcome {
        let directory = self.directory.join(figures.software.name());
        client::remove(&directory)?;
        client::make(&directory)?;
        measured::settle(&directory)?;
        let server = Contender::start(figures.software, &self.port, &directory)?;
        // What a server does right after its start is no idling.
        std::thread::sleep(Duration::from_secs(1));
        figures.started.push(server.started.as_secs_f64() * 1000.0);
        figures.idle.push(server.memory()?.now as f64);
        let load = Load::new(server.address, server.authorization());
        self.populate(&load)?;
        figures.gets.push(load.requests("GET", "manifests/v1", ASKING, SPAN)?);
        figures.heads.push(load.requests("HEAD", "manifests/v1", ASKING, SPAN)?);
        let blob = |sample: &Sample| format!("blobs/sha256:{}", sample.digest());
        let read = load.pulls(&blob(&self.large), READING, READS, LARGE)?;
        figures.read.push((LARGE as usize * READING * READS) as f64 / read.as_secs_f64());
        let pulls = load.pulls(&blob(&self.shared), PULLS, 1, SHARED)?;
        figures.pulls.push(pulls.as_secs_f64() * 1000.0);
        figures.pushes.push(load.pushes(&self.pushed)?.as_secs_f64() * 1000.0);
        figures.peak.push(server.memory()?.peak as f64);
        drop(server);
        client::remove(&directory)
    }

    /// A manifest with both blobs.
    fn populate(&self, load: &Load) -> Outcome {
        let mut layers = Vec::new();
        for sample in [&self.large, &self.shared] {
            let bytes = std::fs::read(sample.path());
            let bytes = bytes.map_err(|error| Failure::io("read", sample.path(), &error))?;
            load.push(&Body { digest: sample.digest().to_owned(), bytes })?;
            layers.push(serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": format!("sha256:{}", sample.digest()), "size": sample.size}));
        }
        let config = Body { digest: super::sample::CONFIG_DIGEST.to_owned(), bytes: b"{}".to_vec() };
        load.push(&config)?;
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{}", config.digest), "size": 2}});
        load.put_manifest("v1", MANIFEST, manifest.to_string().as_bytes())
    }

    /// What this machine's loopback carries when the kernel copies a file into a socket and nobody does anything else.
    fn line_rate(&self) -> Outcome<f64> {
        let address = load::serve_file(self.large.path(), READING)?;
        let load = Load::new(address, None);
        let read = load.pulls("blob", READING, READS, LARGE)?;
        Ok((LARGE as usize * READING * READS) as f64 / read.as_secs_f64())
    }
}
