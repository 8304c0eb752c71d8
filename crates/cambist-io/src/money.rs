//! What calls cost: price rules, caps.
