//! The merged tree of values, before types are known: each knows where it came from, and
//! deserialising it names key and origin of whatever does not fit. Texts turn into numbers and
//! booleans where those are wanted, because environment variables are texts.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::de::{
    self, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor, value::StrDeserializer,
};

use crate::error::{ConfigError, Origin};

/// A value and where it came from. Holds secrets: not printable.
pub(super) struct Node {
    pub(super) value: Value,
    /// `None` for the root only.
    pub(super) origin: Option<Origin>,
}

pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    pub(super) fn empty() -> Self {
        Self {
            value: Value::Table(BTreeMap::new()),
            origin: None,
        }
    }

    /// Sets the text at a path of keys, replacing any value that is not a table.
    pub(super) fn set(&mut self, path: &[&str], text: String, origin: &Origin) {
        let Some((key, rest)) = path.split_first() else {
            self.value = Value::Text(text);
            self.origin = Some(origin.clone());
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Self {
                value: Value::Table(BTreeMap::new()),
                origin: Some(origin.clone()),
            };
        }
        if let Value::Table(table) = &mut self.value {
            let new = || Self {
                origin: Some(origin.clone()),
                ..Self::empty()
            };
            table
                .entry((*key).to_owned())
                .or_insert_with(new)
                .set(rest, text, origin);
        }
    }

    /// Where the value of a dotted key came from.
    pub(super) fn origin_of(&self, key: &str) -> Option<&Origin> {
        let node = key
            .split('.')
            .try_fold(self, |node, key| match &node.value {
                Value::Table(table) => table.get(key),
                _ => None,
            })?;
        node.origin.as_ref()
    }

    fn integer<T: FromStr + TryFrom<i64>>(&self) -> Result<T, NodeError> {
        let number = match &self.value {
            Value::Text(text) => text.parse().ok(),
            Value::Integer(number) => T::try_from(*number).ok(),
            _ => None,
        };
        number.ok_or_else(|| NodeError::custom("must be a whole number in range"))
    }

    fn boolean(&self) -> Result<bool, NodeError> {
        match &self.value {
            Value::Boolean(value) => Some(*value),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| NodeError::custom("must be true or false"))
    }

    fn float(&self) -> Result<f64, NodeError> {
        match &self.value {
            Value::Float(value) => Some(*value),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| NodeError::custom("must be a number with a decimal point"))
    }
}

/// What is wrong, and where. Unlike the errors of other deserialisers it omits the value.
#[derive(Debug)]
pub(super) struct NodeError {
    key: String,
    problem: String,
    origin: Option<Origin>,
}

impl NodeError {
    /// Adds the table entry that contains the error.
    fn in_entry(mut self, key: &str, node: &Node) -> Self {
        // Keys may hold line breaks; messages must not.
        let key = key.escape_debug();
        let dot = if self.key.is_empty() || self.key.starts_with('[') {
            ""
        } else {
            "."
        };
        self.key = format!("{key}{dot}{}", self.key);
        self.origin = self.origin.or_else(|| node.origin.clone());
        self
    }

    /// Adds the list item that contains the error.
    fn in_item(mut self, index: usize, node: &Node) -> Self {
        let dot = if self.key.is_empty() || self.key.starts_with('[') {
            ""
        } else {
            "."
        };
        self.key = format!("[{index}]{dot}{}", self.key);
        self.origin = self.origin.or_else(|| node.origin.clone());
        self
    }
}

impl From<NodeError> for ConfigError {
    fn from(error: NodeError) -> Self {
        Self::Key {
            key: error.key,
            problem: error.problem,
            origin: error.origin,
        }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl std::error::Error for NodeError {}

impl de::Error for NodeError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        let problem = problem.to_string().replace(['\r', '\n'], " ");
        Self {
            key: String::new(),
            problem,
            origin: None,
        }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("must be one of: {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::custom("unknown key")
    }
}

macro_rules! integers {
    ($($method:ident => $visit:ident: $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
            visitor.$visit(self.integer::<$type>()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &Node {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match &self.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::List(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Value::Table(table) => visitor.visit_map(Entries {
                rest: table.iter(),
                current: None,
            }),
        }
    }

    integers! {
        deserialize_u8 => visit_u8: u8,
        deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32,
        deserialize_u64 => visit_u64: u64,
        deserialize_i8 => visit_i8: i8,
        deserialize_i16 => visit_i16: i16,
        deserialize_i32 => visit_i32: i32,
        deserialize_i64 => visit_i64: i64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        match &self.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(NodeError::unknown_variant("", variants)),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = NodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, NodeError> {
        let Some((index, node)) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(node)
            .map(Some)
            .map_err(|error| error.in_item(index, node))
    }
}

struct Entries<'a> {
    rest: std::collections::btree_map::Iter<'a, String, Node>,
    current: Option<(&'a String, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = NodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, NodeError> {
        self.current = self.rest.next();
        let Some((key, node)) = self.current else {
            return Ok(None);
        };
        // Structs report unknown keys here, when they read the name.
        let name: StrDeserializer<'_, NodeError> = key.as_str().into_deserializer();
        seed.deserialize(name)
            .map(Some)
            .map_err(|error| error.in_entry(key, node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NodeError> {
        let (key, node) = self
            .current
            .take()
            .ok_or_else(|| NodeError::custom("a value without a key"))?;
        seed.deserialize(node)
            .map_err(|error| error.in_entry(key, node))
    }
}
