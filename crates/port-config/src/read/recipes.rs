//! Reads a `recipe` table.

use port_model::ArtifactClass;

use super::context::Context;
use super::rules;
use crate::recipe::{ImageFormat, Recipe};
use port_document::{Node, Table};

/// Largest image, in MiB: 16 TiB, what ext4 with 4 KiB blocks and 32-bit block numbers holds.
const LARGEST_MIB: u32 = 16 * 1024 * 1024;

/// Reads a recipe.
pub(super) fn read(node: Node<'_>, context: &Context<'_>) -> Option<Recipe> {
    let table = node.table()?;
    let format = table.required("format").and_then(|node| format(&node));
    let size_mib = table.maybe("size_mib", |node| size_mib(&node, format));
    let label = table.maybe("label", |node| label(&node, format));
    let kernel = table.maybe("kernel", |node| context.artifact_name(&node, ArtifactClass::Kernel));
    let path = |table: &Table<'_>, key| table.maybe(key, |node| node.path());
    let agent = path(&table, "agent");
    let busybox = path(&table, "busybox");
    let directory = path(&table, "directory");
    let hostname = table.maybe("hostname", |node| node.obeying(rules::hostname));
    table.finish();
    Some(Recipe {
        format: format?,
        size_mib: size_mib?,
        label: label?,
        kernel: kernel?,
        agent: agent?,
        busybox: busybox?,
        directory: directory?,
        hostname: hostname?,
    })
}

fn format(node: &Node<'_>) -> Option<ImageFormat> {
    Some(match node.word("image format", ImageFormat::WORDS)? {
        "squashfs" => ImageFormat::Squashfs,
        "erofs" => ImageFormat::Erofs,
        _ => ImageFormat::Ext4,
    })
}

fn size_mib(node: &Node<'_>, format: Option<ImageFormat>) -> Option<u32> {
    match format {
        Some(format @ (ImageFormat::Squashfs | ImageFormat::Erofs)) => node.wrong(format!(
            "only an `ext4` image has a size of its own, found it with `{}`",
            format.component_format()
        )),
        _ => node.integer32(1..=LARGEST_MIB),
    }
}

/// The volume name's field is 16 bytes in ext4; EROFS ends it with a zero; squashfs has none.
fn label(node: &Node<'_>, format: Option<ImageFormat>) -> Option<String> {
    let longest = match format {
        Some(ImageFormat::Squashfs) => {
            return node.wrong("a `squashfs` image has no label");
        }
        Some(ImageFormat::Erofs) => 15,
        _ => 16,
    };
    node.obeying(|text| {
        if text.len() > longest {
            return Err(format!("expected a label of at most {longest} bytes, found {}", text.len()));
        }
        if text.is_ascii() {
            Ok(())
        } else {
            Err(format!("expected a label of ASCII characters, found `{text}`"))
        }
    })
}
