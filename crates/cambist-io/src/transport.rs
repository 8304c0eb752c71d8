//! Sends exchanges: connections, pacing, retries, breakers.
