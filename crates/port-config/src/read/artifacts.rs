//! Reads `[artifacts]`: both classes, their references and variants.

use std::collections::BTreeMap;

use port_model::{
    ArchitectureSelector, ArtifactClass, FileName, INITRD_FILE_NAME, ProtectionMode, Reference,
    ReferencePart, Substrate, Variant,
};

use super::context::Context;
use super::{distribution, recipes, sources};
use crate::artifact::{Artifact, VariantConfig};
use crate::recipe::Recipe;
use port_document::{Node, Place, Table};

/// Reads every artifact. The names of both classes are known before the first is read, since a recipe may
/// name a kernel.
pub(super) fn read(root: &Table<'_>, context: &mut Context<'_>) -> Option<BTreeMap<String, Artifact>> {
    let Some(node) = root.optional("artifacts") else { return Some(BTreeMap::new()) };
    let table = node.table()?;
    let kernels = table.maybe("kernels", Node::table);
    let guest_images = table.maybe("guest_images", Node::table);
    table.finish();
    let complete = kernels.is_some() && guest_images.is_some();
    let kernels = kernels.flatten().map(|table| (ArtifactClass::Kernel, table));
    let guest_images = guest_images.flatten().map(|table| (ArtifactClass::GuestImage, table));
    let classes: Vec<(ArtifactClass, Table<'_>)> = kernels.into_iter().chain(guest_images).collect();
    for (class, table) in &classes {
        for (name, place, node) in table.named() {
            context.learn_artifact(&place, name, *class, node.has_items("variants"));
        }
    }
    let mut artifacts = Some(BTreeMap::new());
    for (class, table) in &classes {
        for (name, place, node) in table.named() {
            match (artifact(context, &place, name, *class, node), &mut artifacts) {
                (Some(artifact), Some(artifacts)) => drop(artifacts.insert(name.to_owned(), artifact)),
                _ => artifacts = None,
            }
        }
    }
    artifacts.filter(|_| complete)
}

fn artifact(
    context: &Context<'_>,
    place: &Place,
    name: &str,
    class: ArtifactClass,
    node: Node<'_>,
) -> Option<Artifact> {
    let name = context.name(place, name);
    let table = node.table()?;
    let reference = table.required("reference").and_then(reference);
    let build = table.maybe("build", |node| node.string().map(str::to_owned));
    let validate = table.maybe("validate", |node| node.string().map(str::to_owned));
    let distribution = table.maybe("distribution", |node| distribution::read(node, context, class));
    let recipe = match class {
        ArtifactClass::Kernel => Some(None),
        ArtifactClass::GuestImage => table.maybe("recipe", |node| recipes::read(node, context)),
    };
    // A broken recipe is not a missing one: variants are read all the same, for their findings.
    let inherited = recipe.clone().flatten();
    let variants = table.maybe("variants", |node| variants(context, class, inherited.as_ref(), node));
    distribution::encoding_belongs_to_push(&table);
    table.finish();
    recipe?;
    Some(Artifact {
        name: name?,
        class,
        reference: reference?,
        build: build?,
        validate: validate?,
        distribution: distribution?.unwrap_or_default(),
        variants: variants?.unwrap_or_default(),
    })
}

/// A reference from its parts; a finding stands at the part that is wrong.
fn reference(node: Node<'_>) -> Option<Reference> {
    let table = node.table()?;
    let part = |key| {
        let node = table.required(key)?;
        Some((node.text()?, node))
    };
    let (registry, repository, version) = (part("registry"), part("repository"), part("version"));
    table.finish();
    let ((registry, registry_node), (repository, repository_node), (version, version_node)) =
        (registry?, repository?, version?);
    match Reference::new(registry, repository, version) {
        Ok(reference) => Some(reference),
        Err(error) => {
            let node = match &error {
                port_model::ReferenceError::BadPart { part: ReferencePart::Registry, .. } => registry_node,
                port_model::ReferenceError::BadPart { part: ReferencePart::Repository, .. } => {
                    repository_node
                }
                _ => version_node,
            };
            node.wrong(error.to_string())
        }
    }
}

fn variants(
    context: &Context<'_>,
    class: ArtifactClass,
    inherited: Option<&Recipe>,
    node: Node<'_>,
) -> Option<Vec<VariantConfig>> {
    let mut seen = BTreeMap::new();
    node.each(|node| {
        let place = node.place.clone();
        let table = node.table()?;
        let selector = table.required("selector").and_then(|node| {
            let selector = Placed { variant: place.key.clone(), selector: node.place.clone() };
            Some((self::selector(context, node)?, selector))
        });
        let variant = selector.as_ref().map(|((variant, _), _)| *variant);
        let unique = selector
            .map(|((variant, is_native), placed)| unique(context, &mut seen, variant, is_native, placed));
        let config = variant_config(context, class, inherited, &table, variant);
        unique?.and(config)
    })
}

/// Where a variant stands.
struct Placed {
    variant: String,
    selector: Place,
}

/// One selector, one variant (acceptance Pu-11), `native` resolved.
fn unique(
    context: &Context<'_>,
    seen: &mut BTreeMap<Variant, (String, bool)>,
    variant: Variant,
    is_native: bool,
    placed: Placed,
) -> Option<()> {
    let Some((earlier, earlier_is_native)) = seen.get(&variant) else {
        seen.insert(variant, (placed.variant, is_native));
        return Some(());
    };
    let message = format!("`{variant}` is the selector of `{earlier}` already");
    if is_native || *earlier_is_native {
        let hint = format!("`native` is `{}` on this host", context.host);
        context.findings.add_with_hint(&placed.selector, message, hint);
    } else {
        context.findings.add(&placed.selector, message);
    }
    None
}

/// The variant, and whether its architecture is written as `native`.
fn selector(context: &Context<'_>, node: Node<'_>) -> Option<(Variant, bool)> {
    let table = node.table()?;
    let architecture = table.required("architecture").and_then(|node| architecture(&node));
    let substrate = table.required("substrate").and_then(|node| node.parsed::<Substrate>());
    let mode = table.required("protection_mode").and_then(|node| node.parsed::<ProtectionMode>());
    table.finish();
    let (architecture, substrate, mode) = (architecture?, substrate?, mode?);
    let variant = Variant::new(architecture.resolve(context.host), substrate, mode);
    context.protection(&table.place, variant)?;
    Some((variant, architecture == ArchitectureSelector::Native))
}

/// An architecture of the file. `x86-64` is the flag's spelling only (acceptance P-23).
pub(super) fn architecture(node: &Node<'_>) -> Option<ArchitectureSelector> {
    node.word("architecture", ArchitectureSelector::WORDS)?;
    node.parsed()
}

fn variant_config(
    context: &Context<'_>,
    class: ArtifactClass,
    inherited: Option<&Recipe>,
    table: &Table<'_>,
    variant: Option<Variant>,
) -> Option<VariantConfig> {
    let path_node = table.required("path");
    let path_place = path_node.as_ref().map(|node| node.place.clone());
    let path = path_node.and_then(|node| {
        let path = node.path()?;
        if node.text()?.ends_with('/') {
            return node.wrong(format!("expected the path of a file, found `{}`", path.display()));
        }
        match FileName::of_path(&path) {
            Ok(file_name) => Some((path, file_name)),
            Err(error) => node.wrong(error.to_string()),
        }
    });
    let (sources, recipe) = match class {
        ArtifactClass::Kernel => {
            (table.maybe("sources", |node| sources::read(node, context, variant)), Some(None))
        }
        ArtifactClass::GuestImage => (Some(None), table.maybe("recipe", |node| recipes::read(node, context))),
    };
    table.finish();
    let (path, file_name) = path?;
    let recipe = recipe?.or_else(|| inherited.cloned());
    let place = path_place?;
    context.claim(&place, "the path", &path)?;
    if recipe.is_some() {
        context.claim(&place, "the path of its initrd", &path.with_file_name(INITRD_FILE_NAME))?;
    }
    Some(VariantConfig { variant: variant?, path, file_name, sources: sources?.unwrap_or_default(), recipe })
}
