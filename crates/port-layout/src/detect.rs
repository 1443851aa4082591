//! Which layout a document is in, with reasons. A guess is never made: what two layouts claim, or none, is
//! unknown, and the reasons say why.

use std::fmt;
use std::str::FromStr;

use crate::annotations::{
    CLASS, KRAFTKIT_VERSION, KUBESOLO_ARCHITECTURE, KUBESOLO_CHANNEL, KUBESOLO_VERSION, UNIKRAFT_INITRD,
    UNIKRAFT_KERNEL,
};
use crate::document::Document;
use crate::media_types::{self, CONFIG, EMPTY_CONFIG, KUBESOLO_INITRAMFS, KUBESOLO_KERNEL, UNKNOWN_CONFIG};
use crate::oci::{Annotations, Descriptor, Index, Manifest};

/// A form in which bundles are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// Port's own: an index, a config with all facts.
    Native,
    /// As Port publishes today: one variant per tag, as `oras push` writes it.
    PortV1,
    /// KraftKit's packages.
    KraftKit,
    /// KubeSolo OS's updates.
    KubeSolo,
}

impl Layout {
    /// Every layout.
    pub const ALL: &'static [Self] = &[Self::Native, Self::PortV1, Self::KraftKit, Self::KubeSolo];
    /// The word of every layout.
    pub const WORDS: &'static [&'static str] = &["native", "port-v1", "kraftkit", "kubesolo"];

    /// The word for this layout.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::PortV1 => "port-v1",
            Self::KraftKit => "kraftkit",
            Self::KubeSolo => "kubesolo",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Layout {
    type Err = port_model::UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|layout| layout.as_str() == text);
        found.ok_or_else(|| port_model::UnknownWord {
            what: "layout",
            found: text.to_owned(),
            expected: Self::WORDS,
        })
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The layout; none where nothing or more than one thing speaks for it.
    pub layout: Option<Layout>,
    /// What speaks for which layout, in whole clauses; or why nothing does.
    pub reasons: Vec<String>,
}

type Signs = Vec<(Layout, String)>;

/// Which layout the document is in.
pub fn detect(document: &Document) -> Detected {
    let (signs, nothing) = match document {
        Document::Manifest(manifest) => {
            (of_manifest(manifest), "a manifest with no sign of a layout that Port knows")
        }
        Document::Index(index) => {
            (of_index(index), "an index whose entries name no layout: a manifest in it may")
        }
    };
    let mut layouts: Vec<Layout> = signs.iter().map(|(layout, _)| *layout).collect();
    layouts.dedup();
    let mut reasons: Vec<String> =
        signs.into_iter().map(|(layout, reason)| format!("{layout}: {reason}")).collect();
    if reasons.is_empty() {
        reasons.push(nothing.to_owned());
    }
    match layouts.as_slice() {
        [only] => Detected { layout: Some(*only), reasons },
        _ => Detected { layout: None, reasons },
    }
}

fn of_manifest(manifest: &Manifest) -> Signs {
    let mut signs = Signs::new();
    let config = manifest.config.media_type.as_str();
    if config == CONFIG {
        signs.push((Layout::Native, format!("the config is a `{CONFIG}`")));
    }
    if manifest.annotations.contains_key(KRAFTKIT_VERSION) {
        signs.push((Layout::KraftKit, format!("it is annotated `{KRAFTKIT_VERSION}`")));
    }
    for key in [UNIKRAFT_KERNEL, UNIKRAFT_INITRD] {
        if manifest.layers.iter().any(|layer| layer.annotations.contains_key(key)) {
            signs.push((Layout::KraftKit, format!("a layer is annotated `{key}`")));
        }
    }
    for media_type in [KUBESOLO_KERNEL, KUBESOLO_INITRAMFS] {
        if manifest.layers.iter().any(|layer| layer.media_type == media_type) {
            signs.push((Layout::KubeSolo, format!("a layer is a `{media_type}`")));
        }
    }
    // Port's layer types and oras's shape are signs only where no stronger one is: other layouts have them too.
    if signs.is_empty() {
        signs.extend(of_oras_push(manifest));
    }
    signs
}

