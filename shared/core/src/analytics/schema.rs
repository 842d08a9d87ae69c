//! The JSON Schema of an event's parameters. Patterns match in linear time, and nothing is fetched to
//! resolve a reference.

use boon::{Compiler, SchemaIndex, Schemas, UrlLoader};
use serde_json::Value;

/// Location of a schema within its compiler. Never resolved.
const LOCATION: &str = "https://schema.invalid/event";

/// The text is not a usable JSON Schema.
#[derive(Debug, thiserror::Error)]
#[error("not a JSON Schema: {0}")]
pub struct SchemaError(String);

/// A compiled schema.
pub struct EventSchema {
    schemas: Schemas,
    root: SchemaIndex,
}

impl EventSchema {
    /// Compiles a schema of draft 4 to 2020-12, the latter by default.
    ///
    /// # Errors
    /// When it is not a schema, or refers to another document.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        let refused = |error: boon::CompileError| SchemaError(format!("{error:#}"));
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.use_loader(Box::new(NoLoader));
        compiler
            .add_resource(LOCATION, schema.clone())
            .map_err(refused)?;
        let root = compiler.compile(LOCATION, &mut schemas).map_err(refused)?;
        Ok(Self { schemas, root })
    }

    /// Whether the parameters match the schema.
    pub fn is_valid(&self, params: &Value) -> bool {
        self.schemas.validate(params, self.root).is_ok()
    }
}

/// Refuses every document: a schema must not make the service open files or connections.
struct NoLoader;

impl UrlLoader for NoLoader {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("references to other documents are not allowed: {url}").into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_judged_by_every_keyword_in_use() {
        let schema = json!({
            "type": "object",
            "required": ["level"],
            "properties": {
                "level": {"type": "integer", "minimum": 1, "maximum": 100},
                "mode": {"enum": ["solo", "team"]},
                "role": {"$ref": "#/$defs/role"},
                "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "uniqueItems": true}
            },
            "$defs": {"role": {"type": "string", "maxLength": 8}},
            "additionalProperties": false
        });
        let schema = EventSchema::compile(&schema).unwrap();
        for valid in [
            json!({"level": 1}),
            json!({"level": 7, "mode": "solo", "role": "merlin", "tags": ["a", "b"]}),
        ] {
            assert!(schema.is_valid(&valid), "{valid}");
        }
        for invalid in [
            json!({}),
            json!({"level": 0}),
            json!({"level": 1.5}),
            json!({"level": 1, "mode": "duel"}),
            json!({"level": 1, "role": "percival-the-brave"}),
            json!({"level": 1, "tags": ["A"]}),
            json!({"level": 1, "tags": ["a", "a"]}),
            json!({"level": 1, "other": true}),
        ] {
            assert!(!schema.is_valid(&invalid), "{invalid}");
        }
    }

    #[test]
    fn what_is_not_a_schema_is_refused() {
        for wrong in [
            json!(3),
            json!({"type": "gem"}),
            json!({"minimum": "1"}),
            json!({"pattern": "("}),
            json!({"$ref": "#/$defs/missing"}),
        ] {
            assert!(EventSchema::compile(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_documents_are_not_fetched() {
        for reference in [
            "file:///etc/passwd",
            "http://127.0.0.1:9/schema",
            "other.json",
        ] {
            let schema = json!({"$ref": reference});
            let error = EventSchema::compile(&schema).err().unwrap().to_string();
            assert!(error.contains("not allowed"), "{reference}: {error}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let tree = json!({"type": "object", "additionalProperties": {"$ref": "#"}});
        let tree = EventSchema::compile(&tree).unwrap();
        assert!(tree.is_valid(&json!({"a": {"b": {}}})));
        assert!(!tree.is_valid(&json!({"a": {"b": 1}})));
        if let Ok(endless) = EventSchema::compile(&json!({"$ref": "#"})) {
            assert!(!endless.is_valid(&json!({})));
        }
    }
}
