//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the milliseconds since 1970 (UTC); 0 on a machine whose clock stands before that.
pub fn now_unix_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
