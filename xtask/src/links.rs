//! Relative links in the documents lead to files of this clone: a page that moved must not leave readers at nothing.
//! Only the inline form `[text](target)` is understood, outside of code. What a link says of another site is not asked.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::workspace;

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];
const FOLDER: &str = "docs";

pub(crate) fn check() -> Outcome {
    let root = workspace::root();
    let mut count = 0;
    let mut findings = Vec::new();
    for document in documents(&root)? {
        let text = workspace::read_text(&document)?;
        let folder = document.parent().unwrap_or(&root);
        for (line_number, target) in relative_links(&text) {
            count += 1;
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !folder.join(path).exists() {
                let shown = document.strip_prefix(&root).unwrap_or(&document).display();
                findings.push(format!(
                    "{shown}:{line_number}: the link `{target}` leads nowhere: expected `{path}` beside this document"
                ));
            }
        }
    }
    println!("links: {count} relative links looked at");
    Failure::from_findings(findings)
}

/// The documents of the root that exist, and every page below `docs`.
fn documents(root: &Path) -> Outcome<Vec<PathBuf>> {
    let mut documents: Vec<PathBuf> =
        DOCUMENTS.iter().map(|name| root.join(name)).filter(|path| path.is_file()).collect();
    let mut pending = vec![root.join(FOLDER)];
    while let Some(directory) = pending.pop() {
        for path in workspace::entries(&directory)? {
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents.sort();
    Ok(documents)
}

/// Line number (from 1) and target of each link that stays in this clone.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut in_code = false;
    let mut links = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        // Every second piece between backquotes is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let relative = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
        links.extend(relative.map(|target| (index + 1, target.to_owned())));
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "\
[a](docs/a.md) and [`b`](b.md#part \"title\"), [web](https://x.test/y), [top](#top)
`[not](code.md)` [c](c.md)
```text
[not](block.md)
```
";
        let links = relative_links(text);
        let links: Vec<(usize, &str)> = links.iter().map(|(line, target)| (*line, target.as_str())).collect();
        assert_eq!(links, [(1, "docs/a.md"), (1, "b.md#part"), (1, "#top"), (2, "c.md")]);
    }
}
