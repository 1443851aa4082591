//! Reads `[base_images]`.

use super::artifacts::architecture;
use super::context::Context;
use super::rules::Query;
use crate::project::BaseImageSettings;
use port_document::Node;

/// Reads the settings of the cache.
pub(super) fn read(node: Node<'_>, context: &Context<'_>) -> Option<BaseImageSettings> {
    let table = node.table()?;
    let architecture = table.maybe("architecture", |node| architecture(&node));
    let cache_directory = table.maybe("cache_directory", |node| node.path());
    let max_stored_images = table.maybe("max_stored_images", |node| node.integer(0..=u64::from(u32::MAX)));
    let manifest_url = table.maybe("manifest_url", |node| context.url(&node, Query::Taken));
    let manifest_path = table.maybe("manifest_path", |node| node.path());
    table.finish();
    Some(BaseImageSettings {
        architecture: architecture?,
        cache_directory: cache_directory?,
        max_stored_images: max_stored_images?,
        manifest_url: manifest_url?,
        manifest_path: manifest_path?,
    })
}
