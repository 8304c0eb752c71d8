//! Why a client cannot be made.

use cambist_core::fault::Fault;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The system refuses a thread.
    #[error("the network's threads do not start: {source}")]
    Threads {
        /// What the system said.
        source: std::io::Error,
    },
    /// The address is none.
    #[error("`base_url` is `{found}`: {reason}, expected `http://HOST[:PORT][/PATH]` or `https://...`")]
    Address {
        /// The address, without a password.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address holds a user name or a password.
    #[error(
        "`base_url` for `{host}` holds a user name or a password: name an environment variable in `api_key_env` instead"
    )]
    KeyInAddress {
        /// The host.
        host: String,
    },
    /// A header cannot be sent.
    #[error("the header `{name}` holds characters that no header may hold: expected printable ASCII")]
    Header {
        /// Its name.
        name: String,
    },
    /// A header's value is read from a variable that is not set.
    #[error("the header `{name}` is read from the environment variable `{variable}`, which is not set: set it")]
    Variable {
        /// The header's name.
        name: String,
        /// The variable.
        variable: String,
    },
    /// TLS, a proxy's address, or something else that the client needs at its start.
    #[error("no connections can be made: {reason}")]
    Setup {
        /// What was said.
        reason: String,
    },
}

impl TransportError {
    /// Whose fault it is: addresses and headers are yours, the rest is the world's.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Threads { .. } | Self::Setup { .. } => Fault::World,
            Self::Address { .. } | Self::KeyInAddress { .. } | Self::Header { .. } | Self::Variable { .. } => {
                Fault::You
            }
        }
    }
}