fn of_oras_push(manifest: &Manifest) -> Option<(Layout, String)> {
    let typed = manifest.layers.iter().find(|layer| media_types::class_of_layer(&layer.media_type).is_some());
    if let Some(layer) = typed {
        return Some((Layout::PortV1, format!("a layer is a `{}`", layer.media_type)));
    }
    let config = manifest.config.media_type.as_str();
    let is_artifact = config == EMPTY_CONFIG || config == UNKNOWN_CONFIG;
    let titled = !manifest.layers.is_empty() && manifest.layers.iter().all(|l| l.title().is_some());
    (is_artifact && titled).then(|| (Layout::PortV1, "an `oras push` of titled files".to_owned()))
}

fn of_index(index: &Index) -> Signs {
    let mut signs = Signs::new();
    let any = |test: &dyn Fn(&Descriptor) -> bool| index.manifests.iter().any(test);
    let is_native = |e: &Descriptor| {
        e.annotations.contains_key(CLASS)
            || e.artifact_type.as_deref().and_then(media_types::class_of).is_some()
    };
    if any(&is_native) {
        signs.push((Layout::Native, "an entry says one of Port's artifact classes".to_owned()));
    }
    let is_package = |a: &Annotations| a.contains_key(KRAFTKIT_VERSION);
    if any(&|e| is_package(&e.annotations)) {
        signs.push((Layout::KraftKit, format!("an entry is annotated `{KRAFTKIT_VERSION}`")));
    }
    let is_update = |a: &Annotations| {
        [KUBESOLO_VERSION, KUBESOLO_CHANNEL, KUBESOLO_ARCHITECTURE].iter().any(|k| a.contains_key(*k))
    };
    if is_update(&index.annotations) || any(&|e| is_update(&e.annotations)) {
        signs.push((Layout::KubeSolo, "it is annotated `io.kubesolo.os.*`".to_owned()));
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    fn check(text: &str, layout: Option<Layout>, reason: &str) {
        let detected = detect(&document::read(text.as_bytes(), None).unwrap());
        assert_eq!(detected.layout, layout, "{:?}", detected.reasons);
        assert!(detected.reasons.iter().any(|found| found.contains(reason)), "{:?}", detected.reasons);
    }

    #[test]
    fn each_golden_document_is_known_for_what_it_is() {
        for (text, layout) in [
            (include_str!("../tests/golden/native/manifest.json"), Layout::Native),
            (include_str!("../tests/golden/native/manifest-zstd.json"), Layout::Native),
            (include_str!("../tests/golden/native/manifest-packed.json"), Layout::Native),
            (include_str!("../tests/golden/native/index.json"), Layout::Native),
            (include_str!("../tests/golden/port-v1/kernel.json"), Layout::PortV1),
            (include_str!("../tests/golden/port-v1/guest-image.json"), Layout::PortV1),
            (include_str!("../tests/golden/port-v1/foreign-oras.json"), Layout::PortV1),
            (include_str!("../tests/golden/kubesolo/manifest-amd64.json"), Layout::KubeSolo),
            (include_str!("../tests/golden/kubesolo/index.json"), Layout::KubeSolo),
            (include_str!("../tests/golden/kraftkit/manifest.json"), Layout::KraftKit),
            (include_str!("../tests/golden/kraftkit/index.json"), Layout::KraftKit),
        ] {
            check(text, Some(layout), layout.as_str());
        }
    }

    #[test]
    fn what_nothing_or_two_things_speak_for_is_unknown() {
        let image = include_str!("../tests/golden/kubesolo/scratch-container.json");
        check(image, Some(Layout::KubeSolo), "a layer is a");
        check(&image.replace("vnd.kubesolo", "vnd.other"), None, "no sign of a layout");
        let two = image.replace("io.kubesolo.os.version", KRAFTKIT_VERSION);
        check(&two, None, "kraftkit: it is annotated");
        check(&two, None, "kubesolo: a layer is");
        check(r#"{"schemaVersion":2,"manifests":[]}"#, None, "a manifest in it may");
        // Nobody pulls a delta for a bundle: it is no `oras push` of a file.
        check(include_str!("../tests/golden/delta/manifest.json"), None, "no sign of a layout");
        check(include_str!("../tests/golden/delta/referrers.json"), None, "a manifest in it may");
    }

    #[test]
    fn words_round_trip() {
        for layout in Layout::ALL {
            assert_eq!(layout.as_str().parse::<Layout>().unwrap(), *layout);
        }
        assert!("oras".parse::<Layout>().unwrap_err().to_string().contains("native, port-v1"));
    }
}
