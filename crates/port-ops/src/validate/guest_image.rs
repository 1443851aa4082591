//! Is it a sound file system with what a guest needs in it (acceptance P-74 … P-79)? Nothing is mounted.

use port_content::fs;
use port_image::check::{check_filesystem, detect_format};
use port_image::inspect::{Found, ImageReader};
use port_model::{ComponentFormat, INITRD_FILE_NAME, ProtectionMode, Variant};

use super::Finding;
use crate::error::OpsError;
use crate::target::Target;

/// What every guest image has (acceptance P-75).
const FILES: [&str; 3] = ["/init", "/bin/busybox", "/usr/bin/port-guest-agent"];
/// What only a PVM guest image has (acceptance P-77).
const PROTECTION_MODE: &str = "/etc/port-protection-mode";
const GUEST_ARCHITECTURE: &str = "/etc/port-guest-architecture";
/// The largest text file that is read, in bytes.
const TEXT: u64 = 1024 * 1024;

/// All checks of a guest image and its companion.
pub(super) fn check(target: Target<'_>) -> Result<Vec<Finding>, OpsError> {
    let path = &target.config.path;
    let mut findings = Vec::new();
    let format = match detect_format(path)? {
        Some(format @ (ComponentFormat::Ext4 | ComponentFormat::Squashfs | ComponentFormat::Erofs)) => format,
        found => {
            let found = found.map_or("nothing that Port knows", ComponentFormat::as_str);
            return Ok(vec![Finding::failed("format", format!("{found}, expected ext4, squashfs or erofs"))]);
        }
    };
    findings.push(Finding::passed("format", format.as_str()));
    let report = check_filesystem(path, format)?;
    let clean = report.is_clean();
    findings.push(if clean {
        Finding::passed("file system", format!("clean ({})", report.checker))
    } else {
        Finding::failed("file system", format!("{}: {}", report.checker, report.words))
    });
    // A damaged file system is looked into all the same: what is still there is worth knowing.
    let reader = ImageReader::open(path, format)?;
    findings.extend(FILES.iter().map(|file| present(&reader, file)));
    findings.push(launches_agent(&reader));
    findings.extend(markers(&reader, target.variant()));
    findings.extend(initrd(target)?);
    Ok(findings)
}

fn present(reader: &ImageReader, file: &str) -> Finding {
    match reader.find(file) {
        Ok(Found::File(0)) => Finding::failed(file, "an empty file"),
        Ok(Found::File(size)) => Finding::passed(file, format!("{size} bytes")),
        Ok(Found::Other) => Finding::failed(file, "not a regular file"),
        Ok(Found::Nothing) => Finding::failed(file, "not there"),
        Err(error) => Finding::failed(file, error.to_string()),
    }
}

/// Acceptance P-76: a line of `/init`, other than a comment, names the agent.
fn launches_agent(reader: &ImageReader) -> Finding {
    let check = "what /init starts";
    match text(reader, "/init") {
        Err(error) => Finding::failed(check, error),
        Ok(script) => {
            let mut lines = script.lines().map(str::trim).filter(|line| !line.starts_with('#'));
            match lines.any(|line| line.contains("port-guest-agent")) {
                true => Finding::passed(check, "port-guest-agent"),
                false => Finding::failed(check, "no line starts port-guest-agent"),
            }
        }
    }
}

fn text(reader: &ImageReader, file: &str) -> Result<String, String> {
    let bytes = reader.read_file(file, TEXT).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())
}

/// The markers tell a PVM image from a standard one, in both directions (acceptance P-77).
fn markers(reader: &ImageReader, variant: Variant) -> Vec<Finding> {
    if variant.protection_mode == ProtectionMode::Pvm {
        let architecture = variant.architecture.as_str();
        return vec![
            marker(reader, PROTECTION_MODE, "pvm"),
            marker(reader, GUEST_ARCHITECTURE, architecture),
        ];
    }
    match text(reader, PROTECTION_MODE) {
        Ok(found) if found.trim() == "pvm" => {
            vec![Finding::failed(PROTECTION_MODE, "`pvm`: this is a PVM image in a standard lane")]
        }
        _ => Vec::new(),
    }
}

fn marker(reader: &ImageReader, file: &str, expected: &str) -> Finding {
    match text(reader, file) {
        Ok(found) if found.trim() == expected => Finding::passed(file, expected),
        Ok(found) => Finding::failed(file, format!("`{}`, expected `{expected}`", found.trim())),
        Err(error) => Finding::failed(file, error),
    }
}

/// The companion: readable to its end, with an init in it (acceptance P-78, P-79).
fn initrd(target: Target<'_>) -> Result<Vec<Finding>, OpsError> {
    let path = target.initrd_path();
    let check = INITRD_FILE_NAME;
    if !fs::exists(&path) {
        let required = target.variant().ships_initrd();
        return Ok(required.then(|| Finding::failed(check, "not there")).into_iter().collect());
    }
    let report = check_filesystem(&path, ComponentFormat::CpioGz)?;
    if !report.is_clean() {
        return Ok(vec![Finding::failed(check, report.words)]);
    }
    let init = present(&ImageReader::open(&path, ComponentFormat::CpioGz)?, "/init");
    let found = format!("{}, /init: {}", report.words, init.found);
    Ok(vec![Finding { check: check.to_owned(), passed: init.passed, found }])
}
