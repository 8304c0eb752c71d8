//! What servers speak: each dialect encodes requests and decodes replies, and does nothing else.
