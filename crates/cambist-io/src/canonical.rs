//! One text for equal JSON values.

use serde_json::Value;

/// Returns JSON text without spaces and with the keys of every object sorted by their bytes: equal values, equal text.
///
/// `1` and `1.0` are different values.
pub fn canonical_json(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string()
}
