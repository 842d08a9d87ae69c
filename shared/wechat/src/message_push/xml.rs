//! XML as fields: an element is a text, an object of its children, or, when its name repeats, a list.
//!
//! Attributes, comments and the declaration are ignored. A DTD, a processing instruction or an entity other
//! than the five predefined ones ends parsing, so nothing expands or is fetched.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use serde_json::{Map, Value};

use super::Unreadable;
use super::message::MAX_DEPTH;

struct Element {
    name: String,
    text: String,
    children: Map<String, Value>,
}

/// Parses the children of the root element.
pub(super) fn parse(text: &str) -> Result<Map<String, Value>, Unreadable> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().map_err(|_| Unreadable::NotXml)? {
            Event::Start(tag) => {
                let element = Element::named(tag.name().as_ref());
                start(&mut open, &root, element)?;
            }
            Event::Empty(tag) => {
                let element = Element::named(tag.name().as_ref());
                start(&mut open, &root, element)?;
                end(&mut open, &mut root)?;
            }
            Event::End(_) => end(&mut open, &mut root)?,
            Event::Text(text) => add(&mut open, &text)?,
            Event::CData(text) => {
                let parent = open.last_mut().ok_or(Unreadable::NotXml)?;
                parent.text.push_str(&text);
            }
            Event::GeneralRef(reference) => {
                let parent = open.last_mut().ok_or(Unreadable::NotXml)?;
                resolve(&reference, &mut parent.text)?;
            }
            Event::Comment(_) => {}
            Event::Decl(_) if open.is_empty() && root.is_none() => {}
            Event::DocType(_) => return Err(Unreadable::Doctype),
            Event::Decl(_) | Event::PI(_) => return Err(Unreadable::NotXml),
            Event::Eof => break,
        }
    }
    match (root, open.is_empty()) {
        (Some(Value::Object(fields)), true) => Ok(fields),
        (Some(_), true) => Err(Unreadable::NotObject),
        _ => Err(Unreadable::NotXml),
    }
}

fn start(
    open: &mut Vec<Element>,
    root: &Option<Value>,
    element: Element,
) -> Result<(), Unreadable> {
    if root.is_some() {
        return Err(Unreadable::NotXml);
    }
    if open.len() == MAX_DEPTH {
        return Err(Unreadable::TooDeep);
    }
    open.push(element);
    Ok(())
}

fn end(open: &mut Vec<Element>, root: &mut Option<Value>) -> Result<(), Unreadable> {
    let element = open.pop().ok_or(Unreadable::NotXml)?;
    let name = element.name.clone();
    let value = element.into_value()?;
    match open.last_mut() {
        Some(parent) => parent.add(name, value),
        None => *root = Some(value),
    }
    Ok(())
}

/// Adds text to the open element; between elements outside the root there is only space.
fn add(open: &mut [Element], text: &str) -> Result<(), Unreadable> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(Unreadable::NotXml),
    }
    Ok(())
}

fn resolve(reference: &BytesRef<'_>, text: &mut String) -> Result<(), Unreadable> {
    if reference.is_char_ref() {
        let character = reference.resolve_char_ref();
        text.push(character.ok().flatten().ok_or(Unreadable::Entity)?);
    } else {
        text.push_str(resolve_xml_entity(reference).ok_or(Unreadable::Entity)?);
    }
    Ok(())
}

impl Element {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: String::new(),
            children: Map::new(),
        }
    }

    fn add(&mut self, name: String, value: Value) {
        match self.children.get_mut(&name) {
            None => {
                self.children.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }

    fn into_value(self) -> Result<Value, Unreadable> {
        if self.children.is_empty() {
            return Ok(Value::String(self.text));
        }
        // Text beside elements is never meant.
        match self.text.trim().is_empty() {
            true => Ok(Value::Object(self.children)),
            false => Err(Unreadable::NotXml),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, Unreadable> {
        parse(text).map(Value::Object)
    }

    #[test]
    fn elements_become_texts_objects_and_lists() {
        let text = "<?xml version=\"1.0\"?>\n<!-- a --><xml a='1'>\n <A><![CDATA[x<]]><![CDATA[>y]]></A>\
                    <B>1 &lt; 2 &amp;&#x4e2d;&#20013;</B><C/><D><E>1</E></D><D><E>2</E></D><D><E>3</E></D></xml>\n";
        let fields = json!({
            "A": "x<>y", "B": "1 < 2 &中中", "C": "",
            "D": [{"E": "1"}, {"E": "2"}, {"E": "3"}],
        });
        assert_eq!(read(text), Ok(fields));
    }

    #[test]
    fn text_is_kept_byte_for_byte() {
        let text = "<x><P><![CDATA[ {\"a\": \"\r\n\"} ]]></P><Q> b\t</Q></x>";
        let fields = json!({"P": " {\"a\": \"\r\n\"} ", "Q": " b\t"});
        assert_eq!(read(text), Ok(fields));
    }

    #[test]
    fn doctypes_and_entities_are_refused() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><xml><A>&a;</A></xml>";
        assert_eq!(read(bomb), Err(Unreadable::Doctype));
        let external = "<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><xml><A>1</A></xml>";
        assert_eq!(read(external), Err(Unreadable::Doctype));
        assert_eq!(read("<xml><A>&a;</A></xml>"), Err(Unreadable::Entity));
        assert_eq!(read("<xml><A>&#xD800;</A></xml>"), Err(Unreadable::Entity));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(read(&nested(MAX_DEPTH + 1)), Err(Unreadable::TooDeep));
        assert_eq!(read(&nested(50_000)), Err(Unreadable::TooDeep));
    }

    #[test]
    fn malformed_xml_is_refused() {
        for text in [
            "",
            "<",
            "x",
            "<xml>",
            "<xml><A></xml>",
            "<xml><A>1</A></xml><xml/>",
            "<xml><A>1</A></xml>x",
            "<xml>x<A>1</A></xml>",
            "<xml><A>1</A><?pi?></xml>",
            "<xml><A>1</A><![CDATA[</xml>",
            "</xml>",
            "&amp;<xml><A>1</A></xml>",
            "<![CDATA[x]]><xml><A>1</A></xml>",
        ] {
            assert_eq!(read(text), Err(Unreadable::NotXml), "{text}");
        }
        assert_eq!(read("<xml>text</xml>"), Err(Unreadable::NotObject));
        assert_eq!(read("<xml/>"), Err(Unreadable::NotObject));
    }
}
