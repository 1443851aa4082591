//! The answers of S3, as far as they are used: XML without attributes that matter, flat lists of elements with text.
//!
//! A reader of its own, since that is all there is to read: elements are found by their name inside their parent, the five entities and
//! character references are undone, everything else is passed over. Bounded by the text that it is given; what it does not
//! understand is not there, and callers say what they miss.

/// An element's inside, or a whole document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a>(&'a str);

impl<'a> Element<'a> {
    /// The name of the outermost element of a document, and its inside.
    pub(super) fn root(document: &'a str) -> Option<(&'a str, Self)> {
        Tags(document).next()
    }

    /// The elements of that name directly inside.
    pub(super) fn children(self, name: &'a str) -> impl Iterator<Item = Self> {
        Tags(self.0).filter(move |(found, _)| *found == name).map(|(_, inside)| inside)
    }

    /// The text of the first element of that name directly inside.
    pub(super) fn text(self, name: &'a str) -> Option<String> {
        self.children(name).next().map(|element| unescaped(element.0))
    }
}

/// The elements of one level, in order.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = (&'a str, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (_, rest) = self.0.split_once('<')?;
            let (tag, behind) = rest.split_once('>')?;
            self.0 = behind;
            if tag.starts_with(['?', '!']) {
                continue;
            }
            let name = tag.trim_end_matches('/').split_ascii_whitespace().next().unwrap_or_default();
            if tag.starts_with('/') || name.is_empty() {
                // An end without a beginning: nothing that follows can be believed.
                self.0 = "";
                return None;
            }
            if tag.ends_with('/') {
                return Some((name, Element("")));
            }
            let (inside, behind) = split_at_end(behind, name)?;
            self.0 = behind;
            return Some((name, Element(inside)));
        }
    }
}

/// What is before the end of the element `name`, and what is behind it. Elements of the same name may lie inside.
fn split_at_end<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let (mut depth, mut at) = (1usize, 0usize);
    loop {
        let rest = text.get(at..)?;
        let start = at + rest.find('<')?;
        let end = start + text.get(start..)?.find('>')?;
        let tag = text.get(start + 1..end)?;
        at = end + 1;
        if let Some(closed) = tag.strip_prefix('/') {
            if closed.trim_end() == name {
                depth -= 1;
            }
            if depth == 0 {
                return Some((text.get(..start)?, text.get(at..)?));
            }
        } else if !tag.ends_with('/') && tag.split_ascii_whitespace().next() == Some(name) {
            depth += 1;
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        match behind.split_once(';').and_then(|(entity, behind)| Some((character(entity)?, behind))) {
            Some((found, behind)) => {
                out.push(found);
                rest = behind;
            }
            None => {
                out.push('&');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read() {
        let text = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name><Prefix/>\
                    <Contents><Key>a&amp;b&#x2f;c</Key><Size>3</Size></Contents>\
                    <Contents><Key>d</Key><Owner><ID>o</ID></Owner></Contents>\
                    <CommonPrefixes><Prefix>e/</Prefix></CommonPrefixes></ListBucketResult>";
        let (name, root) = Element::root(text).unwrap();
        assert_eq!((name, root.text("Prefix").as_deref()), ("ListBucketResult", Some("")));
        let keys: Vec<String> = root.children("Contents").filter_map(|entry| entry.text("Key")).collect();
        assert_eq!(keys, ["a&b/c", "d"]);
        let prefixes: Vec<_> =
            root.children("CommonPrefixes").filter_map(|entry| entry.text("Prefix")).collect();
        assert_eq!(prefixes, ["e/"]);
        assert_eq!(root.text("ID"), None, "not directly inside");
    }

    #[test]
    fn what_is_no_xml_is_nothing() {
        for text in ["", "no", "<", "<a", "<a>", "<a><b></a>", "</a>", "<a></b>", "<>x</>"] {
            let found = Element::root(text).and_then(|(_, root)| root.text("b"));
            assert_eq!(found, None, "{text}");
        }
        assert_eq!(unescaped("a & b &nope; &#xD800; &lt;"), "a & b &nope; &#xD800; <");
        assert!(Element::root("<a><a>1</a><b>2</b></a>").unwrap().1.text("b").is_some());
    }
}
