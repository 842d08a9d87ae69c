//! What a client pays an order with.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The parameters of the client's payment call, as the payment channel wrote them. Opaque here: they are
/// passed to the client byte for byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PayParams(Box<RawValue>);

impl PayParams {
    /// Serialises a channel's parameters.
    ///
    /// # Errors
    /// When `parameters` cannot be serialised, which is a defect.
    pub fn new(parameters: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(parameters).map(Self)
    }

    /// Returns the parameters as JSON.
    pub fn get(&self) -> &str {
        self.0.get()
    }
}
